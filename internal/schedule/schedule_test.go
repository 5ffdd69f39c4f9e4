package schedule

import (
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04:05 -0700", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAt: 2026-01-05 is a Monday; Berlin is an hour before UTC in winter, two in summer.
func TestAt(t *testing.T) {
	const work = "40MB/s; mon-fri 08:00-20:00 Europe/Berlin 5MB/s"
	const night = "fri 22:00-06:00 20MB/s"
	for _, c := range []struct {
		limit, now string
		want       int64
	}{
		{"", "2026-01-05 12:00:00 +0000", 0},
		{"unlimited", "2026-01-05 12:00:00 +0000", 0},
		{"5MB/s", "2026-01-05 12:00:00 +0000", 5e6},
		{work, "2026-01-05 06:59:59 +0000", 40e6},
		{work, "2026-01-05 07:00:00 +0000", 5e6},
		{work, "2026-01-05 18:59:59 +0000", 5e6},
		{work, "2026-01-05 19:00:00 +0000", 40e6},
		{work, "2026-07-06 06:00:00 +0000", 5e6}, // summer time
		{work, "2026-07-06 18:00:00 +0000", 40e6},
		{work, "2026-01-04 12:00:00 +0000", 40e6},  // Sunday
		{work, "2026-01-04 23:30:00 -0800", 5e6},   // still Sunday there, Monday in Berlin
		{night, "2026-01-09 21:59:00 +0000", 0},    // Friday
		{night, "2026-01-09 22:00:00 +0000", 20e6}, //
		{night, "2026-01-10 05:59:00 +0000", 20e6}, // Saturday: the window of Friday
		{night, "2026-01-10 06:00:00 +0000", 0},    //
		{night, "2026-01-09 03:00:00 +0000", 0},    // Thursday had none
		{night, "2026-01-10 23:00:00 +0000", 0},    //
		{"5MB/s; sat-sun unlimited", "2026-01-10 23:00:00 +0000", 0},
		{"5MB/s; sat-sun unlimited", "2026-01-12 00:00:00 +0000", 5e6},
		{"5MB/s; fri-mon 1MB/s", "2026-01-11 00:00:00 +0000", 1e6},
		{"5MB/s; 12:00-24:00 1MB/s; 12:00-13:00 2MB/s", "2026-01-11 12:30:00 +0000", 1e6}, // the first one wins
	} {
		l, err := parseOrEmpty(c.limit)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.limit, err)
			continue
		}
		if got := l.At(at(t, c.now)); got != c.want {
			t.Errorf("%q at %s is %d, want %d", c.limit, c.now, got, c.want)
		}
	}
}

func parseOrEmpty(s string) (Limit, error) {
	if s == "" {
		return Limit{}, nil
	}
	return Parse(s)
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ limit, now, want string }{
		{"5MB/s", "2026-01-05 12:00:00 +0000", ""},
		{"5MB/s; mon 5MB/s", "2026-01-05 12:00:00 +0000", ""}, // an edge without a difference
		{"40MB/s; mon-fri 08:00-20:00 Europe/Berlin 5MB/s", "2026-01-05 06:00:00 +0000", "2026-01-05 07:00:00 +0000"},
		{"40MB/s; mon-fri 08:00-20:00 Europe/Berlin 5MB/s", "2026-01-05 07:00:00 +0000", "2026-01-05 19:00:00 +0000"},
		{"40MB/s; mon-fri 08:00-20:00 Europe/Berlin 5MB/s", "2026-01-09 19:00:00 +0000", "2026-01-12 07:00:00 +0000"},
		{"fri 22:00-06:00 20MB/s", "2026-01-10 02:00:00 +0000", "2026-01-10 06:00:00 +0000"},
		{"fri 22:00-06:00 20MB/s", "2026-01-10 07:00:00 +0000", "2026-01-16 22:00:00 +0000"},
	} {
		l, err := Parse(c.limit)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := l.Next(at(t, c.now))
		if ok != (c.want != "") || ok && !got.Equal(at(t, c.want)) {
			t.Errorf("%q after %s: next %v, %v, want %s", c.limit, c.now, got, ok, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, hint := range map[string]string{
		"":                             "rate",
		"50":                           "50MB/s",
		"5MB/s; ":                      "neither days nor a time",
		"5MB/s; 1MB/s":                 "neither days nor a time",
		"5MB/s; mon":                   "has no rate",
		"5MB/s; mon UTC":               "rate",
		"5MB/s; monday 1MB/s":          "neither days nor a time",
		"5MB/s; mon 8-20 1MB/s":        "unknown unit",
		"5MB/s; mon 08:00 1MB/s":       "08:00-20:00",
		"5MB/s; 25:00-26:00 1MB/s":     "08:00-20:00",
		"5MB/s; 24:00-08:00 1MB/s":     "08:00-20:00",
		"5MB/s; 08:00-08:00 1MB/s":     "00:00-24:00",
		"5MB/s; 08:60-09:00 1MB/s":     "08:00-20:00",
		"5MB/s; 08:0-09:00 1MB/s":      "08:00-20:00",
		"5MB/s; mon Mars/Olympus 1B/s": "no time zone",
		"5MB/s; mon ../etc/x 1MB/s":    "number",
		"5MB/s; mon 50":                "no unit",
		"1MB/s" + strings.Repeat("; mon 1MB/s", MaxWindows+1): "more than",
	} {
		l, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("Parse(%.60q) = %v, %v; want an error that says %q", in, l, err, hint)
		}
	}
}

func TestString(t *testing.T) {
	for in, want := range map[string]string{
		"5MB/s": "5MB/s", "mon-fri 8:00-9:30 1MB/s": "unlimited; mon-fri 08:00-09:30 UTC 1MB/s",
		"40mbit; sat,sun,tue Europe/Berlin unlimited": "5MB/s; tue,sat-sun 00:00-24:00 Europe/Berlin unlimited",
		"1MB/s; fri-mon 2MB/s; 1:00-2:00 3MB/s":       "1MB/s; mon,fri-sun 00:00-24:00 UTC 2MB/s; daily 01:00-02:00 UTC 3MB/s",
	} {
		l, err := Parse(in)
		if err != nil || l.String() != want {
			t.Errorf("Parse(%q) prints %q, %v, want %q", in, l, err, want)
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != want {
			t.Errorf("%q reads back as %q, %v", l, again, err)
		}
	}
}

func TestRamp(t *testing.T) {
	for _, c := range []struct {
		limit         int64
		since, length time.Duration
		want          int64
	}{
		{100e6, 0, 0, 100e6},
		{100e6, -time.Second, 10 * time.Second, 5e6},
		{100e6, 0, 10 * time.Second, 5e6},
		{100e6, 2 * time.Second, 10 * time.Second, 20e6},
		{100e6, 9 * time.Second, 10 * time.Second, 90e6},
		{100e6, 10 * time.Second, 10 * time.Second, 100e6},
		{0, 5 * time.Second, 10 * time.Second, 625e6},
		{0, 10 * time.Second, 10 * time.Second, 0},
		{1, 0, time.Second, 1},
	} {
		if got := Ramp(c.limit, c.since, c.length); got != c.want {
			t.Errorf("Ramp(%d, %v, %v) = %d, want %d", c.limit, c.since, c.length, got, c.want)
		}
	}
}

// FuzzParse holds that what is accepted prints as something that means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"5MB/s", "400mbit; mon-fri 08:00-20:00 Europe/Berlin 50mbit", "fri 22:00-06:00 1B/s", ";;", "daily", "sun,x 1B/s"} {
		f.Add(s, int64(0))
	}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		l, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() {
			t.Fatalf("%q prints %q, which reads back as %q, %v", s, l, again, err)
		}
		now := time.Unix(unix%(1<<33), 0)
		if next, ok := l.Next(now); ok && (l.At(next) == l.At(now) || !next.After(now)) {
			t.Fatalf("%q: the rate at %v does not differ from that at %v", l, next, now)
		}
	})
}
