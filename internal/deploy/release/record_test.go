package release

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
)

// parse reads "1:good 2:active*": versions with their states, in the order in
// which they came and were activated.
func parse(text string) *record {
	r := newRecord()
	for _, word := range strings.Fields(text) {
		version, state, _ := strings.Cut(word, ":")
		e := Release{Version: version, Bytes: 10, Added: r.tick()}
		if state, ok := strings.CutSuffix(state, "*"); ok {
			r.Current = version
			e.State = State(state)
		} else {
			e.State = State(state)
		}
		if e.State != Staging && e.State != Staged {
			e.Activated = r.tick()
		}
		r.Releases = append(r.Releases, e)
	}
	return r
}

func (r *record) text() string {
	var words []string
	for _, e := range r.Releases {
		w := e.Version + ":" + string(e.State)
		if e.Version == r.Current {
			w += "*"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name, before string
		begun        *change
		target       string
		whole        string
		after        string
	}{
		{"nothing", "", nil, "", "", ""},
		{"in line", "1:good 2:active*", nil, "releases/2", "1 2", "1:good 2:active*"},
		{"staging goes on", "1:active* 2:staging", nil, "releases/1", "1", "1:active* 2:staging"},
		{"staging ended before the record", "1:active* 2:staging", nil, "releases/1", "1 2", "1:active* 2:staged"},
		{"removed before the record", "1:good 2:active*", nil, "releases/2", "2", "2:active*"},
		{"switch did not happen", "1:active* 2:staged", &change{"1", "2", Good}, "releases/1", "1 2", "1:active* 2:staged"},
		{"switch happened", "1:active* 2:staged", &change{"1", "2", Good}, "releases/2", "1 2", "1:good 2:active*"},
		{"rollback happened", "1:good 2:active*", &change{"2", "1", Failed}, "releases/1", "1 2", "1:good* 2:failed"},
		{"first switch happened", "1:staged", &change{"", "1", Good}, "releases/1", "1", "1:active*"},
		{"switched by hand", "1:good 2:active*", nil, "releases/1", "1 2", "1:good* 2:staged"},
		{"switched by hand from a good one", "1:good 2:good*", nil, "releases/1", "1 2", "1:good* 2:good"},
		{"switched elsewhere", "1:good 2:active*", nil, "/opt/other", "1 2", "1:good 2:staged"},
		{"link removed", "1:good 2:good*", nil, "", "1 2", "1:good 2:good"},
		{"link to a folder of others", "1:active*", nil, "releases/old", "1 old", "1:staged"},
		{"link climbs", "1:active*", nil, "releases/../1", "1", "1:staged"},
		{"current was removed by hand", "1:good 2:active*", nil, "releases/2", "1", "1:good"},
		{"another switch by hand", "1:good 2:active* 3:staged", &change{"2", "3", Good}, "releases/1", "1 2 3", "1:good* 2:staged 3:staged"},
	} {
		r := parse(c.before)
		r.Switch = c.begun
		s := seen{c.target, strings.Fields(c.whole)}
		now := Moment{"boot", 5}
		left := r.Current
		changed := r.settle(s, time.Unix(9, 0), now)
		if got := r.text(); got != c.after {
			t.Errorf("%s: %s, want %s", c.name, got, c.after)
		}
		if same := c.before == c.after && c.begun == nil; changed == same {
			t.Errorf("%s: changed is %v", c.name, changed)
		}
		if e := r.find(left); e != nil && left != r.Current && (e.Left == nil || *e.Left != now) {
			t.Errorf("%s: left at %v", c.name, e.Left)
		}
		if r.settle(s, time.Unix(10, 0), now) {
			t.Errorf("%s: settled twice", c.name)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseRecord(b); err != nil || again.text() != r.text() {
			t.Errorf("%s: reads back as %v, %v", c.name, again, err)
		}
	}
}

func TestSweep(t *testing.T) {
	hour := int64(time.Hour)
	for _, c := range []struct {
		name, have string
		p          Policy
		left       map[string]Moment
		want       string
		over       int64
	}{
		{"nothing", "", Policy{Keep: 3}, nil, "", 0},
		{"one", "1:active*", Policy{Keep: 1, Quota: 1}, nil, "", 9},
		{"keep three", "1:good 2:good 3:good 4:good*", Policy{Keep: 3}, nil, "1", 0},
		{"keep one, but the way back", "1:good 2:good 3:good 4:good*", Policy{Keep: 1}, nil, "2 1", 0},
		{"failed", "1:good 2:failed 3:good*", Policy{Keep: 3}, nil, "2", 0},
		{"failed after the current one", "1:good 2:good* 3:failed", Policy{Keep: 3}, nil, "3", 0},
		{"passed over", "1:good 2:staged 3:good* 4:staged", Policy{Keep: 3}, nil, "2", 0},
		{"being fetched", "1:staging 2:good* 3:staging", Policy{Keep: 1, Quota: 1}, nil, "", 29},
		{"quota takes the oldest", "1:good 2:good 3:good 4:good*", Policy{Keep: 9, Quota: 35}, nil, "1", 0},
		{"quota cannot take pinned", "1:good 2:good 3:good 4:good*", Policy{Keep: 9, Quota: 5}, nil, "1 2", 15},
		{"pinned by name", "1:good 2:good 3:good 4:good*", Policy{Keep: 1, Pins: []string{"1"}}, nil, "2", 0},
		{"in its grace", "1:good 2:good 3:good 4:good*", Policy{Keep: 1, Grace: time.Hour},
			map[string]Moment{"2": {"b", 9 * hour}, "1": {"b", 8 * hour}}, "1", 0},
		{"grace after a boot", "1:good 2:good 3:good 4:good*", Policy{Keep: 1, Grace: 11 * time.Hour},
			map[string]Moment{"2": {"a", 0}, "1": {"a", 99 * hour}}, "", 0},
		{"nothing is current", "1:staged 2:good 3:failed", Policy{Keep: 1}, nil, "3", 0},
	} {
		r := parse(c.have)
		for v, m := range c.left {
			r.find(v).Left = &m
		}
		out, over := sweep(r, c.p, Moment{"b", 9*hour + hour/2})
		var got []string
		for _, o := range out {
			got = append(got, o.Version)
			if o.Why == "" || o.Bytes != 10 {
				t.Errorf("%s: %+v", c.name, o)
			}
		}
		if strings.Join(got, " ") != c.want || over != c.over {
			t.Errorf("%s: removes %q, %d over; want %q, %d", c.name, got, over, c.want, c.over)
		}
	}
}

func TestMoment(t *testing.T) {
	for _, c := range []struct {
		now, then Moment
		want      time.Duration
	}{
		{Moment{"a", 9}, Moment{"a", 4}, 5},
		{Moment{"a", 4}, Moment{"a", 9}, 0},
		{Moment{"b", 4}, Moment{"a", 9}, 4}, // since the boot, at least
	} {
		if got := c.now.since(c.then); got != c.want {
			t.Errorf("%v since %v: %v, want %v", c.now, c.then, got, c.want)
		}
	}
	if a, b := thisMoment(), thisMoment(); b.since(a) < 0 || a.At == 0 {
		t.Errorf("%v, then %v", a, b)
	}
}

func TestIsGone(t *testing.T) {
	for name, want := range map[string]bool{
		".1.gone-ABCDEFGH": true, ".1.2.gone-x.gone-ABCDEFGH": false, "1.gone-ABCDEFGH": false, ".1.gone-": false,
		".gone-ABCDEFGH": false, ".../x.gone-ABCDEFGH": false, ".1.staging": false, ".1.gone-ABCDEFGHI": false,
	} {
		if got := isGone(name); got != want {
			t.Errorf("isGone(%q) = %v", name, got)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, text := range []string{"", "1:good 2:active*", "1:staging"} {
		b, err := json.Marshal(parse(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"format":1,"next":3,"switch":{"to":"1","verdict":"good"},"releases":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		same, err := parseRecord(again)
		if err != nil || !reflect.DeepEqual(r, same) && r.text() != same.text() {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
		for _, e := range r.Releases {
			if shoal.CheckVersion(e.Version) != nil {
				t.Errorf("accepted %q", e.Version)
			}
		}
		// Whatever a record says, what follows from it is sane.
		r.settle(seen{"releases/1", []string{"1"}}, time.Time{}, Moment{})
		if r.Current != "" && r.find(r.Current) == nil {
			t.Errorf("current is %q, which is not there", r.Current)
		}
		out, _ := sweep(r, Policy{Keep: 1, Quota: 1}, Moment{"b", 1 << 60})
		if slices.ContainsFunc(out, func(o Removal) bool { return o.Version == r.Current || o.Version == r.previous() }) {
			t.Errorf("%s: would remove %+v", again, out)
		}
	})
}
