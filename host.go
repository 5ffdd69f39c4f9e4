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
	Report     Report            `json:"report,omitzero"` // the newest one
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
	h.Report, h.Seen = r, now
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
