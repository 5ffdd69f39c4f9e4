package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/rollout"
)

// TestStateFits holds the record of a rollout over 10,000 hosts, in its largest
// states, to what any NATS server takes in a message.
func TestStateFits(t *testing.T) {
	to, err := shoal.ParseSelector("all")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	var hosts []shoal.Host
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		name := fmt.Sprintf("web-%d-%x.prod.dc%d.example.com", i, random.Uint32(), i%9)
		hosts = append(hosts, shoal.Host{Name: name, Datacenter: fmt.Sprintf("dc%d", i%9), Seen: now})
	}
	s := rollout.New(shoal.Rollout{ID: 1, App: "web", Version: "2026-11-25.1", To: to, Waves: shoal.Waves{{Size: shoal.Percent(100)}}})
	largest := 0
	for i := range 4 {
		s, _ = rollout.Decide(s, rollout.View{Hosts: hosts}, now.Add(time.Duration(i)*time.Second))
		for j := range hosts {
			m := s.Member(hosts[j].Name)
			a := shoal.AppReport{App: "web", Live: "2026-11-24.7", Staged: []string{"2026-11-24.7", "2026-11-25.1"}, Health: shoal.Healthy}
			if m != nil && m.Status == rollout.HostSwitching && j%3 == 0 {
				a.Failure = &shoal.Failure{
					Order: shoal.OrderID{Rollout: 1, Serial: m.Serial}, Step: shoal.StepHealth,
					Reason: fmt.Sprintf("exit status 1: connection to 10.0.%d.%d refused after %d ms", j>>8, j&255, random.IntN(1000)),
				}
			}
			hosts[j].Report = shoal.Report{Host: hosts[j].Name, Session: 1, Seq: uint64(i + 1), Apps: []shoal.AppReport{a}}
			hosts[j].Seen = now.Add(time.Duration(i) * time.Second)
		}
		data, err := pack(rolloutRecord{State: s})
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(data))
		back, err := unpack[rolloutRecord](data)
		if err != nil || len(back.State.Members) != len(hosts) || !slices.Equal(back.State.Members, s.Members) {
			t.Fatalf("it reads as another one, %v", err)
		}
	}
	t.Logf("%s, %d hosts: at most %d bytes", s.Phase, len(hosts), largest)
	if largest > fleetstore.MaxEntry {
		t.Errorf("%d bytes, more than %d", largest, fleetstore.MaxEntry)
	}
}
