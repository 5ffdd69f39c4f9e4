package shoal

import "time"

// Plan is what the rollout would do.
type Plan struct {
	Release string        `json:"release"`
	Bytes   int64         `json:"bytes"`
	Hosts   int           `json:"hosts"`
	Have    int           `json:"have"` // hosts that hold the release already
	Offline []string      `json:"offline,omitempty"`
	Links   []LinkUse     `json:"links,omitempty"` // by data centre that is fed
	Sites   []SiteShare   `json:"sites,omitempty"`
	Full    []DiskNeed    `json:"full,omitempty"`    // disks that do not hold it
	Time    time.Duration `json:"time"`              // from the first byte to the last; see Takes
	End     time.Time     `json:"end"`               // of staging, at the earliest
	By      string        `json:"by"`                // what it was worked out from: ByArithmetic or BySimulation
	Bound   string        `json:"bound"`             // what it takes the time for
	Warn    []string      `json:"warn,omitempty"`    // what may go otherwise than somebody hopes
	Refused string        `json:"refused,omitempty"` // why it must not begin, in one line
}

// What plans are worked out by: lower bounds of the lines, or the engine on lines in
// memory.
const (
	ByArithmetic = "arithmetic"
	BySimulation = "simulation"
)

// Takes says how long it takes, and how that is known.
func (p Plan) Takes() string {
	how := "at least"
	if p.By == BySimulation {
		how = "about"
	}
	return how + " " + p.Time.Round(time.Second).String() + " by " + p.By
}

// SiteShare is a data centre that takes part.
type SiteShare struct {
	Name    string `json:"name"`
	Hosts   int    `json:"hosts"`
	Have    int    `json:"have"`
	Offline int    `json:"offline"`
	Need    int64  `json:"need"` // disk, in all
	Free    int64  `json:"free"` // disk, in all
}

// LinkUse is what goes over a link.
type LinkUse struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Bytes  int64  `json:"bytes"`
	Copies int    `json:"copies"`
	Peak   int64  `json:"peak,omitempty"` // bytes a second at most; 0 is unknown
}

// DiskNeed is what a host needs, and has.
type DiskNeed struct {
	Host string `json:"host"`
	Need int64  `json:"need"`
	Free int64  `json:"free"`
}
