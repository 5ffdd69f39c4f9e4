package rollout

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"shoal"
)

// BenchmarkDecide is one look at a rollout over 10,000 hosts: when nothing has
// happened, and when all of them have to be ordered to switch.
func BenchmarkDecide(b *testing.B) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	r := shoal.Rollout{ID: 1, App: "web", Version: "2"}
	r.To, _ = shoal.ParseSelector("role=web,dc!=lab")
	r.Waves, _ = shoal.ParseWaves("100% soak=10m", shoal.Wave{})
	var v View
	for i := range 10_000 {
		v.Hosts = append(v.Hosts, shoal.Host{
			Name: fmt.Sprintf("host-%d", i), Datacenter: fmt.Sprintf("dc%d", i%9), Labels: map[string]string{"role": "web"}, Seen: now,
			Report: shoal.Report{Apps: []shoal.AppReport{{App: "web", Live: "1"}}},
		})
	}
	staging, _ := Decide(New(r), v, now)
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			Decide(staging, v, now)
		}
	})
	for i := range v.Hosts {
		v.Hosts[i].Report.Apps[0].Staged = []string{"1", "2"}
	}
	b.Run("switch", func(b *testing.B) {
		for b.Loop() {
			if next, _ := Decide(staging, v, now); next.Count(HostSwitching) != len(v.Hosts) {
				b.Fatal(summary(&next))
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		next, _ := Decide(staging, v, now)
		next.Outbox = nil
		for b.Loop() {
			text, err := json.Marshal(next)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(text)), "bytes")
		}
	})
}
