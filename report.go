package shoal

import (
	"cmp"
	"slices"
	"time"
)

// OrderID names an order: the rollout that wants it, and a serial that rises
// with every order that this rollout gives to anyone.
type OrderID struct {
	Rollout uint64 `json:"rollout"`
	Serial  uint64 `json:"serial"`
}

// Order is what the control plane wants of one app on one host. It names a
// state and not a deed: a host that is in it has nothing to do, so the same
// order can come twice, and only the newest one matters.
//
// A host reports an order as taken before it acts on it. Staging that failed it
// tries again by itself, a switch that failed only when a newer order says so.
type Order struct {
	ID   OrderID `json:"id"`
	Host string  `json:"host"`
	App  string  `json:"app"`
	// Stage is the version to hold, verified, beside the live one; empty is none.
	Stage string `json:"stage,omitempty"`
	// Live is the version to be live and healthy; empty is whatever is live.
	Live string `json:"live,omitempty"`
	// Back says that Live is the way back to what ran before: no byte moves.
	Back bool `json:"back,omitempty"`
	// Hold says to begin nothing and to move no byte until it is lifted; what
	// is in the middle of a switch finishes it.
	Hold bool `json:"hold,omitempty"`
}

// Report is all that a host says of itself. It is whole each time, so that any
// number of them may be lost, and numbered, so that a late one does no harm.
type Report struct {
	Host string `json:"host"`
	// Session is counted by the server, up by one each time the host connects;
	// Seq by the host, up by one with each report of the session. So the order
	// holds over restarts of both, a wiped disk and a clock that is wrong.
	Session uint64      `json:"session"`
	Seq     uint64      `json:"seq"`
	Free    int64       `json:"free,omitempty"` // bytes free where releases go
	Clock   time.Time   `json:"clock,omitzero"` // the host's; only to notice that it is off
	Apps    []AppReport `json:"apps,omitempty"` // one an app
}

// After tells whether the report is newer than another one.
func (r Report) After(o Report) bool {
	return cmp.Or(cmp.Compare(r.Session, o.Session), cmp.Compare(r.Seq, o.Seq)) > 0
}

// App is what the report says of an app; of one that is not there, nothing.
func (r Report) App(name string) AppReport {
	if i := slices.IndexFunc(r.Apps, func(a AppReport) bool { return a.App == name }); i >= 0 {
		return r.Apps[i]
	}
	return AppReport{App: name}
}

// AppReport is the state of one app on a host.
type AppReport struct {
	App     string   `json:"app"`
	Live    string   `json:"live,omitempty"`    // version that current points at; empty is none
	Health  Health   `json:"health,omitempty"`  // of the live one
	Staged  []string `json:"staged,omitempty"`  // versions whole and verified on disk, the live one included
	Taken   OrderID  `json:"taken,omitzero"`    // the newest order that the host knows
	Failure *Failure `json:"failure,omitempty"` // the order that could not be carried out, until one could
	Work    *Work    `json:"work,omitempty"`    // what it is doing right now; nil when nothing
}

// Health is what the health check says of a live release.
type Health string

// A release without a check is healthy once its hooks have passed.
const (
	HealthUnknown Health = "" // not asked yet
	Healthy       Health = "ok"
	Unhealthy     Health = "bad"
)

// Step is a step of the agent's way from an order to its state.
type Step string

// The steps, in their order.
const (
	StepPlan     Step = "plan"     // is there room, is it allowed
	StepFetch    Step = "fetch"    // bytes into staging
	StepVerify   Step = "verify"   // every byte, signature and policy
	StepHooks    Step = "hooks"    // pre-activate
	StepActivate Step = "activate" // switch, post-activate
	StepHealth   Step = "health"   // the health check
)

// Failure is an order that could not be carried out. When the switch had
// already happened, the host has put back what was live before.
type Failure struct {
	Order  OrderID `json:"order"`
	Step   Step    `json:"step"`
	Cause  Cause   `json:"cause,omitempty"`
	Reason string  `json:"reason"` // one line
}

// Work is a step that is under way, or is to be tried again.
type Work struct {
	Version string        `json:"version"`
	Step    Step          `json:"step"`
	For     time.Duration `json:"for,omitempty"`   // how long, by the host's own count
	Done    int64         `json:"done,omitempty"`  // bytes
	Total   int64         `json:"total,omitempty"` // bytes
	Rate    int64         `json:"rate,omitempty"`  // bytes a second, lately
	Peers   int           `json:"peers,omitempty"` // connected
	Cause   Cause         `json:"cause,omitempty"` // of being slow or stuck
	Detail  string        `json:"detail,omitempty"`
}

// Cause is what holds a step up.
type Cause string

// Causes that a host can tell apart by itself.
const (
	CauseNone        Cause = ""
	CauseLimit       Cause = "limit"       // a configured rate
	CauseDisk        Cause = "disk"        // writes or reads are slow
	CauseNoSpace     Cause = "no-space"    // the disk is full; it waits for room
	CauseNoAccess    Cause = "no-access"   // the system does not let the agent read or write where releases go
	CauseCPU         Cause = "cpu"         // hashing
	CauseBusy        Cause = "busy"        // the governor yields to the host's own work
	CauseNoPeers     Cause = "no-peers"    // nobody to fetch from can be reached
	CauseNoPiece     Cause = "no-piece"    // peers are there, but none has what is missing
	CauseUnreachable Cause = "unreachable" // others cannot connect to it
)

// Bars tells that a host can do nothing more before its operator has helped.
func (c Cause) Bars() bool { return c == CauseNoSpace || c == CauseNoAccess }
