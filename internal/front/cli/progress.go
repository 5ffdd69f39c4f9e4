package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// How often progress is shown: a bar moves, lines and documents add up.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 3 * time.Second
	jsonEvery = time.Second
)

// sample is how far a piece of work is at one moment.
type sample struct {
	State string // "hashing", "downloading", ...
	Done  int64  // bytes
	Total int64  // 0 while unknown
	Peers int    // -1 where peers make no sense
}

// show shows the progress of some work until stop is called, which waits until
// the last of it is printed. poll must be cheap and safe to call from another
// goroutine.
func (s *shell) show(poll func() sample) (stop func()) {
	var draw drawing
	switch {
	case s.json:
		draw = &documents{shell: s}
	case s.screen.isTerminal():
		draw = newBar(s.screen)
	default:
		draw = &lines{w: s.screen}
	}
	quit, wg := make(chan struct{}), sync.WaitGroup{}
	wg.Go(func() {
		p := &pace{}
		p.Add(time.Now(), poll().Done)
		tick := time.NewTicker(draw.every())
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				v := poll()
				p.Add(now, v.Done)
				draw.draw(v, p)
			case <-quit:
				v := poll()
				p.Add(time.Now(), v.Done)
				draw.end(v, p)
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// drawing is one way to show progress.
type drawing interface {
	every() time.Duration
	draw(sample, *pace)
	end(sample, *pace)
}

// lines prints a line every few seconds, for logs.
type lines struct{ w io.Writer }

func (l *lines) every() time.Duration { return lineEvery }
func (l *lines) end(sample, *pace)    {}

func (l *lines) draw(v sample, p *pace) {
	fmt.Fprintf(l.w, "%s: %s\n", v.State, progressText(v, p))
}

// progressText is the right half of a bar, and all of a line.
func progressText(v sample, p *pace) string {
	text := bytesText(v.Done)
	if v.Total > 0 {
		eta, ok := p.ETA(v.Total - v.Done)
		text = fmt.Sprintf("%5.1f %% of %s, %s, ETA %s", 100*float64(v.Done)/float64(v.Total),
			bytesText(v.Total), rateText(p.Rate()), etaText(eta, ok))
	}
	if v.Peers >= 0 {
		text += ", " + countText(v.Peers, "peer")
	}
	return text
}

// documents prints a JSON document every second.
type documents struct{ shell *shell }

func (d *documents) every() time.Duration { return jsonEvery }
func (d *documents) end(sample, *pace)    {}

// progressDoc is the document {"event":"progress"}: bytes, bytes a second,
// seconds.
type progressDoc struct {
	Event string  `json:"event"`
	Verb  string  `json:"verb"`
	State string  `json:"state"`
	Done  int64   `json:"done"`
	Total int64   `json:"total"`
	Rate  int64   `json:"rate"`
	ETA   float64 `json:"eta_s,omitempty"`
	Peers *int    `json:"peers,omitempty"`
}

func (d *documents) draw(v sample, p *pace) {
	doc := progressDoc{Event: "progress", Verb: strings.TrimPrefix(d.shell.verb, "shoal "), State: v.State, Done: v.Done, Total: v.Total, Rate: int64(p.Rate())}
	if eta, ok := p.ETA(v.Total - v.Done); ok {
		doc.ETA = eta.Round(100 * time.Millisecond).Seconds()
	}
	if v.Peers >= 0 {
		doc.Peers = &v.Peers
	}
	d.shell.print(doc)
}

// bar draws on a terminal. While it lives it owns the screen, and log lines
// appear above it.
type bar struct {
	box      *mpb.Progress
	bar      *mpb.Bar
	giveBack func()

	mu          sync.Mutex
	state, text string
}

func newBar(s *screen) *bar {
	b := &bar{state: "starting"}
	b.box = mpb.New(mpb.WithOutput(s.file), mpb.WithWidth(40), mpb.WithRefreshRate(barEvery))
	b.bar = b.box.AddBar(0, mpb.BarFillerTrim(), // 0: SetTotal may change it later
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.get(&b.state) }, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + b.get(&b.text) })))
	b.giveBack = s.lend(b.box)
	return b
}

func (b *bar) get(s *string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *s
}

func (b *bar) every() time.Duration { return barEvery }

func (b *bar) draw(v sample, p *pace) {
	b.mu.Lock()
	b.state, b.text = v.State, progressText(v, p)
	b.mu.Unlock()
	b.bar.SetTotal(max(v.Total, 1), false)
	b.bar.SetCurrent(min(v.Done, v.Total))
}

// end leaves the bar behind where it stands: full only if the work is done.
func (b *bar) end(v sample, p *pace) {
	b.draw(v, p)
	if v.Total > 0 && v.Done >= v.Total {
		b.bar.SetTotal(v.Total, true)
	} else {
		b.bar.Abort(false)
	}
	b.box.Wait()
	b.giveBack()
}
