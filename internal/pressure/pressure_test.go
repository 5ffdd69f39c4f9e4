package pressure

import (
	"errors"
	"testing"
	"time"
)

const psi = "some avg10=25.89 avg60=7.63 avg300=6.49 total=83859748\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1500\n"

func TestParseStall(t *testing.T) {
	for _, c := range []struct {
		text       string
		some, full time.Duration
		ok         bool
	}{
		{psi, 83859748 * time.Microsecond, 1500 * time.Microsecond, true},
		{"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0, 0, true},
		{"new x\nsome total=7\n", 7 * time.Microsecond, 0, true},
		{"", 0, 0, false},
		{"full avg10=0.00 total=1\n", 0, 0, false},
		{"some avg10=0.00\n", 0, 0, false},
		{"some total=-1\n", 0, 0, false},
		{"some total=99999999999999999999\n", 0, 0, false},
	} {
		got, err := ParseStall([]byte(c.text))
		if got.Some != c.some || got.Full != c.full || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseStall(%q) = %+v, %v", c.text, got, err)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for _, c := range []struct {
		text      string
		all, work uint64
		ok        bool
	}{
		{"cpu  100 20 30 400 5 6 7 8 9 10\ncpu0 1 2 3\n", 576, 130, true},
		{"cpu  100 20 30 400\n", 550, 130, true},
		{"cpu0 100 20 30 400\n", 0, 0, false},
		{"cpu  100 20 30\n", 0, 0, false},
		{"cpu  100 20 x 400\n", 0, 0, false},
		{"", 0, 0, false},
	} {
		got, err := ParseCPU([]byte(c.text))
		if got.All != c.all || got.Work != c.work || (err == nil) != c.ok {
			t.Errorf("ParseCPU(%q) = %+v, %v", c.text, got, err)
		}
	}
}

// FuzzParse holds that no text makes either parser panic or return a negative time.
func FuzzParse(f *testing.F) {
	f.Add([]byte(psi))
	f.Add([]byte("cpu  1 2 3 4 5 6 7 8 9 10\n"))
	f.Add([]byte("some total=9007199254740991\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseStall(text); err == nil && (s.Some < 0 || s.Full < 0) {
			t.Errorf("%q: %+v", text, s)
		}
		if c, err := ParseCPU(text); err == nil && c.Work > c.All {
			t.Errorf("%q: %+v", text, c)
		}
	})
}

// TestGovernor: each row is one step of half a second after the one before.
func TestGovernor(t *testing.T) {
	busy, calm, between := Signals{IO: 0.9}, Signals{IO: 0.02}, Signals{IO: 0.2}
	var g Governor
	for n, c := range []struct {
		s      Signals
		flowed int64
		cap    int64
	}{
		{calm, 100e6, 0},
		{between, 100e6, 0},
		{busy, 100e6, 50e6},
		{busy, 50e6, 25e6},
		{busy, 10e6, 5e6}, // it did not even use what it had
		{between, 5e6, 5e6},
		{calm, 5e6, 5e6},
		{calm, 5e6, 6.25e6}, // calm for a while
		{between, 5e6, 6.625e6},
		{calm, 5e6, 8281250},
		{busy, 7e6, 3.5e6},
		{Signals{Memory: 0.06}, 3e6, 1.5e6},
		{Signals{CPU: 0.6}, 1e6, 500e3},
		{Signals{Others: 0.9}, 500e3, floor},
		{Signals{Queue: 120 * time.Millisecond}, 0, floor},
	} {
		if g = g.Step(c.s, c.flowed); g.Cap != c.cap || (g.Cap > 0) != (g.Why != "") {
			t.Fatalf("step %d: %+v, want a cap of %d", n, g, c.cap)
		}
	}
	steps := 0
	for ; g.Cap > 0 && steps < 100; steps++ {
		g = g.Step(calm, g.Cap)
	}
	if g != (Governor{}) || steps < 10 || steps > 40 {
		t.Errorf("it is %+v after %d calm steps", g, steps)
	}
}

// TestGovernorYieldsSoon: from a full line to the floor within 4 s.
func TestGovernorYieldsSoon(t *testing.T) {
	g, flowed := Governor{}, int64(60e6)
	for range 8 {
		g = g.Step(Signals{Others: 1}, flowed)
		flowed = min(flowed, g.Cap)
	}
	if g.Cap > 60e6/100 {
		t.Errorf("after 4 s it still takes %d", g.Cap)
	}
}
