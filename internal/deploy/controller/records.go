package controller

import (
	"strconv"
	"time"

	"shoal"
	"shoal/internal/deploy/rollout"
)

// Bounds of what the control plane keeps.
const (
	maxReleases = 20_000
	maxOpen     = 64 // rollouts that are not over
	keepOver    = 50 // rollouts that are over, for those who look back; the audit log has all
)

// rolloutRecord is a rollout as it is stored.
type rolloutRecord struct {
	State rollout.State `json:"state"`
	Plan  shoal.Plan    `json:"plan"`
	// Announced says that the notice of the plan was handed in: before that the
	// rollout does not begin.
	Announced bool `json:"announced,omitempty"`
	// Told says that the plan was delivered, or could not be for long enough, and
	// that the lead time is over: from then on servers may take copies, though
	// hosts may still have to wait behind another rollout.
	Told bool `json:"told,omitempty"`
}

// over tells that nothing follows any more, whatever hosts report.
func (r *rolloutRecord) over() bool {
	s := &r.State
	if p := s.Phase; p != rollout.Done && p != rollout.Aborted && p != rollout.RolledBack || len(s.Outbox) > 0 {
		return false
	}
	for i := range s.Members {
		switch s.Members[i].Status {
		case rollout.HostTaken, rollout.HostGone, rollout.HostUntouched, rollout.HostRestored:
		case rollout.HostLive, rollout.HostFailed, rollout.HostDrifted:
			if s.Phase == rollout.Done || s.Members[i].Switch != 0 { // it has a claim on the host
				return false
			}
		default:
			return false
		}
	}
	return true
}

// stands tells that the rollout is in nobody's way, though it may go on.
func (r *rolloutRecord) stands() bool {
	p := r.State.Phase
	return p == rollout.Done || p == rollout.Aborted || p == rollout.RolledBack
}

// rolloutKey sorts by number.
func rolloutKey(id uint64) string {
	text := strconv.FormatUint(id, 10)
	return "00000000000000000000"[len(text):] + text
}

// releaseRecord is a release as it is stored.
type releaseRecord struct {
	shoal.Release
	Metafile  string   `json:"metafile"` // name of the blob
	Signature []byte   `json:"signature,omitempty"`
	Peers     []string `json:"peers,omitempty"`
}

// fact is one of the few single values of the fleet, in the entry of its name.
type fact struct {
	Brake   *brake         `json:"brake,omitempty"`
	Freezes []shoal.Freeze `json:"freezes,omitempty"`
	Lease   *holding       `json:"lease,omitempty"`
}

// Names of facts.
const (
	brakeKey   = "brake"
	freezesKey = "freezes"
	leaseKey   = "lease"
)

type brake struct {
	Stopped bool      `json:"stopped"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
}

// goneRecord is a host that was told to go: certificates from before do not let it in.
type goneRecord struct {
	Host string    `json:"host"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`
}

// noticeRecord is a notice that is to be delivered.
type noticeRecord struct {
	Notice shoal.Notice `json:"notice"`
}

// states are the rollouts that still matter, as they are stored.
func (c *Controller) states() []rollout.State {
	var states []rollout.State
	for _, r := range c.rollouts.all() {
		if !r.over() {
			states = append(states, r.State)
		}
	}
	return states
}

func (c *Controller) brake() brake {
	if f, _, ok := c.facts.get(brakeKey); ok && f.Brake != nil {
		return *f.Brake
	}
	return brake{}
}

func (c *Controller) stopped() bool { return c.brake().Stopped }

func (c *Controller) freezes(now time.Time) []shoal.Freeze {
	f, _, _ := c.facts.get(freezesKey)
	var coming []shoal.Freeze
	for _, one := range f.Freezes {
		if one.To.After(now) {
			coming = append(coming, one)
		}
	}
	return coming
}

// view is what rollouts decide on.
func (c *Controller) view(states []rollout.State, now time.Time) rollout.View {
	return rollout.View{Hosts: c.hosts.all(), Others: states, Freezes: c.freezes(now), Stopped: c.stopped()}
}
