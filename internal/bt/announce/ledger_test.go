package announce

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestLedgerRoundTrip(t *testing.T) {
	for _, l := range []Ledger{
		{},
		{Size: 7},
		{DC: "fra-1.a_b", Size: MaxBytes, Slow: SlowDisk, Moved: []Moved{{"iad1", 5, 6}, {"fra1", 1, 2}, {"", 0, 1}}},
		{Size: 1, Slow: SlowNobody, Moved: []Moved{{"", 0, 9}}},
	} {
		r := Request{Ledger: &l, NumWant: -1}
		u, err := url.Parse(string(r.AppendURL(nil, "http://h/announce")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseQuery(u.RawQuery)
		if l.Size == 0 && got.Ledger == nil {
			continue
		}
		if err != nil || !reflect.DeepEqual(got.Ledger, &l) {
			t.Errorf("%s: got %+v, %v; want %+v", u.RawQuery, got.Ledger, err, l)
		}
	}
}

// TestLedgerBound: a peer that has met more places than fit tells of the busiest, and loses no byte.
func TestLedgerBound(t *testing.T) {
	l := Ledger{Size: 1, Moved: []Moved{{"not a name", 0, 1 << 40}}}
	want := int64(1 << 40)
	for i := range 3 * MaxMoved {
		l.Moved = append(l.Moved, Moved{fmt.Sprintf("dc%d", i), 0, int64(i)})
		want += int64(i)
	}
	query := string(l.appendQuery(nil))
	if len(query) > MaxQuery/4 {
		t.Errorf("%d bytes", len(query))
	}
	moved := parseMoved(query[strings.Index(query, "moved=")+len("moved="):])
	var sum int64
	for _, m := range moved {
		sum += m.Down
	}
	if len(moved) != MaxMoved || sum != want || moved[0].DC != "dc191" || moved[MaxMoved-1].DC != "" {
		t.Errorf("%d places with %d bytes, want %d: %v", len(moved), sum, want, moved)
	}
}

func TestParseMoved(t *testing.T) {
	for val, want := range map[string][]Moved{
		"a~1~2":                          {{"a", 1, 2}},
		"~1~2":                           {{"", 1, 2}},
		"a~1~2~b~3~4":                    {{"a", 1, 2}, {"b", 3, 4}},
		"":                               nil,
		"a":                              nil,
		"a~1":                            nil,
		"a~1~":                           nil,
		"a~1~2~":                         nil,
		"a~1~2~b":                        nil,
		"a~1~2~a~1~2":                    nil,
		"a~-1~2":                         nil,
		"a~1~2e9":                        nil,
		"Unknown~1~2":                    nil,
		"a b~1~2":                        nil,
		"a~1~1152921504606846977":        nil,
		strings.Repeat("x", 65) + "~1~2": nil,
	} {
		if got := parseMoved(val); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", val, got, want)
		}
	}
	var l Ledger
	for _, p := range [][2]string{{"dc", "a b"}, {"size", "-1"}, {"slow", "lazy"}, {"moved", "~~"}, {"dc", ""}} {
		if l.param(p[0], p[1]); !reflect.DeepEqual(l, Ledger{}) {
			t.Errorf("%s=%s is taken: %+v", p[0], p[1], l)
		}
	}
}

func FuzzParseMoved(f *testing.F) {
	f.Add("fra1~1~2~~3~4")
	f.Fuzz(func(t *testing.T, val string) {
		got := parseMoved(val)
		if len(got) > MaxMoved {
			t.Fatalf("%d places", len(got))
		}
		if len(got) == 0 {
			return
		}
		l := Ledger{Size: 1, Moved: got}
		again := parseMoved(strings.TrimPrefix(string(l.appendQuery(nil)), "&size=1&moved="))
		sum := func(all []Moved) (n Moved) {
			for _, m := range all {
				n.Up += m.Up
				n.Down += m.Down
			}
			return n
		}
		if sum(again) != sum(got) {
			t.Fatalf("%q: %v becomes %v", val, got, again)
		}
	})
}
