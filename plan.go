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
	Time    time.Duration `json:"time"`              // at least, from the first byte to the last
	End     time.Time     `json:"end"`               // of staging, at the earliest
	By      string        `json:"by"`                // what it was worked out from
	Bound   string        `json:"bound"`             // what it takes the time for
	Warn    []string      `json:"warn,omitempty"`    // what may go otherwise than somebody hopes
	Refused string        `json:"refused,omitempty"` // why it must not begin, in one line
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
