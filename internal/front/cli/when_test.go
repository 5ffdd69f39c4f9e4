package cli

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 26, 14, 30, 5, 0, zone)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, zone) }
	for s, want := range map[string]time.Time{
		"+2h": now.Add(2 * time.Hour), "+0s": now,
		"2026-11-27T06:00:00Z": time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC), "2026-11-27T06:00:00+01:00": at(27, 6, 0),
		"2026-11-27 06:00": at(27, 6, 0), "2026-11-27T06:00": at(27, 6, 0), "2026-11-27 06:00:00": at(27, 6, 0),
		"14:31": at(26, 14, 31), "14:30": at(27, 14, 30), "06:00": at(27, 6, 0),
		"": {}, "+": {}, "+-2h": {}, "2h": {}, "25:00": {}, "tomorrow": {}, "2026-13-01 00:00": {},
	} {
		got, err := parseTime(s, now)
		if (err == nil) != !want.IsZero() || err == nil && !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
}
