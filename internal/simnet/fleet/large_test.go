package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLarge runs the fleets that SHOAL_SIM names, as HOSTSxPIECES with commas
// between them. Further variables: SHOAL_SIM_PIECE (bytes, 16384),
// SHOAL_SIM_LINE (the line time in seconds, 60), SHOAL_SIM_SOURCE (the
// source's rate over that of a host, 1), SHOAL_SIM_UNSENT, SHOAL_SIM_SEGMENT
// and SHOAL_SIM_WINDOW (bytes) and SHOAL_SIM_FIFO (any value; see
// simnet.Options for these four), SHOAL_SIM_STAGGER (seconds),
// SHOAL_SIM_PEERS (connections a host at most), SHOAL_SIM_FAULTS (any value: a
// tenth at half rate, a tenth killed midway and back), SHOAL_SIM_SEED,
// SHOAL_SIM_SITES (data centres, 1; the source is in the first) and SHOAL_SIM_WAN
// (the rate of their links over that of a host, no limit),
// SHOAL_SIM_LIMIT (line times after which it gives up, 20), and
// SHOAL_SIM_QUIET (no line a second).
func TestLarge(t *testing.T) {
	runs := os.Getenv("SHOAL_SIM")
	if runs == "" {
		t.Skip("SHOAL_SIM is not set: see the package comment")
	}
	for run := range strings.SplitSeq(runs, ",") {
		t.Run(run, func(t *testing.T) {
			var o Options
			if _, err := fmt.Sscanf(run, "%dx%d", &o.Hosts, &o.Pieces); err != nil {
				t.Fatalf("SHOAL_SIM: %q is not HOSTSxPIECES: %v", run, err)
			}
			o.PieceLength = int(variable(t, "PIECE", 16<<10))
			o.Up = int64(float64(o.Pieces*o.PieceLength) / variable(t, "LINE", 60))
			o.SourceUp = int64(float64(o.Up) * variable(t, "SOURCE", 1))
			o.Net.Unsent = int(variable(t, "UNSENT", 0))
			o.Net.Segment = int(variable(t, "SEGMENT", 0))
			o.Net.Window = int(variable(t, "WINDOW", 0))
			o.Net.FIFO = os.Getenv("SHOAL_SIM_FIFO") != ""
			o.MaxPeers = int(variable(t, "PEERS", 0))
			o.Limit = time.Duration(variable(t, "LIMIT", 20) * variable(t, "LINE", 60) * float64(time.Second))
			o.Stagger = time.Duration(variable(t, "STAGGER", 0) * float64(time.Second))
			o.Seed = uint64(variable(t, "SEED", 1))
			if sites := int(variable(t, "SITES", 1)); sites > 1 {
				o.Place = func(host int) string { return fmt.Sprintf("dc%d", max(host, 0)*sites/o.Hosts+1) }
				o.Net.WAN = int64(float64(o.Up) * variable(t, "WAN", 0))
				o.Net.Latency = wanLatency
			}
			if os.Getenv("SHOAL_SIM_FAULTS") != "" {
				halfRateAndKilled(&o)
			}
			start := time.Now()
			r := simulate(t, o)
			fmt.Printf("%s: %v, in %.1f s\n", run, r, time.Since(start).Seconds())
			if os.Getenv("SHOAL_SIM_QUIET") == "" {
				r.Print(os.Stdout)
			}
			if want := r.Hosts; r.Done != want {
				t.Errorf("%d of %d hosts have everything", r.Done, want)
			}
		})
	}
}

// wanLatency is 20 ms between data centres.
func wanLatency(from, to string) time.Duration {
	if from != to {
		return 20 * time.Millisecond
	}
	return 100 * time.Microsecond
}

func variable(t *testing.T, name string, value float64) float64 {
	text := os.Getenv("SHOAL_SIM_" + name)
	if text == "" {
		return value
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("SHOAL_SIM_%s: %v", name, err)
	}
	return value
}
