// Package schedule decides what a rate limit is at a given moment: by time of
// day, by weekday, by the time since a transfer began. It is arithmetic on
// values and `now`; nothing in it sleeps, and time zones are all it looks up.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a schedule must work on a host without zone files too

	"shoal/internal/quantity"
)

// MaxWindows bounds the windows of one limit.
const MaxWindows = 64

// Limit is a rate in bytes a second that may differ in windows of the week. The
// zero value is unlimited.
type Limit struct {
	Base    int64    // outside of all windows; 0: unlimited
	Windows []Window // the first one that holds wins
}

// Window is a span of the day on some days of the week, in one time zone.
type Window struct {
	Days     Days
	From, To int // minutes since midnight; From after To goes on into the next day
	Zone     *time.Location
	Rate     int64 // 0: unlimited
}

// Days is a set of weekdays, bit n for time.Weekday(n).
type Days uint8

// everyDay is the set of all seven.
const everyDay Days = 1<<7 - 1

const dayMinutes = 24 * 60

// At is the rate at now, 0 if there is no limit.
func (l Limit) At(now time.Time) int64 {
	for _, w := range l.Windows {
		if w.holds(now) {
			return w.Rate
		}
	}
	return l.Base
}

// Limited tells whether there is ever a limit.
func (l Limit) Limited() bool {
	return l.Base > 0 || slices.ContainsFunc(l.Windows, func(w Window) bool { return w.Rate > 0 })
}

// holds tells whether now is in the window. A window that crosses midnight
// belongs to the day on which it begins.
func (w Window) holds(now time.Time) bool {
	local := now.In(w.Zone)
	minute, day := local.Hour()*60+local.Minute(), local.Weekday()
	if w.From < w.To {
		return w.Days.has(day) && w.From <= minute && minute < w.To
	}
	return w.Days.has(day) && minute >= w.From || w.Days.has((day+6)%7) && minute < w.To
}

func (d Days) has(day time.Weekday) bool { return d&(1<<day) != 0 }

// Next is the first moment after now at which the rate differs from that at
// now; ok is false when it never will.
func (l Limit) Next(now time.Time) (at time.Time, ok bool) {
	var edges []time.Time
	for _, w := range l.Windows {
		y, m, d := now.In(w.Zone).Date()
		for day := range 9 { // a week, and a day on either side for windows that cross midnight
			for _, minute := range [...]int{w.From, w.To} {
				if t := time.Date(y, m, d+day-1, 0, minute, 0, 0, w.Zone); t.After(now) {
					edges = append(edges, t)
				}
			}
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	was := l.At(now)
	for _, t := range edges {
		if l.At(t) != was {
			return t, true
		}
	}
	return time.Time{}, false
}

// rampTarget is what a ramp rises to when there is no limit, in bytes a second;
// rampFloor is the share of its target that it begins with.
const (
	rampTarget = 1_250_000_000 // 10 Gbit/s
	rampFloor  = 20
)

// Ramp is the rate that a transfer may have so long after it began, when it
// shall rise evenly to limit (0: unlimited) within length.
func Ramp(limit int64, since, length time.Duration) int64 {
	if since >= length {
		return limit
	}
	target := limit
	if target <= 0 {
		target = rampTarget
	}
	share := max(since, 0).Seconds() / length.Seconds()
	return max(int64(float64(target)*share), target/rampFloor, 1)
}

// Parse reads a limit: a rate, then any number of windows, set apart by
// semicolons, as in
//
//	400mbit; mon-fri 08:00-20:00 Europe/Berlin 50mbit; sat-sun unlimited
//
// See ParseWindow for their form. The rate in front may be left out: unlimited.
func Parse(s string) (Limit, error) {
	var l Limit
	for n, part := range strings.Split(s, ";") {
		if r, err := quantity.ParseRate(part); n == 0 && (err == nil || !looksWindow(part)) {
			if err != nil {
				return Limit{}, err
			}
			l.Base = r
			continue
		}
		if len(l.Windows) >= MaxWindows {
			return Limit{}, fmt.Errorf("more than %d windows", MaxWindows)
		}
		w, err := ParseWindow(part, time.UTC)
		if err != nil {
			return Limit{}, err
		}
		l.Windows = append(l.Windows, w)
	}
	return l, nil
}

// looksWindow tells a window from a rate that is merely wrong.
func looksWindow(s string) bool {
	f := strings.Fields(s)
	if len(f) < 2 {
		return false
	}
	_, isDays := parseDays(f[0])
	return isDays || strings.Contains(f[0], ":")
}

const windowHint = "write for example \"mon-fri 08:00-20:00 Europe/Berlin 50mbit\""

// ParseWindow reads DAYS, HH:MM-HH:MM, ZONE and RATE, in this order. One of the
// first two may be left out, and ZONE when it is the one given. DAYS is a
// weekday, a range (fri-mon) or a list of those with commas.
func ParseWindow(s string, zone *time.Location) (Window, error) {
	w := Window{Days: everyDay, To: dayMinutes, Zone: zone}
	rest := strings.Fields(s)
	days, isDays := Days(0), false
	if len(rest) > 0 {
		if days, isDays = parseDays(rest[0]); isDays {
			w.Days, rest = days, rest[1:]
		}
	}
	isTime := len(rest) > 0 && strings.Contains(rest[0], ":")
	if isTime {
		var err error
		if w.From, w.To, err = parseSpan(rest[0]); err != nil {
			return w, fmt.Errorf("window %q: %w", strings.TrimSpace(s), err)
		}
		rest = rest[1:]
	}
	if !isDays && !isTime {
		return w, fmt.Errorf("window %q: begins with neither days nor a time; %s", strings.TrimSpace(s), windowHint)
	}
	if len(rest) > 1 && isLetter(rest[0][0]) {
		z, err := time.LoadLocation(rest[0])
		if err != nil {
			return w, fmt.Errorf("window %q: no time zone is called %q; write for example Europe/Berlin or UTC", strings.TrimSpace(s), rest[0])
		}
		w.Zone, rest = z, rest[1:]
	}
	if len(rest) == 0 {
		return w, fmt.Errorf("window %q: has no rate; %s", strings.TrimSpace(s), windowHint)
	}
	r, err := quantity.ParseRate(strings.Join(rest, " "))
	if err != nil {
		return w, fmt.Errorf("window %q: %w", strings.TrimSpace(s), err)
	}
	w.Rate = r
	return w, nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// weekdays begins as time.Weekday does.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// parseDays reads "mon", "mon-fri", "sat,sun" or "daily"; ok is false for
// anything else.
func parseDays(s string) (d Days, ok bool) {
	if strings.EqualFold(s, "daily") {
		return everyDay, true
	}
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, b := slices.Index(weekdays(), first), slices.Index(weekdays(), last)
		if a < 0 || b < 0 {
			return 0, false
		}
		for n := a; ; n = (n + 1) % 7 {
			if d |= 1 << n; n == b {
				break
			}
		}
	}
	return d, true
}

// parseSpan reads "08:00-20:00"; "24:00" is the end of a day.
func parseSpan(s string) (from, to int, err error) {
	a, b, ok := strings.Cut(s, "-")
	from, okFrom := parseClock(a)
	to, okTo := parseClock(b)
	switch {
	case !ok || !okFrom || !okTo || from == dayMinutes:
		return 0, 0, fmt.Errorf("%q is no span of the day; write for example 08:00-20:00", s)
	case from == to:
		return 0, 0, fmt.Errorf("%q is empty; the whole day is 00:00-24:00", s)
	}
	return from, to, nil
}

// parseClock reads "7:30" or "07:30" as minutes.
func parseClock(s string) (minutes int, ok bool) {
	hours, mins, found := strings.Cut(s, ":")
	h, okH := digits(hours)
	m, okM := digits(mins)
	minutes = h*60 + m
	return minutes, found && okH && okM && len(mins) == 2 && m < 60 && minutes <= dayMinutes
}

// digits reads one or two decimal digits and nothing else.
func digits(s string) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(s) == 1 || len(s) == 2
}

// String prints a limit as Parse reads it.
func (l Limit) String() string {
	var b strings.Builder
	b.WriteString(quantity.FormatRate(l.Base))
	for _, w := range l.Windows {
		b.WriteString("; " + w.String())
	}
	return b.String()
}

// String prints a window as ParseWindow reads it.
func (w Window) String() string {
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d %s %s", w.Days, w.From/60, w.From%60, w.To/60, w.To%60, w.Zone, quantity.FormatRate(w.Rate))
}

// String prints the set as ParseWindow reads it.
func (d Days) String() string {
	if d == everyDay {
		return "daily"
	}
	var parts []string
	for day := time.Monday; day < time.Monday+7; day++ {
		first := day
		for d.has(day%7) && d.has((day+1)%7) && day < time.Monday+6 {
			day++
		}
		switch name := weekdays(); {
		case day > first:
			parts = append(parts, name[first%7]+"-"+name[day%7])
		case d.has(day % 7):
			parts = append(parts, name[day%7])
		}
	}
	return strings.Join(parts, ",")
}
