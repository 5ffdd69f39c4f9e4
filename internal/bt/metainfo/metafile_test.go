package metainfo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func metafile(keys dict) dict { return with(dict{"info": multi1}, keys) }

func TestParseMetafile(t *testing.T) {
	m, err := Parse(encode(t, metafile(dict{
		"announce": "http://a/", "comment": "c", "created by": "b", "creation date": 1700000000,
		"url-list": list{"http://w/", ""}, "nodes": list{list{"h", 1}, list{"::1", 6881}},
		"announce-list": list{list{"http://a/", "http://b/"}, list{}, list{"", "udp://c:1"}}, "other": dict{"x": 1},
	})))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(m.Announce, m.Comment, m.CreatedBy, m.CreationDate.Unix(), m.WebSeeds, m.Nodes, m.Warnings)
	if want := "[[http://a/ http://b/] [udp://c:1]]cb1700000000 [http://w/] [h:1 [::1]:6881] []"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if m.Info.HashV1 == [20]byte{} {
		t.Error("no hash")
	}
}

func TestParseWarns(t *testing.T) {
	for name, c := range map[string]struct {
		in      any
		warning string
	}{
		"announce":      {metafile(dict{"announce": 5}), "announce: it is an integer"},
		"announce-list": {metafile(dict{"announce-list": "x"}), "announce-list: it is a string"},
		"tier":          {metafile(dict{"announce-list": list{"http://a/"}}), "announce-list: a tier is a string"},
		"long URL":      {metafile(dict{"announce": strings.Repeat("x", maxURL+1)}), "announce: a URL of 8193 bytes"},
		"web seeds":     {metafile(dict{"url-list": 5}), "url-list: it is an integer"},
		"comment":       {metafile(dict{"comment": list{}}), "comment: it is a list"},
		"date":          {metafile(dict{"creation date": -5}), "creation date: not a time"},
		"date kind":     {metafile(dict{"creation date": "today"}), "creation date: not a time"},
		"nodes":         {metafile(dict{"nodes": list{list{"h", 0}}}), "nodes: an entry is not"},
		"private":       {metafile(dict{"info": with(multi1, dict{"private": "1"})}), "info.private: it is a string"},
		"order":         {rawValue("d3:zzzi1e4:info" + string(encode(t, multi1)) + "e"), `keys are not sorted ("info" after "zzz")`},
		"behind":        {rawValue(string(encode(t, metafile(nil))) + "\r\n"), "2 bytes behind the end"},
		"no layers":     {dict{"info": with(multi2, dict{"file tree": dict{"a": dict{"": dict{"length": 20000, "pieces root": root32}}, "b": tree2["a"]}})}, `piece layers: missing for 1 files, "a" first`},
		"single name":   {dict{"info": with(single2, dict{"name": "x"}), "piece layers": dict{}}, `info.name: "x" is not the name of the file`},
	} {
		m, err := Parse(encode(t, c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], c.warning) {
			t.Errorf("%s: warnings %q, want %q", name, m.Warnings, c.warning)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	long := with(multi2, dict{"file tree": dict{"a": dict{"": dict{"length": 20000, "pieces root": root32}}, "b": tree2["a"]}})
	many := dict{"info": multi1}
	for n := range maxKeys {
		many[fmt.Sprint(n)] = n
	}
	for name, c := range map[string]struct {
		in     any
		reason string
	}{
		"nothing":      {rawValue(""), "not a metafile"},
		"HTML":         {rawValue("<!DOCTYPE html>"), "not a metafile"},
		"list":         {list{}, "it is a list"},
		"no info":      {dict{"announce": "x"}, "info: missing"},
		"info kind":    {dict{"info": "x"}, "info: it is a string"},
		"torn":         {rawValue("d4:info"), "info: the input ends"},
		"keys":         {many, "1001 keys"},
		"layers kind":  {dict{"info": long, "piece layers": 5}, "piece layers: it is an integer"},
		"layers key":   {dict{"info": long, "piece layers": dict{"short": root32}}, "not a SHA-256 hash"},
		"layers value": {dict{"info": long, "piece layers": dict{root32: "short"}}, "not a SHA-256 hash"},
		"layers size":  {dict{"info": long, "piece layers": dict{root32: root32}}, `"a": 32 bytes, want 64`},
		"layers many":  {dict{"info": single2, "piece layers": dict{root32: root32, strings.Repeat("s", 32): root32}}, "2 entries for 1 files"},
		"repeated":     {rawValue("d4:infodee4:infodee"), ""},
		"repeated key": {rawValue("d4:infode4:infodee"), `"info" stands there twice`},
	} {
		if m, err := Parse(encode(t, c.in)); err == nil || m != nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: err = %v, want %q", name, err, c.reason)
		}
	}
}

// TestNestedLists is the gigabyte of nested lists, in small.
func TestNestedLists(t *testing.T) {
	for _, unit := range []string{"l", "d1:a"} {
		_, err := Parse([]byte("d4:info" + strings.Repeat(unit, 1<<20)))
		if err == nil || !strings.Contains(err.Error(), "nested more than") {
			t.Errorf("%q: %v", unit, err)
		}
	}
	if _, err := Parse(make([]byte, MaxMetafile+1)); err == nil || !strings.Contains(err.Error(), "more than the limit") {
		t.Errorf("too large: %v", err)
	}
}

func TestEncodeKeepsWhatWasRead(t *testing.T) {
	for name, in := range map[string]dict{
		"plain":          metafile(nil),
		"unknown":        metafile(dict{"a": list{1, dict{}}, "zz": "x", "encoding": "UTF-8"}),
		"trackers":       metafile(dict{"announce": "http://other/", "announce-list": list{list{"x"}, list{}, list{5}}}),
		"string seed":    metafile(dict{"url-list": "http://w/"}),
		"empty seeds":    metafile(dict{"url-list": list{}}),
		"wrong kinds":    metafile(dict{"announce": 5, "comment": list{}, "nodes": "x", "creation date": "y", "url-list": dict{}}),
		"negative date":  metafile(dict{"creation date": -5}),
		"v1 with layers": metafile(dict{"piece layers": 5}),
		"v2":             {"info": multi2, "piece layers": dict{}},
		"v2, no layers":  {"info": multi2},
		"foreign layer":  {"info": multi2, "piece layers": dict{root32: root32}},
	} {
		raw := encode(t, in)
		m, err := Parse(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.Encode(); !bytes.Equal(got, raw) {
			t.Errorf("%s: %q became %q", name, raw, got)
		}
	}
}

func TestEncodeMakesCanonical(t *testing.T) {
	info := string(encode(t, multi1))
	m, err := Parse([]byte("d1:zi007e4:info" + info + "1:ad1:yi-0e1:xi1eee tail"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(m.Encode()), "d1:ad1:xi1e1:yi0ee4:info"+info+"1:zi7ee"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestInfoStaysRaw: an info dictionary with unsorted keys keeps its bytes, and
// with them its hash.
func TestInfoStaysRaw(t *testing.T) {
	info := "d12:piece lengthi16384e4:name1:n6:pieces20:" + hashes20(1) + "6:lengthi5ee"
	m, err := Parse([]byte("d4:info" + info + "e"))
	if err != nil {
		t.Fatal(err)
	}
	m.Comment = "changed"
	again, err := Parse(m.Encode())
	if err != nil || string(again.Info.Raw) != info || again.Info.HashV1 != m.Info.HashV1 || again.Comment != "changed" {
		t.Errorf("%v: %q", err, again.Info.Raw)
	}
}

func TestEncodeChanges(t *testing.T) {
	in := metafile(dict{"announce": "http://a/", "announce-list": list{list{"http://a/"}, list{"http://b/"}}, "url-list": "http://w/",
		"comment": "c", "created by": "b", "creation date": 5, "nodes": list{list{"h", 1}}, "kept": 1})
	read := func() *Metafile {
		m, err := Parse(encode(t, in))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read()
	m.Announce, m.WebSeeds, m.Nodes, m.Comment, m.CreatedBy, m.CreationDate = nil, nil, nil, "", "", time.Time{}
	if got, want := m.Encode(), encode(t, metafile(dict{"kept": 1})); !bytes.Equal(got, want) {
		t.Errorf("emptied: %q, want %q", got, want)
	}
	m = read()
	m.Announce, m.WebSeeds, m.Nodes = [][]string{{}, {"http://x/"}}, []string{"http://v/"}, []string{"[::1]:5", "not a node"}
	m.Comment, m.CreatedBy, m.CreationDate = "d", "e", time.Unix(7, 0)
	want := encode(t, metafile(dict{"announce": "http://x/", "url-list": list{"http://v/"}, "comment": "d", "created by": "e",
		"creation date": 7, "nodes": list{list{"::1", 5}}, "kept": 1}))
	if got := m.Encode(); !bytes.Equal(got, want) {
		t.Errorf("changed: %q, want %q", got, want)
	}
	m = read()
	m.Announce = [][]string{{"http://x/", "http://y/"}}
	if again, err := Parse(m.Encode()); err != nil || !slices.EqualFunc(again.Announce, m.Announce, slices.Equal) {
		t.Errorf("two trackers in one tier: %v, %v", again.Announce, err)
	}
}

// TestEncodeFromMagnet makes a metafile of what peers gave.
func TestEncodeFromMagnet(t *testing.T) {
	for _, v := range []Version{V1, V2, Hybrid} {
		c := makeUp(t, v, 16<<10, size{"a", 50_000}, size{"b", 5})
		made := &Metafile{Info: c.info, Layers: c.layers, Announce: [][]string{{"http://a/"}}}
		m, err := Parse(made.Encode())
		if err != nil {
			t.Errorf("%s: %v", v, err)
			continue
		}
		if _, err := NewHashes(m.Info, m.Layers); err != nil || len(m.Warnings) > 0 {
			t.Errorf("%s: %v, %q", v, err, m.Warnings)
		}
		if v == V1 && bytes.Contains(m.Raw, []byte("piece layers")) {
			t.Error("v1 with piece layers")
		}
	}
}
