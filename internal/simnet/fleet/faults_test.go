package fleet

import (
	"context"
	"testing"
	"time"

	"shoal/internal/simnet"
)

// threePlaces is a fleet in three data centres.
func threePlaces() Options {
	const pieces, pieceLength, line = 80, 16 << 10, 10
	return Options{
		Hosts: 18, Pieces: pieces, PieceLength: pieceLength, Up: pieces * pieceLength / line, Seed: 1,
		Place: func(host int) string { return []string{"fra", "nyc", "sin"}[max(host, 0)%3] },
		Net: simnet.Options{Latency: func(from, to string) time.Duration {
			if from != to {
				return 5 * time.Millisecond
			}
			return 100 * time.Microsecond
		}},
	}
}

// TestFaults is what goes wrong in fleets. Every host that was not harmed has
// everything, verified and as it left, and takes hardly longer than the slowest
// one in an undisturbed run.
func TestFaults(t *testing.T) {
	calm := threePlaces()
	undisturbed := simulate(t, calm)
	if undisturbed.Done != calm.Hosts {
		t.Fatal("the undisturbed run does not end")
	}
	midway := undisturbed.Last / 2
	// A host of one's own data centre that claims everything is believed for so long: then pieces come over the WAN again.
	const found = 5 * time.Second
	for _, tt := range []struct {
		name   string
		change func(*Options)
		lost   int
		wait   time.Duration // what nobody can make up for: that a site stops believing a member takes seconds, whatever the size of the release
	}{
		{"a fifth of the hosts is killed midway", func(o *Options) {
			for i := 2; i < o.Hosts; i += 5 {
				o.Faults = append(o.Faults, Fault{At: midway, Host: i})
			}
		}, 4, 0},
		{"the tracker is killed after the first tenth", func(o *Options) {
			o.Script = func(ctx context.Context, s *Stage) {
				if s.Await(ctx, 0.1) {
					s.KillTracker()
				}
			}
		}, 0, 0},
		{"the source is killed when one copy is out", func(o *Options) {
			o.Script = func(ctx context.Context, s *Stage) {
				if s.AwaitCopy(ctx) {
					s.KillSource()
				}
			}
		}, 0, 0},
		{"a data centre is cut off for 10 s", func(o *Options) {
			o.Script = func(ctx context.Context, s *Stage) {
				if s.Await(ctx, 0.3) {
					p := s.Network().Place("sin")
					p.Cut()
					defer p.Heal()
					Pause(ctx, 10*time.Second)
				}
			}
		}, 0, 10 * time.Second},
		{"a host accepts and never sends", odd(4, Mute), 1, 0},
		{"a host claims everything and its disk hangs", odd(4, Hung), 1, found},
		{"a host claims everything and has nothing", odd(4, Empty), 1, found},
		{"a host claims everything and sends junk", odd(4, Junk), 1, 0},
		{"a host asks for nothing", odd(4, Idle), 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := threePlaces()
			tt.change(&o)
			r := simulate(t, o)
			if r.Done != o.Hosts-tt.lost {
				t.Errorf("%d of %d healthy hosts have everything", r.Done, o.Hosts-tt.lost)
			}
			t.Logf("the last host took %v, undisturbed %v", r.Last, undisturbed.Last)
			if most := undisturbed.Last + undisturbed.Last/4 + tt.wait; r.Last > most {
				t.Errorf("the last host took %v, want at most %v: undisturbed %v", r.Last, most, undisturbed.Last)
			}
		})
	}
}

func odd(host int, what Oddity) func(*Options) {
	return func(o *Options) { o.Odd = map[int]Oddity{host: what} }
}

// TestCut: a data centre that is cut off for 10 s costs the others nothing: neither what
// it was to bring in first while it is away, nor its being far behind when it is back.
func TestCut(t *testing.T) {
	calm := sites()
	calm.Hosts, calm.Pieces, calm.PieceLength = 24, 256, 32<<10
	calm.Up = int64(calm.Pieces*calm.PieceLength) / 10
	calm.Net.WAN = calm.Up / 2
	calm.Place = func(host int) string { return []string{"fra", "nyc", "sin", "syd"}[max(host, 0)/6] }
	undisturbed := simulate(t, calm)
	o := calm
	o.Script = func(ctx context.Context, s *Stage) {
		if s.Await(ctx, 0.3) {
			p := s.Network().Place("nyc")
			p.Cut()
			defer p.Heal()
			Pause(ctx, 10*time.Second)
		}
	}
	r := simulate(t, o)
	if r.Done != o.Hosts {
		t.Errorf("%d of %d hosts have everything", r.Done, o.Hosts)
	}
	for _, name := range []string{"fra", "sin", "syd"} {
		if got, most := r.Sites[name].Last, undisturbed.Sites[name].Last*5/4; got > most {
			t.Errorf("%s took %v, want at most %v", name, got, most)
		}
	}
	if got, most := r.Last, undisturbed.Last*5/4+10*time.Second; got > most {
		t.Errorf("the last host took %v, want at most %v", got, most)
	}
	for name, copies := range r.Into {
		if copies > 1.1 {
			t.Errorf("%.3f copies came into %s", copies, name)
		}
	}
}
