package trial

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() Options {
	return Options{
		At: []string{"a", "a", "b", "b"}, Source: "a", HostRate: 1e6, SourceRate: 1e6, Pieces: 20, PieceLength: 16 << 10, Limit: time.Minute, Seed: 1,
		Links:   []Link{{A: "a", B: "b", Rate: 5e5}},
		Latency: func(_, _ string) time.Duration { return time.Millisecond },
	}
}

func run(t *testing.T, o Options) (r *Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// TestRun: everybody has everything, and what went each way is what came.
func TestRun(t *testing.T) {
	o := options()
	r := run(t, o)
	size := int64(o.Pieces * o.PieceLength)
	var came int64
	for _, n := range r.Flows {
		came += n
	}
	if r.Done != 4 || r.Sites["b"].Done != 2 || r.First <= 0 || r.Last < r.Median || came < 4*size || r.Flows[Way{"a", "b"}] < size || r.SourceSent < size {
		t.Errorf("%+v", r)
	}
}

// TestSourceFails: what nobody has got from a source that dies, nobody gets.
func TestSourceFails(t *testing.T) {
	o := options()
	o.Failures = []Failure{{What: SourceFails, At: 0.05}}
	r := run(t, o)
	if r.Done != 0 || len(r.Broken) != 1 || r.Broken[0].Since <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestStore(t *testing.T) {
	r, err := newRelease(2, 16<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(r)
	if _, err := s.WriteAt([]byte("no such bytes"), 5); err == nil {
		t.Error("a store takes what is not the release")
	}
	s.MarkHave(1)
	s.MarkHave(1)
	if s.count() != 1 || s.complete() || s.verified().Count() != 1 {
		t.Errorf("it has %d pieces", s.count())
	}
	if _, err := Run(t.Context(), Options{}); err == nil {
		t.Error("nothing is pushed to nobody")
	}
}
