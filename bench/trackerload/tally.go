package main

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"syscall"
	"time"
)

// tally is what one connection counts; only its goroutine touches it.
type tally struct {
	answers, peers int64
	refusals, lost int64
	failures       int64 // connections that broke
	reason         string
	late           histogram
}

func (t *tally) answered(after time.Duration, peers int) {
	t.answers++
	t.peers += int64(peers)
	t.late.add(after)
}

func (t *tally) refused(reason string) {
	t.refusals++
	t.reason = reason
}

func (t *tally) failed(err error) {
	t.failures++
	t.reason = err.Error()
}

// hopeless tells that nothing was ever answered and going on makes no sense.
func (t *tally) hopeless() bool { return t.answers == 0 && t.failures >= 5 }

func (t *tally) add(o *tally) {
	t.answers, t.peers = t.answers+o.answers, t.peers+o.peers
	t.refusals, t.lost = t.refusals+o.refusals, t.lost+o.lost
	t.failures += o.failures
	if o.reason != "" {
		t.reason = o.reason
	}
	for i, n := range o.late.n {
		t.late.n[i] += n
	}
}

// result is what is printed.
type result struct {
	Target   string  `json:"target"`
	Proto    string  `json:"proto"`
	Seconds  float64 `json:"seconds"`
	Answers  int64   `json:"answers"`
	Rate     float64 `json:"answers_per_second"`
	Peers    float64 `json:"peers_per_answer"`
	Lost     int64   `json:"lost"`
	Refused  int64   `json:"refused"`
	Failures int64   `json:"broken_connections"`
	Reason   string  `json:"last_reason,omitempty"` // of a refusal or a broken connection
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
}

func (t *tally) result(o *options, took time.Duration) result {
	return result{Target: o.target.String(), Proto: o.proto, Seconds: took.Seconds(), Answers: t.answers,
		Rate: float64(t.answers) / took.Seconds(), Peers: float64(t.peers) / float64(max(t.answers, 1)),
		Lost: t.lost, Refused: t.refusals, Failures: t.failures, Reason: t.reason,
		P50: t.late.quantile(0.5), P99: t.late.quantile(0.99), P999: t.late.quantile(0.999), Max: t.late.quantile(1)}
}

func (r result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %s: %.0f answers/s (%d in %.1f s), %.1f peers each; p50 %.2f ms, p99 %.2f, p99.9 %.2f, max %.2f",
		r.Proto, r.Target, r.Rate, r.Answers, r.Seconds, r.Peers, r.P50, r.P99, r.P999, r.Max)
	if r.Lost+r.Refused+r.Failures > 0 {
		fmt.Fprintf(&b, "; %d lost, %d refused, %d broken connections", r.Lost, r.Refused, r.Failures)
	}
	if r.Reason != "" {
		fmt.Fprintf(&b, " (%s)", r.Reason)
	}
	return b.String()
}

// histogram counts times in steps of at most 1/32 of their size, from a microsecond on.
type histogram struct {
	n [32 * 32]int64
}

const fine = 32 // steps a power of two

func (h *histogram) add(d time.Duration) { h.n[slotOf(d)]++ }

func slotOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 2*fine {
		return int(us)
	}
	shift := bits.Len64(us) - 6 // us>>shift is from fine to 2*fine-1
	return min(shift*fine+int(us>>shift), len(histogram{}.n)-1)
}

// upTo is the longest time of a slot, in milliseconds.
func upTo(slot int) float64 {
	if slot < 2*fine {
		return float64(slot) / 1000
	}
	shift := slot/fine - 1
	return float64(uint64(slot-shift*fine+1)<<shift-1) / 1000
}

// quantile is the time within which this part of all answers came, in milliseconds; 0 without answers.
func (h *histogram) quantile(q float64) float64 {
	var all, sum int64
	for _, n := range h.n {
		all += n
	}
	for i, n := range h.n {
		if sum += n; n > 0 && float64(sum) >= q*float64(all) {
			return upTo(i)
		}
	}
	return 0
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
