package strictyaml

import "testing"

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"root: /srv\n":               "",
		"":                           "",
		"rott: /srv\n":               "line 1: there is no key `rott`",
		"root: /srv\na: 1\nb: 2\n":   "line 2: there is no key `a`; line 3: there is no key `b`",
		"root: [1]\n":                "line 1: cannot unmarshal !!seq into string",
		"root: /srv\n---\nroot: x\n": "it holds more than one document",
		"root: 'x\n":                 "yaml: line 2: found unexpected end of stream",
	} {
		var v struct{ Root string }
		got := ""
		if err := Decode([]byte(text), &v); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if want == "" && text != "" && v.Root != "/srv" {
			t.Errorf("%q: read %q", text, v.Root)
		}
	}
}
