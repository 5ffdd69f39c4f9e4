package notify

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestParse reads the example of the page that operators read.
func TestParse(t *testing.T) {
	page, err := os.ReadFile("../../../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/notices.md has no example")
	}
	o, err := Parse(m[1])
	if err != nil {
		t.Fatal(err)
	}
	want := Options{
		Webhooks: []Webhook{{URL: "https://hooks.example.com/services/T0/B0/x", Secret: "s3cret", Filter: Filter{Kinds: []string{"plan", "problem", "end"}}}},
		Mails: []Mail{{
			Server: "mail.example.com:587", From: "shoal@example.com", To: []string{"net-ops@example.com"}, User: "shoal", Password: "s3cret",
			Filter: Filter{Sites: []string{"fra", "nyc"}},
		}},
		Commands: []Command{{Args: []string{"/usr/local/bin/page", "--team", "storage"}, Filter: Filter{Kinds: []string{"problem"}}}},
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
	if _, err := New(o); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, hint string }{
		{"webhook: []", "webhook"}, {"mails: [{sever: x}]", "sever"}, {"commands: [{run: {a: b}}]", "cannot"}, {"\x00", "outlets"},
		{"webhooks: [" + strings.Repeat("{url: x},", 101) + "]", "more than 100"}, {strings.Repeat("#", MaxFile+1), "more than"},
	} {
		if o, err := Parse([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%.40q: %+v, %v, want an error with %q", c.in, o, err, c.hint)
		}
	}
	if o, err := Parse(nil); err != nil || !reflect.DeepEqual(o, Options{}) {
		t.Errorf("an empty file: %+v, %v", o, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("webhooks: [{url: https://x}]\nmails: [{server: a:1, to: [a@b]}]\ncommands: [{run: [/x]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse(data)
		if err == nil {
			_, _ = New(o) // must not panic
		}
	})
}
