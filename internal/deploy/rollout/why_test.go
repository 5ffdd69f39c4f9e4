package rollout

import (
	"testing"
	"time"

	"shoal"
)

// TestWhy is the answer for what only a host itself can tell. What follows
// from the rollout stands in the scenarios.
func TestWhy(t *testing.T) {
	order := shoal.OrderID{Rollout: 1, Serial: 2}
	for _, c := range []struct {
		name   string
		change func(*shoal.Host, *shoal.AppReport)
		want   string
	}{
		{"at work", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Work = &shoal.Work{Version: "2", Step: shoal.StepFetch, Done: 25e9, Total: 100e9, Rate: 50e6, Peers: 12}
		}, "fra-1: nothing holds it up: fetch 2 (fetch 25%, 50 MB/s, 12 peers, about 25m left)"},
		{"limit", work(shoal.CauseLimit), "fra-1: held by a rate limit (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); raise the limit of the host or link if this is too slow"},
		{"disk", work(shoal.CauseDisk), "fra-1: its disk is slow (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); see what else uses the disk"},
		{"no space", work(shoal.CauseNoSpace), "fra-1: its disk is full, 3 GB free (fetch 50%, for 1m, wan 1MB/s); make room; it goes on by itself"},
		{"no peers", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Work = &shoal.Work{Version: "2", Step: shoal.StepFetch, Total: 100, Cause: shoal.CauseNoPeers, For: 4 * time.Minute, Detail: "tracker answers, 3 refused"}
		}, "fra-1: reaches nobody to fetch from (fetch 0%, 0 B/s, 0 peers, for 4m, tracker answers, 3 refused); check the tracker's address and the firewall of the swarm's port"},
		{"no piece", work(shoal.CauseNoPiece), "fra-1: peers are there, but none has what it lacks (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); see that a source or a complete host is up"},
		{"unreachable", work(shoal.CauseUnreachable), "fra-1: others cannot connect to it (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); open its swarm port, or announce the right address"},
		{"cpu", work(shoal.CauseCPU), "fra-1: its processor is the limit (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); let it be, or give the agent more CPU"},
		{"governor", work(shoal.CauseBusy), "fra-1: yields to the host's own work (fetch 50%, 1 MB/s, 3 peers, about 8m20s left, for 1m, wan 1MB/s); let it be, or start its agent without --yield; shoal ctl stats says there what is busy"},
		{"verifying", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Work = &shoal.Work{Version: "2", Step: shoal.StepVerify, Done: 200, Total: 100}
		}, "fra-1: nothing holds it up: verify 2 (verify 100%)"},
		{"another app version", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Work = &shoal.Work{Version: "1", Step: shoal.StepHealth}
		}, "fra-1: busy with 1 (health 1)"},
		{"no room", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Failure = &shoal.Failure{Order: order, Step: shoal.StepPlan, Reason: "needs 100 GB"}
		}, "fra-1: staging failed at plan: needs 100 GB (3 GB free); make room, or widen the host's policy; it tries again by itself"},
		{"no room, and another try", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Failure = &shoal.Failure{Order: order, Step: shoal.StepPlan, Cause: shoal.CauseNoSpace, Reason: "no space left in /srv: 100GB needed, 3GB free"}
			a.Work = &shoal.Work{Version: "2", Step: shoal.StepPlan, Detail: "tries again in 12s"}
		}, "fra-1: staging failed at plan: no space left in /srv: 100GB needed, 3GB free (3 GB free, tries again in 12s); make room; it goes on by itself"},
		{"goes on after that", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Failure = &shoal.Failure{Order: order, Step: shoal.StepPlan, Cause: shoal.CauseNoSpace, Reason: "no space left"}
			a.Work = &shoal.Work{Version: "2", Step: shoal.StepFetch, Done: 25e9, Total: 100e9, Rate: 50e6, Peers: 12}
		}, "fra-1: nothing holds it up: fetch 2 (fetch 25%, 50 MB/s, 12 peers, about 25m left)"},
		{"no access", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Failure = &shoal.Failure{Order: order, Step: shoal.StepPlan, Cause: shoal.CauseNoAccess, Reason: "/srv: make the folder web: permission denied"}
		}, "fra-1: staging failed at plan: /srv: make the folder web: permission denied (3 GB free); let the agent's user read and write there (owner, mode, a file system that is mounted read-only); it goes on by itself"},
		{"no access to its record", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Taken, a.Work = order, &shoal.Work{Version: "2", Step: shoal.StepPlan, Cause: shoal.CauseNoAccess, Detail: "agent.json: permission denied"}
		}, "fra-1: its agent may not read or write where releases go (plan, agent.json: permission denied); let the agent's user read and write there (owner, mode, a file system that is mounted read-only); it goes on by itself"},
		{"live on a full disk", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Live, a.Health, a.Staged = "2", shoal.Healthy, []string{"2"}
			a.Work = &shoal.Work{Step: shoal.StepPlan, Cause: shoal.CauseNoSpace, Detail: "agent.json: no space left on device"}
		}, "fra-1: it runs web@2, and could take no other order: its disk is full, 3 GB free (plan, agent.json: no space left on device); make room; it goes on by itself"},
		{"signature", func(_ *shoal.Host, a *shoal.AppReport) {
			a.Failure = &shoal.Failure{Order: order, Step: shoal.StepVerify, Reason: "signed by\nan unknown key"}
		}, "fra-1: staging failed at verify: signed by an unknown key (3 GB free); check disk and signature; it fetches what is damaged again by itself"},
		{"order unknown", func(*shoal.Host, *shoal.AppReport) {}, "fra-1: has not taken its order yet (online, knows order 0 of rollout 0); restart its agent if this lasts a minute"},
		{"order known", func(_ *shoal.Host, a *shoal.AppReport) { a.Taken = order }, "fra-1: has its order and has not begun (runs nothing)"},
		{"silent at work", func(h *shoal.Host, a *shoal.AppReport) {
			work(shoal.CauseNone)(h, a)
			h.Seen = h.Seen.Add(-90 * time.Minute)
		}, "fra-1: silent for 1h30m (last said: fetch 2 50%); see that the host is up and its agent runs: systemctl status shoal-agent"},
		{"never heard of", func(h *shoal.Host, _ *shoal.AppReport) { h.Seen = time.Time{} },
			"fra-1: never heard of; see that the host is up and its agent runs: systemctl status shoal-agent"},
	} {
		f := newFleet(t)
		r := shoal.Rollout{ID: 1, App: "web", Version: "2"}
		r.To, _ = shoal.ParseSelector("all")
		r.Waves, _ = shoal.ParseWaves("100%", shoal.Wave{})
		f.add("fra-1", nil)
		f.states = []State{New(r)}
		f.settle()
		h := f.hosts["fra-1"]
		a := shoal.AppReport{App: "web"}
		h.Report.Free = 3e9
		c.change(h, &a)
		h.Report.Apps = []shoal.AppReport{a}
		if a.Live == "2" {
			f.settle()
		}
		if got := Explain(f.states[0], f.view(1), "fra-1", f.now).String(); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	f := newFleet(t)
	if got := Explain(State{}, f.view(1), "x", f.now).String(); got != "x: no host of that name is in the fleet; check the name, or let its agent join" {
		t.Error(got)
	}
}

func work(cause shoal.Cause) func(*shoal.Host, *shoal.AppReport) {
	return func(_ *shoal.Host, a *shoal.AppReport) {
		a.Work = &shoal.Work{
			Version: "2", Step: shoal.StepFetch, Done: 500e6, Total: 1e9, Rate: 1e6, Peers: 3, Cause: cause, For: time.Minute, Detail: "wan 1MB/s",
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "2s", 50 * time.Second: "50s", 5 * time.Minute: "5m", 5*time.Minute + 10*time.Second: "5m10s",
		2 * time.Hour: "2h", 2*time.Hour + 20*time.Minute: "2h20m", 47 * time.Hour: "47h", 72 * time.Hour: "3 days",
	} {
		if got := short(d); got != want {
			t.Errorf("%v prints as %q, want %q", d, got, want)
		}
	}
}
