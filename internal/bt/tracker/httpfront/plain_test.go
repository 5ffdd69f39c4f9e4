package httpfront

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// client speaks raw HTTP.
type client struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer; status 0 means that the connection has ended.
func (c *client) answer() (status int, head http.Header, body string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err.Error()
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Proto", r.Proto)
	return r.StatusCode, r.Header, string(b)
}

func target(port uint16) string {
	r := announce.Request{InfoHash: metainfo.InfoHash{1}, Port: port, NumWant: -1}
	return string(r.AppendURL(nil, "/announce"))
}

// TestSameAnswers compares the short way with that by net/http, to which a header of no meaning leads.
func TestSameAnswers(t *testing.T) {
	addr := start(t, &fixture{})
	for _, first := range []string{
		"GET " + target(7) + " HTTP/1.1\r\nHost: x", "GET " + target(7) + " HTTP/1.1\r\nHost: x\r\nConnection: close",
		"GET " + target(7) + " HTTP/1.0", "GET " + target(7) + "&compact=0 HTTP/1.1\r\nHost: x",
		"GET /announce HTTP/1.1\r\nHost: x", "GET /announce?port=x HTTP/1.1\r\nHost: x", "GET /scrape HTTP/1.1\r\nHost: x",
		"GET /scrape?info_hash=" + strings.Repeat("a", 20) + " HTTP/1.1\r\nHost: x", "GET /scrape?info_hash=x HTTP/1.1\r\nHost: x",
	} {
		var got [2]string
		for i, more := range []string{"", "\r\nUpgrade: nothing"} {
			c := dial(t, addr)
			c.send(first + more + "\r\n\r\n")
			status, head, body := c.answer()
			if status != 200 || head.Get("Date") == "" {
				t.Errorf("%s: %d %v %q", first, status, head, body)
			}
			head.Del("Date")
			got[i] = fmt.Sprint(head, body)
			c.send("GET " + target(8) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			status, _, _ = c.answer()
			got[i] += fmt.Sprint(status)
		}
		if got[0] != got[1] {
			t.Errorf("%s: got\n%s, by net/http\n%s", first, got[0], got[1])
		}
	}
}

// TestOneConnection asks for this and that on one connection, with all requests sent before the first answer is read.
func TestOneConnection(t *testing.T) {
	c := dial(t, start(t, &fixture{}))
	ask := func(path string) { c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n") }
	want := func(text string) {
		t.Helper()
		if status, _, body := c.answer(); status != 200 || !strings.Contains(body, text) {
			t.Fatalf("%d %q, want 200 and %q", status, body, text)
		}
	}
	ask(target(1))
	ask("/scrape")
	ask(target(2))
	want("5:peers6:\x7f\x00\x00\x01\x00\x01")
	want("8:completei9e")
	want("5:peers6:\x7f\x00\x00\x01\x00\x02")
	for _, b := range "GET " + target(3) + " HTTP/1.1\r\nHost: x\r\n\r\n" { // byte by byte
		c.send(string(b))
	}
	want("5:peers6:\x7f\x00\x00\x01\x00\x03")
	for i := range 500 {
		ask(target(uint16(i + 1)))
	}
	for i := range 500 {
		want("5:peers6:\x7f\x00\x00\x01" + string([]byte{byte((i + 1) >> 8), byte(i + 1)}))
	}
	// From here on it is net/http's.
	ask("/metrics")
	ask(target(4))
	want("metrics 1")
	want("5:peers6:\x7f\x00\x00\x01\x00\x04")
	c.send("GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n")
	want("ok")
	if status, _, _ := c.answer(); status != 0 {
		t.Errorf("%d after the close", status)
	}
}

// TestStop ends a front while connections are idle and while one has sent half a request.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New([]net.Listener{l}, (&fixture{logic: &scripted{}}).options()).Run(ctx) }()
	idle, half, other := dial(t, l.Addr().String()), dial(t, l.Addr().String()), dial(t, l.Addr().String())
	idle.send("GET " + target(1) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, _, _ := idle.answer(); status != 200 {
		t.Fatal(status)
	}
	half.send("GET /announce?")
	other.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, _, _ := other.answer(); status != 200 {
		t.Fatal(status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, c := range []*client{idle, half, other} {
		if status, _, _ := c.answer(); status != 0 {
			t.Errorf("%d after the end", status)
		}
	}
}

// TestPatience holds the times of a connection: 5 s for a head from its first byte on, however it drips, and 15 s
// between two requests.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		sends []string      // one a second
		want  time.Duration // until it is closed
	}{
		"silent":           {nil, headerTime},
		"dripping":         {[]string{"GET", " /a", "nn", "o", "u", "n", "c", "e", "?"}, headerTime},
		"one request":      {[]string{"GET /scrape HTTP/1.1\r\nHost: x\r\n\r\n"}, time.Second + idleTime},
		"one, then drips":  {[]string{"GET /scrape HTTP/1.1\r\nHost: x\r\n\r\n", "", "", "GET /a", "n", "n", "o", "u", "n", "c", "e"}, 4*time.Second + headerTime},
		"two, in one go":   {[]string{"", strings.Repeat("GET /scrape HTTP/1.1\r\nHost: x\r\n\r\n", 2)}, 2*time.Second + idleTime},
		"a half behind it": {[]string{"GET /scrape HTTP/1.1\r\nHost: x\r\n\r\nGET /scr"}, time.Second + headerTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlainServer(New(nil, (&fixture{logic: &scripted{}}).options()), newHandover())
				here, there := net.Pipe()
				began := time.Now()
				p.start(there)
				closed := make(chan time.Duration, 1)
				go func() {
					_, _ = io.Copy(io.Discard, here)
					closed <- time.Since(began)
				}()
				for _, s := range c.sends {
					if time.Sleep(time.Second); s == "" {
						continue
					}
					if _, err := io.WriteString(here, s); err != nil {
						break
					}
				}
				if got := <-closed; got < c.want-slack || got > c.want {
					t.Errorf("closed after %s, want %s", got, c.want)
				}
				here.Close()
				p.stop(context.Background())
			})
		})
	}
}
