package simulate

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/deploy/plan"
)

func TestPush(t *testing.T) {
	o := options(t)
	to, err := shoal.ParseSelector("all")
	if err != nil {
		t.Fatal(err)
	}
	host := func(dc string, seen time.Time, staged ...string) shoal.Host {
		return shoal.Host{Name: dc, Datacenter: dc, Seen: seen, Report: shoal.Report{Apps: []shoal.AppReport{{App: "web", Staged: staged}}}}
	}
	in := plan.Input{
		Release: shoal.Release{App: "web", Version: "2", Bytes: 1e9}, Rollout: shoal.Rollout{App: "web", Version: "2", To: to}, Source: "fra",
		Hosts: []shoal.Host{host("nyc", o.Now), host("ams", o.Now, "1"), host("nyc", o.Now, "1"), host("ams", o.Now, "2"), host("fra", o.Now.Add(-time.Hour))},
	}
	got, err := ForPush(in, o.Topology, o.Now)
	if want := []Site{{"ams", 1}, {"nyc", 2}}; err != nil || !reflect.DeepEqual(got.Sites, want) || got.Size != 1e9 || got.Source != "fra" {
		t.Fatalf("%+v, %v", got, err)
	}
	got.Scale = o.Scale
	r, err := Run(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	p := plan.Simulated(plan.Make(in, o.Now), r.Plan())
	var into float64
	for _, l := range p.Links {
		if l.To == "nyc" {
			into += float64(l.Bytes) / 1e9
		}
	}
	if p.By != "simulation" || p.Time < r.Bound || into < 0.99 || p.Hosts != 5 {
		t.Errorf("plan %+v", p)
	}
	in.Hosts[0].Datacenter = "moon"
	var bad *OptionError
	if _, err := ForPush(in, o.Topology, o.Now); !errors.As(err, &bad) || !strings.Contains(err.Error(), "moon") {
		t.Errorf("error %v", err)
	}
}
