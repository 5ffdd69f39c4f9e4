package plan

import (
	"reflect"
	"testing"
	"time"

	"shoal"
)

func TestSimulated(t *testing.T) {
	p := Make(input(nil), now)
	p.Warn = []string{"offline"}
	links := []shoal.LinkUse{{From: "fra", To: "nyc", Bytes: 104 * gb, Copies: 1}}
	got := Simulated(p, Simulation{Time: 130 * time.Second, Links: links, Warn: []string{"a schedule"}})
	if got.By != "simulation" || got.Time != 130*time.Second || !got.End.Equal(now.Add(130*time.Second)) ||
		!reflect.DeepEqual(got.Links, links) || !reflect.DeepEqual(got.Warn, []string{"offline", "a schedule"}) {
		t.Errorf("got %+v", got)
	}
	if got.Hosts != p.Hosts || got.Bound != p.Bound || !reflect.DeepEqual(got.Sites, p.Sites) || len(p.Warn) != 1 {
		t.Errorf("what a simulation does not know has changed: %+v", got)
	}
}
