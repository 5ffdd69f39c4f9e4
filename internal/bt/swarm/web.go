package swarm

import (
	"context"
	"errors"
	"time"

	"shoal/internal/bt/webseed"
)

const (
	webParallel = 3                      // pieces under way from one web seed
	webRest     = 500 * time.Millisecond // after the first failure; then doubling
	webMaxRest  = 10 * time.Minute
)

// webSource is a web seed (BEP 19): a peer that has everything, is never
// choked, and speaks HTTP.
type webSource struct {
	url   string
	seed  *webseed.Seed
	busy  int
	fails int
	rest  time.Time // ask nothing before
	dead  bool
}

func (s *state) startWeb() {
	for _, url := range s.o.WebSeeds {
		c, err := webseed.New(s.o.Info, url, webseed.Options{Agent: s.o.Client})
		if err != nil {
			s.o.Log.Warn("web seed ignored", "url", url, "err", err)
			continue
		}
		s.web = append(s.web, &webSource{url: url, seed: c})
	}
	s.fillAll()
}

// fillWeb starts fetches from a web seed, rarest pieces first.
func (s *state) fillWeb(w *webSource) {
	for !w.dead && w.busy < webParallel && !s.paused && s.left > 0 && !s.now.Before(w.rest) {
		a := s.chooseWeb()
		if a == nil {
			return
		}
		a.web = w
		w.busy++
		left := a.part.left()
		t := s.t
		t.wg.Go(func() {
			var out outcome
			var err error
			for _, gap := range left {
				if err = t.fetchWeb(s.ctx, w, a.part, gap, &out); err != nil {
					break
				}
			}
			t.post(webOver{w, a, out, err})
		})
	}
}

func (s *state) chooseWeb() *active {
	for _, a := range s.prog {
		if len(a.by) == 0 && a.web == nil {
			return a
		}
	}
	from := s.pick
	if len(s.imports.sites) > 0 { // a web seed is in none of them
		from = s.imports.pick
	}
	if piece, ok := from.Pick(nil); ok {
		return s.begin(piece)
	}
	return nil
}

// fetchWeb runs outside of the loop.
func (t *Torrent) fetchWeb(ctx context.Context, w *webSource, part *partial, gap span, out *outcome) error {
	off := gap.from
	return w.seed.Fetch(ctx, part.piece, gap.from, gap.to-gap.from, func(b []byte) error {
		if err := t.o.Down.Wait(ctx, len(b)); err != nil {
			return err
		}
		done, err := part.write(t.o.Store, nil, off, b, part.take(off, b))
		if err != nil {
			t.post(writeFailed{part, err})
			return err
		}
		off += int64(len(b))
		out.used += done.used
		if done.complete {
			out.complete, out.ok = true, done.ok
			if done.ok {
				t.o.Store.MarkHave(part.piece)
			}
		}
		return nil
	})
}

// webOver occurs when a fetch from a web seed has ended.
type webOver struct {
	w   *webSource
	a   *active
	out outcome
	err error
}

func (e webOver) apply(s *state) {
	e.w.busy--
	s.sums.webDown += e.out.used
	if e.out.used > 0 {
		e.w.fails = 0
	}
	if e.out.complete {
		pieceOver{e.a.part, e.out.ok}.apply(s)
		s.refill()
	} else if a := s.prog[e.a.part.piece]; a == e.a {
		a.web = nil
		s.orphaned(a.part.piece, a)
	}
	if e.err != nil && s.ctx.Err() == nil {
		s.failWeb(e.w, e.err)
	}
	s.fillAll()
}

// failWeb rests a web seed, or gives it up when the error will not pass.
func (s *state) failWeb(w *webSource, err error) {
	w.fails++
	rest := webRest << min(w.fails-1, 10)
	var asked *webseed.Error
	if errors.As(err, &asked) {
		rest = max(rest, asked.After)
	}
	w.rest = s.now.Add(min(rest, webMaxRest))
	w.dead = w.dead || webseed.Permanent(err) || errors.Is(err, errBanned)
	s.o.Log.Warn("web seed failed", "url", w.url, "given up", w.dead, "err", err)
}
