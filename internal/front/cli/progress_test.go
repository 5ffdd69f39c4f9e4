package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestDrawings prints one moment of a get in each way but the bar, which needs
// a terminal (see cmd/shoal).
func TestDrawings(t *testing.T) {
	start := time.Unix(1000, 0)
	p := &pace{}
	p.Add(start, 0)
	p.Add(start.Add(2*time.Second), 50_000_000)
	v := sample{State: "downloading", Done: 50_000_000, Total: 200_000_000, Peers: 7}
	t.Run("line", func(t *testing.T) {
		var b bytes.Buffer
		(&lines{w: &b}).draw(v, p)
		if want := "downloading:  25.0 % of 200.0 MB, 25.0 MB/s, ETA 6s, 7 peers\n"; b.String() != want {
			t.Errorf("got  %q\nwant %q", b.String(), want)
		}
	})
	t.Run("document", func(t *testing.T) {
		var b bytes.Buffer
		s := newShell(Streams{Out: &b, Err: &b})
		s.verb = "shoal get"
		(&documents{shell: s}).draw(v, p)
		var got map[string]any
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || strings.Count(b.String(), "\n") != 1 {
			t.Fatalf("%q: %v", b.String(), err)
		}
		for key, want := range map[string]any{"event": "progress", "verb": "get", "done": 5e7, "total": 2e8, "rate": 2.5e7, "eta_s": 6.0, "peers": 7.0} {
			if got[key] != want {
				t.Errorf("%s = %v, want %v", key, got[key], want)
			}
		}
	})
	t.Run("nothing known", func(t *testing.T) {
		if got := progressText(sample{Peers: -1}, &pace{}); got != "0 B" {
			t.Errorf("got %q", got)
		}
	})
}

// TestShowStops calls stop twice, and expects that nothing is printed later.
func TestShowStops(t *testing.T) {
	var b bytes.Buffer
	s := newShell(Streams{Out: &b, Err: &b})
	stop := s.show(func() sample { return sample{State: "hashing", Peers: -1} })
	stop()
	stop()
	if b.Len() > 0 {
		t.Errorf("work that took no time printed %q", b.String())
	}
}
