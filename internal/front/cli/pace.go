package cli

import (
	"fmt"
	"time"
)

// paceWindow is how far back a rate looks: long enough to be calm, short
// enough to show a stall while one watches.
const paceWindow = 10 * time.Second

// pace turns a series of positions into a rate and a time to go. It keeps at
// most one position a half second, so it is small however often it is asked.
type pace struct {
	marks []mark // oldest first
}

type mark struct {
	at   time.Time
	done int64
}

// Add notes that done bytes were done at now. A position that went back (a
// second pass over the same content) starts the series anew.
func (p *pace) Add(now time.Time, done int64) {
	if n := len(p.marks); n > 0 {
		last := p.marks[n-1]
		if done < last.done {
			p.marks = p.marks[:0]
		} else if n > 1 && now.Sub(p.marks[n-2].at) < paceWindow/20 {
			p.marks = p.marks[:n-1]
		}
	}
	p.marks = append(p.marks, mark{now, done})
	for len(p.marks) > 2 && now.Sub(p.marks[0].at) > paceWindow {
		p.marks = p.marks[1:]
	}
}

// Rate is in bytes a second, zero while nothing is known.
func (p *pace) Rate() float64 {
	if len(p.marks) < 2 {
		return 0
	}
	first, last := p.marks[0], p.marks[len(p.marks)-1]
	t := last.at.Sub(first.at).Seconds()
	if t <= 0 {
		return 0
	}
	return float64(last.done-first.done) / t
}

// ETA is the time to go for so many bytes; ok is false when that is unknown or
// beyond any use.
func (p *pace) ETA(left int64) (eta time.Duration, ok bool) {
	if left <= 0 {
		return 0, true
	}
	rate := p.Rate()
	if rate <= 0 || float64(left)/rate > (1000*time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(float64(left) / rate * float64(time.Second)), true
}

// bytesText prints a number of bytes for people, in decimal units as link
// rates are: 12.3 GB.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 999.95 && unit < 6 {
		f, unit = f/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", f, " kMGTPE"[unit])
}

// rateText prints bytes a second as MB/s, the unit that --up and --down take.
func rateText(bytesPerSecond float64) string {
	return fmt.Sprintf("%.1f MB/s", bytesPerSecond/1e6)
}

// binaryText prints a piece length: 256 KiB.
func binaryText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// etaText prints a duration to the second.
func etaText(d time.Duration, ok bool) string {
	if !ok {
		return "-"
	}
	return d.Round(time.Second).String()
}

// countText is a number of things: 1 file, 2 files.
func countText(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
