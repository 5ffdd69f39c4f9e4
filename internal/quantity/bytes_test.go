package quantity

import (
	"math"
	"strings"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{
		"20TB": 20e12, "500GiB": 500 << 30, "1B": 1, "0.5 GB": 5e8, " 7kB ": 7000, "3mb": 0, "2bytes": 2, "1EiB": 0,
	} {
		got, err := ParseBytes(in)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestParseBytesRefuses(t *testing.T) {
	for in, hint := range map[string]string{
		"": "no unit", "20": "20TB", "TB": "20TB", "20T": "unknown unit", "400mbit": "unknown unit", "5MB/s": "unknown unit",
		"0B": "between", "9999999999PB": "between", "1.2.3MB": "number", "-1GB": "number",
	} {
		got, err := ParseBytes(in)
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseBytes(%q) = %d, %v; want an error that says %q", in, got, err, hint)
		}
	}
}

// FuzzParseBytes holds that what FormatBytes prints reads back to three digits.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"20TB", "1.5GiB", "7", "..", "1mbit", "9e9B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseBytes(s)
		if err != nil {
			return
		}
		again, err := ParseBytes(FormatBytes(n))
		if err != nil || math.Abs(float64(again-n)) > 0.006*float64(n) {
			t.Fatalf("ParseBytes(%q) = %d, printed %q, read back %d, %v", s, n, FormatBytes(n), again, err)
		}
	})
}
