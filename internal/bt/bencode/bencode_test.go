package bencode

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestScanRefuses(t *testing.T) {
	deep := strings.Repeat("l", 40) + strings.Repeat("e", 40)
	for _, c := range []struct{ in, path, reason string }{
		{"", "", "ends in the middle"},
		{"x", "", "begins no value"},
		{"e", "", "begins no value"},
		{"i", "", "ends in the middle"},
		{"ie", "", "not digits"},
		{"i-e", "", "not digits"},
		{"i+1e", "", "not digits"},
		{"i1.5e", "", "not digits"},
		{"i9223372036854775808e", "", "64 bits"},
		{"i-9223372036854775809e", "", "64 bits"},
		{"i" + strings.Repeat("0", 30) + "e", "", "not digits"},
		{"3:ab", "", "behind the end"},
		{"99999999999999999999:ab", "", "behind the end"},
		{"03:abc", "", "leading zeros"},
		{"3abc", "", "without a colon"},
		{"3", "", "behind the end"},
		{"l1", "[0]", "ends in the middle"},
		{"l", "[0]", "ends in the middle"},
		{"l1:ax", "[1]", "begins no value"},
		{"d1:a", "a", "ends in the middle"},
		{"d1:ae", "a", "without a value"},
		{"di1ei2ee", "", "keys are strings"},
		{"d1:ai1e1:ai2ee", "", `"a" stands there twice`},
		{"d1:bi1e1:ai2e1:bi3ee", "", `"b" stands there twice`},
		{"d4:infod5:filesld4:pathl2:ok99:eeeee", "info.files[0].path[1]", "behind the end"},
		{"d5:a.b\x00cl-ee", `"a.b\x00c"[0]`, "begins no value"},
		{deep, strings.Repeat("[0]", 32), "nested more than 32 deep"},
	} {
		_, err := Scan([]byte(c.in), Limits{})
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: err = %v, want a SyntaxError", c.in, err)
			continue
		}
		if syntax.Path != c.path || !strings.Contains(syntax.Reason, c.reason) {
			t.Errorf("%q: at %q: %s; want at %q: %s", c.in, syntax.Path, syntax.Reason, c.path, c.reason)
		}
	}
}

func TestScanTellsLeniencies(t *testing.T) {
	for _, c := range []struct {
		in, canonical string
		warnings      []string
	}{
		{"d1:ai1ee", "d1:ai1ee", nil},
		{"i-9223372036854775808e", "i-9223372036854775808e", nil},
		{"d4:infod1:bi1e1:ai2e1:ci3eee", "d4:infod1:ai2e1:bi1e1:ci3eee", []string{`info: keys are not sorted ("a" after "b")`}},
		{"li007ei-0ee", "li7ei0ee", []string{"[0]: integer written as 007", "[1]: integer written as -0"}},
	} {
		d, err := Scan([]byte(c.in), Limits{})
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if !slices.Equal(d.Warnings, c.warnings) || d.Canonical != (len(c.warnings) == 0) {
			t.Errorf("%q: warnings %q, canonical %v", c.in, d.Warnings, d.Canonical)
		}
		if got := d.Root.AppendCanonical(nil); string(got) != c.canonical {
			t.Errorf("%q: canonical form %q, want %q", c.in, got, c.canonical)
		}
	}
}

func TestWarningsAreBounded(t *testing.T) {
	d, err := Scan([]byte("l"+strings.Repeat("i00e", 1000)+"e"), Limits{})
	if err != nil || len(d.Warnings) != maxWarnings {
		t.Fatalf("%d warnings, err %v", len(d.Warnings), err)
	}
}

func TestValue(t *testing.T) {
	raw := []byte("d3:inti-7e4:listl1:ai2eld1:xi1eeed1:yi2eee5:plain3:xyze")
	d, err := Scan(append(raw, "behind"...), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	v := d.Root
	if d.Size != len(raw) || !bytes.Equal(v.Raw(), raw) || v.Kind() != Dict || v.Len() != 3 {
		t.Fatalf("size %d kind %v len %d", d.Size, v.Kind(), v.Len())
	}
	if n, ok := v.Get("int").Int(); !ok || n != -7 {
		t.Errorf("int = %d, %v", n, ok)
	}
	if s, ok := v.Get("plain").Text(); !ok || s != "xyz" {
		t.Errorf("plain = %q, %v", s, ok)
	}
	var kinds []Kind
	for e := range v.Get("list").List() {
		kinds = append(kinds, e.Kind())
	}
	if want := []Kind{String, Int, List, Dict}; !slices.Equal(kinds, want) {
		t.Errorf("kinds = %v, want %v", kinds, want)
	}
	missing := v.Get("no").Get("such").Get("key")
	if _, ok := missing.Bytes(); ok || missing.Kind() != 0 || missing.Len() != 0 {
		t.Error("a missing value says it is there")
	}
	if _, ok := v.Int(); ok {
		t.Error("a dictionary says it is an integer")
	}
	for e := range v.List() {
		t.Errorf("a dictionary lists %q", e.Raw())
	}
}

func TestParseRefusesTail(t *testing.T) {
	if _, err := Parse([]byte("i1ei2e"), Limits{}); err == nil || !strings.Contains(err.Error(), "behind the end of the value (byte 3)") {
		t.Fatalf("err = %v", err)
	}
}

func TestLimits(t *testing.T) {
	many := []byte("l" + strings.Repeat("i0e", 100) + "e")
	lists := []byte("l" + strings.Repeat("le", 100) + "e")
	for _, c := range []struct {
		in  []byte
		lim Limits
		ok  bool
	}{
		{many, Limits{Values: 101}, true},
		{many, Limits{Values: 100}, false},
		{many, Limits{Size: len(many)}, true},
		{many, Limits{Size: len(many) - 1}, false},
		{lists, Limits{Containers: 101}, true},
		{lists, Limits{Containers: 100}, false},
		{[]byte("lllleeee"), Limits{Depth: 4}, true},
		{[]byte("lllleeee"), Limits{Depth: 3}, false},
	} {
		if _, err := Scan(c.in, c.lim); (err == nil) != c.ok {
			t.Errorf("%.20q with %+v: err = %v", c.in, c.lim, err)
		}
	}
}

// TestNestedListsCostNothing is the gigabyte of nested lists, in small: the scan
// ends at the depth limit and allocates no more than for that.
func TestNestedListsCostNothing(t *testing.T) {
	in := bytes.Repeat([]byte("l"), 16<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Scan(in, Limits{Size: 1 << 30, Values: 1 << 24, Depth: 100})
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatal("accepted")
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestAppend(t *testing.T) {
	got, err := Append(nil, map[string]any{
		"b": []any{"x", []byte("yz"), 1, int64(-2), uint32(3), Raw("i4e")},
		"a": []string{"p", ""},
		"c": map[string]any{},
	})
	if want := "d1:al1:p0:e1:bl1:x2:yzi1ei-2ei3ei4ee1:cdee"; err != nil || string(got) != want {
		t.Fatalf("%s, %v; want %s", got, err, want)
	}
	if _, err := Append(nil, map[string]any{"k": 1.5}); err == nil || !strings.Contains(err.Error(), "k: bencode: no encoding for float64") {
		t.Fatalf("err = %v", err)
	}
}

func TestEncoder(t *testing.T) {
	var e Encoder
	e.Grow(100)
	e.Dict()
	e.Key("a")
	e.List()
	e.Int(1)
	e.String("x")
	e.Bytes([]byte("y"))
	e.End()
	e.Key("b")
	e.Dict()
	e.End()
	e.Key("ba")
	e.Raw([]byte("i5e"))
	e.End()
	got, err := e.Finish()
	if want := "d1:ali1e1:x1:ye1:bde2:bai5ee"; err != nil || string(got) != want {
		t.Fatalf("%s, %v; want %s", got, err, want)
	}
}

func TestEncoderTellsMisuse(t *testing.T) {
	for name, use := range map[string]func(e *Encoder){
		"nothing":           func(e *Encoder) {},
		"open":              func(e *Encoder) { e.Dict() },
		"end only":          func(e *Encoder) { e.End() },
		"two values":        func(e *Encoder) { e.Int(1); e.Int(2) },
		"key in list":       func(e *Encoder) { e.List(); e.Key("a"); e.End() },
		"value without key": func(e *Encoder) { e.Dict(); e.Int(1); e.End() },
		"key without value": func(e *Encoder) { e.Dict(); e.Key("a"); e.End() },
		"two keys":          func(e *Encoder) { e.Dict(); e.Key("a"); e.Key("b"); e.Int(1); e.End() },
		"order": func(e *Encoder) {
			e.Dict()
			e.Key("b")
			e.Int(1)
			e.Key("a")
			e.Int(1)
			e.End()
		},
		"duplicate": func(e *Encoder) {
			e.Dict()
			e.Key("a")
			e.Int(1)
			e.Key("a")
			e.Int(1)
			e.End()
		},
	} {
		var e Encoder
		if use(&e); e.err == nil {
			if _, err := e.Finish(); err == nil {
				t.Errorf("%s: no error, wrote %s", name, e.buf)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"i0e", "i-0e", "0:", "le", "de", "d1:ai1e1:bl1:xee", "d1:bi1e1:ai1ee", "d1:bi1e1:ai1e1:bi1ee",
		"li007ee", "d4:infod5:filesld6:lengthi1e4:pathl1:aeeeee", "lllleeee", "9999999999:", "i9223372036854775808e",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := Scan(in, Limits{Size: 1 << 16, Values: 1 << 12})
		if err != nil {
			return
		}
		out := d.Root.AppendCanonical(nil)
		if d.Canonical != bytes.Equal(out, in[:d.Size]) {
			t.Fatalf("canonical = %v, but %q encodes to %q", d.Canonical, in[:d.Size], out)
		}
		again, err := Scan(out, Limits{})
		if err != nil || !again.Canonical {
			t.Fatalf("canonical form %q: %v, canonical %v", out, err, again.Canonical)
		}
		if err := sameAsWalk(d.Root); err != nil {
			t.Fatal(err)
		}
	})
}

// sameAsWalk checks that what the records say is what a fresh scan of each
// part says.
func sameAsWalk(v Value) error {
	n := 0
	check := func(e Value) error {
		n++
		fresh, err := Parse(e.Raw(), Limits{})
		if err != nil || fresh.Kind() != e.Kind() || fresh.Len() != e.Len() {
			return fmt.Errorf("%q inside of %q: %v", e.Raw(), v.Raw(), err)
		}
		return sameAsWalk(e)
	}
	for e := range v.List() {
		if err := check(e); err != nil {
			return err
		}
	}
	for _, e := range v.Dict() {
		if err := check(e); err != nil {
			return err
		}
	}
	if n != v.Len() {
		return fmt.Errorf("%q: %d elements, Len %d", v.Raw(), n, v.Len())
	}
	return nil
}

func BenchmarkScan(b *testing.B) {
	var e Encoder
	e.List()
	for i := range 100_000 {
		e.Dict()
		e.Key("length")
		e.Int(int64(i))
		e.Key("path")
		e.List()
		e.String("some")
		e.String("folder")
		e.String(fmt.Sprintf("file-%d", i))
		e.End()
		e.End()
	}
	e.End()
	raw, err := e.Finish()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(raw, Limits{Size: 1 << 30, Values: 1 << 24}); err != nil {
			b.Fatal(err)
		}
	}
}
