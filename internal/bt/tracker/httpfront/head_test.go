package httpfront

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestParseHead(t *testing.T) {
	ok := func(s string) string { return s + "\r\n\r\n" }
	for _, c := range []struct {
		in   string
		want verdict
		last bool
	}{
		{ok("GET /announce?a=%20&b HTTP/1.1\r\nHost: t.example:6969\r\nUser-Agent: x/1 (y)\r\nAccept-Encoding: gzip"), plain, false},
		{ok("GET /scrape HTTP/1.1\r\nhost:[::1]:80\r\nConnection: Keep-Alive"), plain, false},
		{ok("GET /scrape? HTTP/1.1\r\nHost:\r\nConnection:\tclose "), plain, true},
		{ok("GET /announce HTTP/1.0"), plain, true},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nx-forwarded-for: 3.3.3.3"), plain, false},
		{"", more, false},
		{"GET /ann", more, false},
		{"GET /announce HTTP/1.1\r\nHost: x\r\n", more, false},
		{"GET /announce HTTP/1.1\r\nHost: x\r\n\r", more, false},
		// What follows is net/http's.
		{"P", other, false},
		{"\r\n", other, false},
		{"GET /x", other, false},
		{"GET /announce HTTP/1.1\n", other, false},
		{"GET /announce HTTP/1.1\r\nHost: x\n", other, false},
		{ok("GET /announced HTTP/1.1\r\nHost: x"), other, false},
		{ok("GET /announce%3f HTTP/1.1\r\nHost: x"), other, false},
		{ok("GET /announce?a b HTTP/1.1\r\nHost: x"), other, false},
		{ok("GET /announce?\x01 HTTP/1.1\r\nHost: x"), other, false},
		{ok("GET /announce HTTP/1.1"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nHost: x"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x/y"), other, false},
		{ok("GET /announce HTTP/2.0\r\nHost: x"), other, false},
		{ok("GET /announce HTTP/1.1 \r\nHost: x"), other, false},
		{ok("GET /announce\r\nHost: x"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\n folded"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost : x"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nno colon"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nA: \x00"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 0"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nExpect: 100-continue"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x\r\nConnection: close, x"), other, false},
		{ok("GET /announce HTTP/1.0\r\nConnection: keep-alive"), other, false},
		{ok("GET /announce HTTP/1.1\r\nHost: x" + strings.Repeat("\r\nX-Forwarded-For: 1.1.1.1", maxForwarded+1)), other, false},
	} {
		var h head
		if got := parseHead([]byte(c.in), &h); got != c.want || got == plain && (h.last != c.last || h.size != len(c.in)) {
			t.Errorf("%q: got %d, %+v", c.in, got, h)
		}
	}
}

// FuzzHead holds that what is taken from net/http is understood as net/http does, and that a verdict never depends on
// how the bytes arrive.
func FuzzHead(f *testing.F) {
	f.Add([]byte("GET /announce?info_hash=%00&x=y HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: close\r\n\r\nGET /"))
	f.Add([]byte("GET /scrape HTTP/1.0\r\nA: b\r\n\r\n"))
	f.Add([]byte("GET /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("GET /announce HTTP/1.1\nHost: x\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var h, part head
		got := parseHead(in, &h)
		for n := range min(len(in), 1000) {
			v := parseHead(in[:n], &part)
			if got == plain && (n < h.size) != (v == more) || v == other && got != other || v == plain && got != plain {
				t.Fatalf("%d of %q: verdict %d, of all %d", n, in, v, got)
			}
		}
		if got != plain {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in[:h.size])))
		if err != nil {
			t.Fatalf("%q: net/http says %v", in, err)
		}
		path := "/announce"
		if h.scrape {
			path = "/scrape"
		}
		if r.Method != "GET" || r.URL.Path != path || r.URL.RawQuery != string(h.query) || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Fatalf("%q: %+v, net/http has %+v", in, h, r)
		}
		if r.Close != h.last || r.ProtoMinor == 0 != h.old {
			t.Fatalf("%q: %+v, net/http has %+v", in, h, r)
		}
		lines := r.Header.Values("X-Forwarded-For")
		if len(lines) != h.hops {
			t.Fatalf("%q: %d lines, net/http has %q", in, h.hops, lines)
		}
		for i, l := range lines {
			if l != string(h.forwarded[i]) {
				t.Fatalf("%q: forwarded %q, net/http has %q", in, h.forwarded[i], l)
			}
		}
		// The server of net/http looks closer than ReadRequest.
		for name, values := range r.Header {
			bad := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
			if strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") || strings.ContainsFunc(name+strings.Join(values, ""), bad) {
				t.Fatalf("%q: header %q: %q", in, name, values)
			}
		}
		if strings.ContainsAny(r.Host, " \t\"/<>?@\\^`{|}") {
			t.Fatalf("%q: host %q", in, r.Host)
		}
	})
}
