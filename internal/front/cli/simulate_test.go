package cli

import (
	"reflect"
	"testing"
	"time"

	"shoal/internal/simulate"
)

func TestParseFailure(t *testing.T) {
	for text, want := range map[string]simulate.Failure{
		"link:fra1-sin1@50%":      {What: "link", Name: "fra1-sin1", At: 0.5},
		"datacenter:fra1@30%+10m": {What: "datacenter", Name: "fra1", At: 0.3, For: 10 * time.Minute},
		"tracker@0%":              {What: "tracker"},
		"source@12.5%":            {What: "source", At: 0.125},
		"tracker:x@1%":            {},
		"link@1%":                 {},
		"link:@1%":                {},
		"fire:a@1%":               {},
		"tracker@100%":            {},
		"tracker@-1%":             {},
		"tracker@NaN%":            {},
		"tracker@1":               {},
		"tracker":                 {},
		"tracker@1%+":             {},
		"tracker@1%+-5m":          {},
		"":                        {},
		"link:a@b@7%":             {What: "link", Name: "a@b", At: 0.07}, // no link is called so: told later
	} {
		got, err := parseFailure(text)
		if (err != nil) != (want.What == "") || err == nil && got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseSites(t *testing.T) {
	got, err := parseSites("fra1=200, ams1=1")
	if want := []simulate.Site{{Name: "fra1", Hosts: 200}, {Name: "ams1", Hosts: 1}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "fra1", "fra1=", "fra1=x", "fra1=1,,", "=1e3"} {
		if got, err := parseSites(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestSimulationFigures(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 999: 999, 1001: 1000, 123_456: 123_000, 999_999: 1_000_000} {
		if got := round3(n); got != want {
			t.Errorf("%d becomes %d, want %d", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "-", 1.26: "1.3s", 61.4: "1m1s", 3600: "1h0m0s"} {
		if got := clock(s); got != want {
			t.Errorf("%v is %q, want %q", s, got, want)
		}
	}
}
