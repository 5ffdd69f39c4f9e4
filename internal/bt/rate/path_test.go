package rate

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPath: a chain that is exchanged holds for the next bytes.
func TestPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(p *Path, n int) time.Duration {
			start := time.Now()
			for range 10 {
				if err := p.Wait(t.Context(), n/10); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		var none *Path
		if d := took(none, 1e6); d != 0 || none.Limited() || none.Rate() != 0 || none.Chunk(7) != 7 {
			t.Errorf("a nil path takes %v", d)
		}
		p := NewPath(Chain{New(1e6), nil, New(5e6)})
		near(t, "the narrower of two", took(p, 1e6).Seconds(), 1, 0.03)
		p.Set(Chain{New(2e6)})
		near(t, "after the exchange", took(p, 1e6).Seconds(), 0.5, 0.03)
		if p.Rate() != 2e6 || !p.Limited() {
			t.Errorf("rate %d", p.Rate())
		}
	})
}
