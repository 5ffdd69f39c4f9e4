package shoal

import (
	"fmt"
	"time"
)

// Host is a server that receives releases, as the control plane knows it.
type Host struct {
	Name       string            `json:"name"`
	Datacenter string            `json:"datacenter"` // topology.Unknown when nobody knows
	Rack       string            `json:"rack,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Up         int64             `json:"up,omitempty"`    // bytes a second that it can send; 0 is unknown
	Down       int64             `json:"down,omitempty"`  // bytes a second that it can receive; 0 is unknown
	Seen       time.Time         `json:"seen,omitzero"`   // by the server's clock, when it last reported or asked for orders
	Skew       time.Duration     `json:"skew,omitempty"`  // of its clock when it last reported, ahead of the server's, if that is ClockOff or more
	Report     Report            `json:"report,omitzero"` // the newest one
}

// ClockOff is how far a clock is off before people are told. Rollouts go by no
// host's clock, but people read times in its logs, and certificates run out by it.
const ClockOff = time.Minute

// SkewOf is by how much a clock is ahead of another one, the time that a call
// takes left out; 0 if nobody has to be told.
func SkewOf(clock, of time.Time) time.Duration {
	if clock.IsZero() {
		return 0
	}
	if d := clock.Round(0).Sub(of.Round(0)).Round(time.Second); d.Abs() >= ClockOff { // without the monotonic part
		return d
	}
	return 0
}

// SkewText says how a clock is off.
func SkewText(skew time.Duration) string {
	if skew < 0 {
		return (-skew).String() + " behind the server's"
	}
	return skew.String() + " ahead of the server's"
}

// OfflineAfter is how long a host may be silent before nothing new is asked
// of it. Agents ask for their orders every half of it at the latest.
const OfflineAfter = 60 * time.Second

// Online tells whether the host has been heard of lately.
func (h Host) Online(now time.Time) bool {
	return !h.Seen.IsZero() && now.Sub(h.Seen) <= OfflineAfter
}

// Hear takes a report in that arrived at the time now, and tells whether it is
// newer than the one before. A report that came twice, or late, changes nothing.
func (h *Host) Hear(r Report, now time.Time) bool {
	if !r.After(h.Report) {
		return false
	}
	h.Report, h.Seen, h.Skew = r, now, SkewOf(r.Clock, now)
	return true
}

// Label is the value that selectors see under a key: host, dc and rack are what
// the control plane knows, everything else is what the host was labelled with.
func (h Host) Label(key string) (value string, ok bool) {
	switch key {
	case "host":
		return h.Name, true
	case "dc":
		return h.Datacenter, true
	case "rack":
		return h.Rack, h.Rack != ""
	}
	value, ok = h.Labels[key]
	return value, ok
}

// CheckHost tells why a name is no good for a host; nil when it is.
func CheckHost(name string) error { return checkName("host", name, 253, "._-") }

// CheckLabel tells why a label is no good; nil when it is.
func CheckLabel(key, value string) error {
	if key == "host" || key == "dc" || key == "rack" {
		return fmt.Errorf("label %q is taken: the control plane says what it is", key)
	}
	if err := checkName("label", key, MaxLabel, "._-/"); err != nil {
		return err
	}
	return checkName("value of label "+key, value, MaxLabel, "._-/:+")
}
