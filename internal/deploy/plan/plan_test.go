package plan

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"shoal"
)

const gb = 1_000_000_000

var now = time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)

// fleet makes n online hosts a data centre, each with the rates.
func fleet(n int, up, down int64, dcs ...string) (hosts []shoal.Host) {
	for _, dc := range dcs {
		for i := range n {
			hosts = append(hosts, shoal.Host{
				Name: fmt.Sprintf("%s-%d", dc, i+1), Datacenter: dc, Up: up, Down: down, Seen: now,
				Report: shoal.Report{Free: 500 * gb},
			})
		}
	}
	return hosts
}

func input(change func(*Input)) Input {
	to, _ := shoal.ParseSelector("all")
	in := Input{
		Release: shoal.Release{App: "web", Version: "2", Bytes: 100 * gb}, Rollout: shoal.Rollout{App: "web", Version: "2", To: to},
		Hosts: fleet(10, gb, gb, "fra", "nyc"), Source: "fra", SourceUp: gb,
	}
	if change != nil {
		change(&in)
	}
	return in
}

// TestTime checks each bound where it is the longest one, by hand.
func TestTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		time   time.Duration
		bound  string
	}{
		{"everything at 1 GB/s", nil, 100 * time.Second, "host"},
		{"slow source", func(in *Input) { in.SourceUp = gb / 4 }, 400 * time.Second, "source"},
		{"slow link", func(in *Input) { in.Links = []Link{{From: "fra", To: "nyc", Rate: gb / 8}} }, 800 * time.Second, "link fra to nyc"},
		{"slow host", func(in *Input) { in.Hosts[13].Down = gb / 10 }, 1000 * time.Second, "nyc-4"},
		// 10 hosts need 1000 GB: 10 uplinks of 0.05 and the source's 1 give 1.5 GB/s; in nyc a link of 1.
		{"narrow uplinks", func(in *Input) {
			in.Hosts = fleet(10, gb/20, gb, "fra", "nyc")
			in.Links = []Link{{From: "fra", To: "nyc", Rate: gb}}
		}, 667 * time.Second, "10 hosts in fra"},
		// Three copies leave: 300 GB by the source's 0.1 and one host's 0.1 a place, of which fra has none.
		{"narrow WAN", func(in *Input) {
			in.Hosts, in.SourceUp = fleet(1, gb/10, gb, "nyc", "sin", "iad"), gb/10
		}, 1000 * time.Second, "source"},
		{"all have it", func(in *Input) { all(in.Hosts, "2") }, 0, ""},
		{"nothing known", func(in *Input) { in.Hosts, in.SourceUp = fleet(3, 0, 0, "fra"), 0 }, 0, "unknown"},
		{"one byte a second", func(in *Input) { in.SourceUp, in.Release.Bytes = 1, 1<<62 }, century, "source"},
	} {
		p := Make(input(c.change), now)
		if p.Time != c.time || !strings.Contains(p.Bound, c.bound) || c.bound == "" && p.Bound != "" {
			t.Errorf("%s: %s by %q, want %s by %q", c.name, p.Time, p.Bound, c.time, c.bound)
		}
		if !p.End.Equal(now.Add(p.Time)) || p.By != "arithmetic" {
			t.Errorf("%s: ends %s by %s", c.name, p.End, p.By)
		}
	}
}

func all(hosts []shoal.Host, version string) {
	for i := range hosts {
		hosts[i].Report.Apps = []shoal.AppReport{{App: "web", Staged: []string{"1", version}}}
	}
}

// TestLinks: one copy into each place that has none, along the widest way.
func TestLinks(t *testing.T) {
	links := []Link{
		{From: "fra", To: "nyc", Rate: 10}, {From: "fra", To: "sin", Rate: 2}, {From: "nyc", To: "sin", Rate: 5}, {From: "sin", To: "nyc", Rate: 9},
	}
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   []string
	}{
		{"relayed", nil, []string{"fra>nyc 100 x1 10", "nyc>sin 100 x1 5"}},
		{"sin has a copy", func(in *Input) { all(in.Hosts[4:5], "2") }, []string{"fra>nyc 100 x1 10"}},
		{"nyc has a copy", func(in *Input) { all(in.Hosts[2:3], "2") }, []string{"nyc>sin 100 x1 5"}},
		{"no links known", func(in *Input) { in.Links = nil }, []string{"fra>nyc 100 x1 0", "fra>sin 100 x1 0"}},
		{"source alone", func(in *Input) { in.Hosts, in.SourceUp = in.Hosts[2:4], 7 }, []string{"fra>nyc 100 x1 7"}},
		{"one place", func(in *Input) { in.Hosts = in.Hosts[:2] }, nil},
	} {
		in := input(func(in *Input) {
			in.Hosts, in.Links, in.Release.Bytes = fleet(2, gb, gb, "fra", "nyc", "sin"), links, 100
		})
		if c.change != nil {
			c.change(&in)
		}
		var got []string
		for _, u := range Make(in, now).Links {
			got = append(got, fmt.Sprintf("%s>%s %d x%d %d", u.From, u.To, u.Bytes, u.Copies, u.Peak))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRefused: what cannot fit is refused in one line, unless the gate can do without.
func TestRefused(t *testing.T) {
	full := func(in *Input) { in.Hosts[2].Report.Free = 99 * gb }
	for _, c := range []struct {
		name          string
		change        func(*Input)
		refused, warn string
	}{
		{"fits", nil, "", ""},
		{"exactly", func(in *Input) { in.Hosts[2].Report.Free = 100 * gb }, "", ""},
		{"no room", full, "1 of 20 hosts have no room: fra-3 needs 100GB and has 99GB", ""},
		{"no room with reserve", func(in *Input) { in.Hosts[2].Report.Free, in.Reserve = 100*gb, 1 }, "fra-3", ""},
		{"room when half is there", func(in *Input) {
			full(in)
			in.Hosts[2].Report.Apps = []shoal.AppReport{{App: "web", Work: &shoal.Work{Version: "2", Done: 50 * gb}}}
		}, "", ""},
		{"no room, has it", func(in *Input) { full(in); all(in.Hosts[2:3], "2") }, "", ""},
		{"no room, gate 95%", func(in *Input) { full(in); in.Rollout.Gate.Share = shoal.Percent(95) }, "", "no room"},
		{"nobody", func(in *Input) { in.Hosts = nil }, "no host matches all", ""},
		{"budget", func(in *Input) { in.Links = []Link{{From: "fra", To: "nyc", Budget: 99 * gb}} }, "budget", ""},
		{"budget met", func(in *Input) { in.Links = []Link{{From: "fra", To: "nyc", Budget: 100 * gb}} }, "", ""},
		{"offline", func(in *Input) { in.Hosts[4].Seen = now.Add(-time.Hour) }, "", "fra-5"},
		{"stage deadline", func(in *Input) { in.Rollout.Gate.Deadline = time.Minute }, "", "deadline is 1m0s"},
		{"activate-at", func(in *Input) { in.Rollout.ActivateAt = now.Add(time.Minute) }, "", "03:01:40"},
	} {
		p := Make(input(c.change), now)
		warn := strings.Join(p.Warn, "\n")
		if c.refused == "" != (p.Refused == "") || !strings.Contains(p.Refused, c.refused) || strings.Contains(p.Refused, "\n") {
			t.Errorf("%s: refused %q, want %q", c.name, p.Refused, c.refused)
		}
		if c.warn == "" != (warn == "") || !strings.Contains(warn, c.warn) {
			t.Errorf("%s: warns %q, want %q", c.name, warn, c.warn)
		}
	}
}

func TestSites(t *testing.T) {
	in := input(func(in *Input) {
		in.Hosts = fleet(3, gb, gb, "fra", "nyc")
		all(in.Hosts[:1], "2")
		in.Hosts[5].Seen = now.Add(-time.Hour)
		in.Hosts = append(in.Hosts, shoal.Host{Name: "new", Datacenter: "sin"}) // never heard of
	})
	p := Make(in, now)
	want := []shoal.SiteShare{
		{Name: "fra", Hosts: 3, Have: 1, Need: 200 * gb, Free: 1000 * gb}, {Name: "nyc", Hosts: 3, Offline: 1, Need: 300 * gb, Free: 1500 * gb},
		{Name: "sin", Hosts: 1, Offline: 1},
	}
	if !reflect.DeepEqual(p.Sites, want) || p.Hosts != 7 || p.Have != 1 || !reflect.DeepEqual(p.Offline, []string{"new", "nyc-3"}) {
		t.Errorf("got %+v", p)
	}
}
