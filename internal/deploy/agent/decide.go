package agent

import (
	"fmt"
	"slices"

	"shoal"
	"shoal/internal/deploy/release"
)

// deed is what to do next for an app.
type deed struct {
	Do      verb
	Version string // that it is about
	Why     string // of Rest: what it waits for; of Fail: the reason
}

// verb is a kind of deed. Those that are done at once change the record; the
// others take time and are done beside the loop.
type verb string

const (
	rest  verb = ""
	begin verb = "begin" // note that a switch begins
	fail  verb = "fail"  // note that the order cannot be carried out
	drop  verb = "drop"  // forget a switch that a newer order, or another hand, has overtaken

	learn    verb = "learn"    // get what the control plane says of a release, and judge it
	fetch    verb = "fetch"    // bring it in, verified
	runPre   verb = "pre"      // hooks before the switch
	point    verb = "point"    // switch
	runPost  verb = "post"     // hooks after it
	check    verb = "check"    // is it well
	putBack  verb = "put back" // what was live before
	awaitAck verb = "ack"      // nothing may be done before the control plane knows that the order is taken
)

// view is all that a decision about an app looks at.
type view struct {
	order   shoal.Order // the zero one: nothing is wanted
	stopped bool        // stop-all
	listing release.Listing
	record  *appRecord
	known   string // ID of the release whose metafile is at hand, not yet on disk
	acked   shoal.OrderID
}

// whole tells whether a version is on disk, verified.
func (v *view) whole(version string) bool {
	r := v.listing.Find(version)
	return r != nil && r.State != release.Staging
}

// next decides what comes next. It is a pure function, so that the agent can be
// killed after every deed: what was done shows in the listing or the record, and
// the next decision goes on from there.
func next(v view) deed {
	if s := v.record.Switch; s != nil {
		return goOn(v, s)
	}
	o := v.order
	switch {
	case o.ID == shoal.OrderID{}:
		return deed{Why: "no order"}
	case o.Hold, v.stopped && !o.Back: // going back moves no byte
		return deed{Why: "held"}
	case o.Stage != "" && !v.whole(o.Stage):
		return stage(v, o.Stage)
	case o.Live == "" || o.Live == v.listing.Current:
		return deed{Why: "done"}
	case v.record.Failure != nil && v.record.Failure.Order == o.ID && !staging(v.record.Failure.Step):
		return deed{Why: "failed"}
	case !v.whole(o.Live) && o.Back:
		return deed{fail, o.Live, o.Live + " is not on this host any more"}
	case !v.whole(o.Live):
		return stage(v, o.Live)
	case v.acked != o.ID && !o.Back:
		return deed{awaitAck, o.Live, "the control plane does not know yet that the order is taken"}
	}
	return deed{Do: begin, Version: o.Live}
}

// stage brings a version in: first what it is, then its bytes.
func stage(v view, version string) deed {
	at, r := v.record.Releases[version], v.listing.Find(version)
	if at.ID != "" && (at.ID == v.known || r != nil && r.ID == at.ID) {
		return deed{Do: fetch, Version: version}
	}
	return deed{Do: learn, Version: version}
}

// goOn goes on with a switch. Whatever came meanwhile waits until it has ended,
// but for an order to run something else: then its end is of no interest.
func goOn(v view, s *swap) deed {
	if o := v.order; o.Live != "" && o.Live != s.To && o.ID != s.Order {
		return deed{drop, s.To, fmt.Sprintf("%s is ordered instead", o.Live)}
	}
	if (s.Phase == after || s.Phase == probe) && v.listing.Current != s.To {
		return deed{fail, s.To, "somebody on the host made another release live meanwhile"}
	}
	switch s.Phase {
	case before:
		return deed{Do: runPre, Version: s.To}
	case activate:
		return deed{Do: point, Version: s.To}
	case after:
		return deed{Do: runPost, Version: s.To}
	case probe:
		return deed{Do: check, Version: s.To}
	}
	return deed{Do: putBack, Version: s.From}
}

// staging tells whether a step comes before the release is whole on disk: what
// fails there is tried again without a new order.
func staging(s shoal.Step) bool {
	return s == shoal.StepPlan || s == shoal.StepFetch || s == shoal.StepVerify
}

// wants tells whether a running deed still serves the order.
func wants(v view, d deed) bool {
	switch d.Do {
	case learn, fetch:
		return d.Version == v.order.Stage || d.Version == v.order.Live && !v.order.Back
	case runPre, runPost, check:
		return v.record.Switch == nil || goOn(v, v.record.Switch).Do == d.Do
	}
	return true // point and putBack are over in a moment
}

// pins are the versions that gc must leave.
func pins(v view, keep []string) []string {
	out := []string{v.order.Stage, v.order.Live, v.record.Previous}
	if s := v.record.Switch; s != nil {
		out = append(out, s.From, s.To)
	}
	for _, name := range keep {
		if app, version, err := shoal.ParseRelease(name); err == nil && app == v.listing.App {
			out = append(out, version)
		}
	}
	return slices.DeleteFunc(out, func(version string) bool { return version == "" })
}
