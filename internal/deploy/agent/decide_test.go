package agent

import (
	"slices"
	"testing"

	"shoal"
	"shoal/internal/deploy/release"
)

// onDisk is a listing: the first one is live, ~ before a version says that it is
// still being staged.
func onDisk(current string, versions ...string) release.Listing {
	l := release.Listing{App: "web", Current: current}
	for _, v := range versions {
		r := release.Release{Version: v, State: release.Good, ID: "id" + v}
		if v[0] == '~' {
			r = release.Release{Version: v[1:], State: release.Staging, ID: "id" + v[1:]}
		}
		l.Releases = append(l.Releases, r)
	}
	return l
}

func TestNext(t *testing.T) {
	fit := map[string]origin{"2": {ID: "id2"}, "1": {ID: "id1"}}
	swapping := func(p phase) *appRecord {
		return &appRecord{Switch: &swap{Order: shoal.OrderID{Rollout: 1, Serial: 5}, From: "1", To: "2", Phase: p}}
	}
	failedAt := func(serial uint64, step shoal.Step) *appRecord {
		return &appRecord{Releases: fit, Failure: &failure{shoal.Failure{Order: shoal.OrderID{Rollout: 1, Serial: serial}, Step: step}, "2"}}
	}
	told := func(v view) view { v.acked = v.order.ID; return v }
	for name, c := range map[string]struct {
		v    view
		want verb
		of   string
	}{
		"nothing wanted, nothing there":      {view{}, rest, ""},
		"nothing wanted":                     {view{listing: onDisk("1", "1")}, rest, ""},
		"to stage what nobody knows":         {view{order: order(1, 1, "2", ""), listing: onDisk("1", "1")}, learn, "2"},
		"to stage what was judged":           {view{order: order(1, 1, "2", ""), record: &appRecord{Releases: fit}, known: "id2"}, fetch, "2"},
		"judged, and forgotten in a restart": {view{order: order(1, 1, "2", ""), record: &appRecord{Releases: fit}}, learn, "2"},
		"begun before a restart":             {view{order: order(1, 1, "2", ""), listing: onDisk("1", "1", "~2"), record: &appRecord{Releases: fit}}, fetch, "2"},
		"begun by hand, not judged":          {view{order: order(1, 1, "2", ""), listing: onDisk("1", "1", "~2")}, learn, "2"},
		"begun of other content":             {view{order: order(1, 1, "2", ""), listing: onDisk("1", "~2"), record: &appRecord{Releases: map[string]origin{"2": {ID: "other"}}}}, learn, "2"},
		"staged":                             {view{order: order(1, 1, "2", ""), listing: onDisk("1", "1", "2")}, rest, ""},
		"held":                               {view{order: hold(order(1, 1, "2", "2")), listing: onDisk("1", "1")}, rest, ""},
		"stopped":                            {view{order: order(1, 1, "2", "2"), listing: onDisk("1", "1", "2"), stopped: true}, rest, ""},
		"stopped, but back":                  {view{order: back(order(1, 1, "", "1")), listing: onDisk("2", "1", "2"), stopped: true}, begin, "1"},
		"to switch, not heard yet":           {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2")}, awaitAck, "2"},
		"to switch":                          {told(view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2")}), begin, "2"},
		"to switch, and not staged":          {told(view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1")}), learn, "2"},
		"to be what it is":                   {told(view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2")}), rest, ""},
		"back, which waits for no answer":    {view{order: back(order(1, 6, "", "1")), listing: onDisk("2", "1", "2")}, begin, "1"},
		"back to what is gone":               {view{order: back(order(1, 6, "", "1")), listing: onDisk("2", "2")}, fail, "1"},
		"back to what is gone, told before":  {view{order: back(order(1, 6, "", "1")), listing: onDisk("2", "2"), record: failedAt(6, shoal.StepActivate)}, rest, ""},
		"failed with this order":             {told(view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: failedAt(5, shoal.StepHealth)}), rest, ""},
		"failed with the order before":       {told(view{order: order(1, 7, "2", "2"), listing: onDisk("1", "1", "2"), record: failedAt(5, shoal.StepHealth)}), begin, "2"},
		"staging failed, and is there now":   {told(view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: failedAt(5, shoal.StepFetch)}), begin, "2"},
		"staging failed":                     {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1"), record: failedAt(5, shoal.StepFetch)}, learn, "2"},

		"before the switch":           {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: swapping(before)}, runPre, "2"},
		"at the switch":               {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: swapping(activate)}, point, "2"},
		"at the switch, and it is":    {view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2"), record: swapping(activate)}, point, "2"},
		"after the switch":            {view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2"), record: swapping(after)}, runPost, "2"},
		"is it well":                  {view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2"), record: swapping(probe)}, check, "2"},
		"it was not":                  {view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2"), record: swapping(undo)}, putBack, "1"},
		"it was not, and is undone":   {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: swapping(undo)}, putBack, "1"},
		"another hand was quicker":    {view{order: order(1, 5, "2", "2"), listing: onDisk("3", "1", "2", "3"), record: swapping(probe)}, fail, "2"},
		"held in the middle":          {view{order: hold(order(1, 5, "2", "2")), listing: onDisk("2", "1", "2"), record: swapping(probe)}, check, "2"},
		"stopped in the middle":       {view{order: order(1, 5, "2", "2"), stopped: true, listing: onDisk("2", "1", "2"), record: swapping(after)}, runPost, "2"},
		"called back in the middle":   {view{order: order(1, 6, "2", ""), listing: onDisk("2", "1", "2"), record: swapping(probe)}, check, "2"},
		"withdrawn in the middle":     {view{listing: onDisk("2", "1", "2"), record: swapping(probe)}, check, "2"},
		"ordered back in the middle":  {view{order: back(order(1, 6, "", "1")), listing: onDisk("2", "1", "2"), record: swapping(probe)}, drop, "2"},
		"ordered on in the middle":    {view{order: order(2, 6, "3", "3"), listing: onDisk("1", "1", "2", "3"), record: swapping(before)}, drop, "2"},
		"ordered again in the middle": {view{order: order(1, 7, "2", "2"), listing: onDisk("2", "1", "2"), record: swapping(probe)}, check, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.v.record == nil {
				c.v.record = &appRecord{}
			}
			if got := next(c.v); got.Do != c.want || got.Do != rest && got.Version != c.of {
				t.Errorf("%+v, want %q of %q", got, c.want, c.of)
			}
		})
	}
}

func TestWants(t *testing.T) {
	probing := &appRecord{Switch: &swap{Order: shoal.OrderID{Rollout: 1, Serial: 5}, From: "1", To: "2", Phase: probe}}
	for name, c := range map[string]struct {
		v    view
		d    deed
		want bool
	}{
		"a fetch that is wanted":        {view{order: order(1, 1, "2", "")}, deed{Do: fetch, Version: "2"}, true},
		"a fetch to switch":             {view{order: order(1, 1, "", "2")}, deed{Do: fetch, Version: "2"}, true},
		"a fetch of another one":        {view{order: order(1, 1, "3", "")}, deed{Do: fetch, Version: "2"}, false},
		"a fetch that was withdrawn":    {view{}, deed{Do: fetch, Version: "2"}, false},
		"a fetch that is held":          {view{order: hold(order(1, 1, "2", ""))}, deed{Do: fetch, Version: "2"}, true},
		"a fetch, and back to it":       {view{order: back(order(1, 1, "", "2"))}, deed{Do: fetch, Version: "2"}, false},
		"a check that goes on":          {view{order: order(1, 5, "2", "2"), listing: onDisk("2", "1", "2"), record: probing}, deed{Do: check, Version: "2"}, true},
		"a check of what goes back":     {view{order: back(order(1, 6, "", "1")), listing: onDisk("2", "1", "2"), record: probing}, deed{Do: check, Version: "2"}, false},
		"a check of what somebody left": {view{order: order(1, 5, "2", "2"), listing: onDisk("1", "1", "2"), record: probing}, deed{Do: check, Version: "2"}, false},
	} {
		if c.v.record == nil {
			c.v.record = &appRecord{}
		}
		if got := wants(c.v, c.d); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPins(t *testing.T) {
	v := view{order: order(1, 1, "3", "2"), listing: onDisk("2", "1", "2"), record: &appRecord{Previous: "1", Switch: &swap{From: "0", To: "2"}}}
	got := pins(v, []string{"web@0.9", "other@7", "nonsense", "web@../x"})
	slices.Sort(got)
	if want := []string{"0", "0.9", "1", "2", "2", "3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
