package quantity

import (
	"math"
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want int64
	}{
		{"50MB/s", 50e6}, {"400mbit", 50e6}, {"1GiB/s", 1 << 30}, {"1.5GB/s", 15e8},
		{"800kB/s", 800e3}, {"800KB", 800e3}, {"64KiB", 64 << 10}, {"512B/s", 512},
		{"10Gbit/s", 1.25e9}, {"10gbits/s", 1.25e9}, {"100Mbps", 12.5e6}, {"100mbps", 12.5e6},
		{"20MBps", 20e6}, {"8bit", 1}, {"1Mibit/s", 1 << 17}, {"3 MB/s", 3e6}, {" 3MB/s ", 3e6},
		{"2mbytes/s", 2e6}, {"1TB/s", 1e12}, {"unlimited", 0}, {"Unlimited", 0},
	} {
		got, err := ParseRate(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", tc.in, got, err, tc.want)
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	for _, tc := range []struct{ in, hint string }{
		{"", "50MB/s"}, {"MB/s", "50MB/s"}, {"50", "50MB/s"}, {"0", "0MB/s"}, {"50M", "50MB/s"},
		{"50Mb/s", "50mbit"}, {"50mb", "50MB/s"}, {"50 furlongs", "50MB/s"}, {"0MB/s", "unlimited"},
		{"1bit", "unlimited"}, {"-5MB/s", "number"}, {"1e9B/s", "unknown unit"}, {"infB/s", "number"},
		{"9999999999TB/s", "unlimited"}, {"1.2.3MB/s", "number"}, {"5xB/s", "unknown unit"}, {"5Mi", "unknown unit"},
		{"5MB/m", "unknown unit"}, {"5MiiB/s", "unknown unit"},
	} {
		got, err := ParseRate(tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.hint) {
			t.Errorf("ParseRate(%q) = %d, %v; want an error that says %q", tc.in, got, err, tc.hint)
		}
	}
}

func TestFormatRate(t *testing.T) {
	for _, tc := range []struct {
		in   int64
		want string
	}{
		{0, "unlimited"}, {1, "1B/s"}, {999, "999B/s"}, {1000, "1kB/s"}, {48_300_000, "48.3MB/s"}, {100e6, "100MB/s"},
		{999_600, "1MB/s"}, {1_234_000_000, "1.23GB/s"}, {math.MaxInt64, "9223PB/s"}, {9_996, "10kB/s"},
	} {
		if got := FormatRate(tc.in); got != tc.want {
			t.Errorf("FormatRate(%d) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

// FuzzParseRate holds that nothing panics and that what FormatRate prints of an
// accepted rate reads back as the same rate to three digits.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"50MB/s", "400mbit", "1GiB/s", "50", "unlimited", "1.5", "..", "9e9B", "5Mb/s", "\xff", "0x10B/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		again, err := ParseRate(FormatRate(r))
		if err != nil || math.Abs(float64(again-r)) > 0.006*float64(r) {
			t.Fatalf("ParseRate(%q) = %d, printed %q, read back %d, %v", s, r, FormatRate(r), again, err)
		}
	})
}
