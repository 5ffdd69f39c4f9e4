// Package limit decides what a transfer may take: the table of a process's
// limits by name, and what each of them is at a moment. It is arithmetic on
// values and `now`; the buckets that hold bytes back are rate's.
package limit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal/internal/quantity"
	"shoal/internal/schedule"
	"shoal/internal/topology"
)

// Direction is up or down.
type Direction string

// Directions, as seen from this process.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// Class is the kind of connection to which a limit applies.
type Class string

// Classes. A connection is Local only when both ends are known to be in one data
// centre: a place that is not known may lie behind the narrowest link. What
// crosses to another known one counts for the link between as well.
const (
	All   Class = ""
	Local Class = "local"
	WAN   Class = "wan"
	Link  Class = "link" // one of them, see Name.Link
)

// Name says which limit is meant. It is comparable, and is written "up",
// "down-wan" or "up-link:NAME".
type Name struct {
	Direction Direction
	Class     Class
	Link      string // of Class Link
}

// String is how operators write the name.
func (n Name) String() string {
	switch n.Class {
	case All:
		return string(n.Direction)
	case Link:
		return string(n.Direction) + "-link:" + n.Link
	}
	return string(n.Direction) + "-" + string(n.Class)
}

// ParseName reads what String prints. It does not know which links there are.
func ParseName(s string) (Name, error) {
	direction, rest, found := strings.Cut(s, "-")
	n := Name{Direction: Direction(direction), Class: Class(rest)}
	if link, ok := strings.CutPrefix(rest, "link:"); ok {
		n.Class, n.Link = Link, link
	}
	bad := n.Direction != Up && n.Direction != Down || n.Class == All && found ||
		!slices.Contains([]Class{All, Local, WAN, Link}, n.Class) || n.Class == Link && n.Link == ""
	if bad {
		return Name{}, fmt.Errorf("no limit is called %q; there are up, down, up-wan, down-wan, up-local, down-local, "+
			"up-link:NAME and down-link:NAME", s)
	}
	return n, nil
}

// Names are the limits that hold for a connection in one direction between two
// places, the narrowest kind first.
func Names(d Direction, own, peer topology.Place, places *topology.Map) []Name {
	if own.Known() && own.Datacenter == peer.Datacenter {
		return []Name{{Direction: d, Class: Local}, {Direction: d}}
	}
	names := []Name{{Direction: d, Class: WAN}, {Direction: d}}
	if own.Known() && peer.Known() {
		if l, ok := places.Link(own.Datacenter, peer.Datacenter); ok {
			names = slices.Insert(names, 0, Name{d, Link, l.Name})
		}
	}
	return names
}

// wire is what a byte of payload is on the wire: between 1.7 % (two packets
// handed over at once, as virtual networks count) and 4.6 % (Ethernet, IP and
// TCP headers at an MTU of 1500) are added to it. Operators mean what their
// counters show; half of the greater figure is never off by more than 3 %.
const wire = 1.02

// Payload is the rate of payload that fills so much of the wire; 0 stays 0.
func Payload(wireRate int64) int64 {
	if wireRate <= 0 {
		return 0
	}
	return max(1, int64(float64(wireRate)/wire))
}

// Conditions are what a limit depends on beside its schedule.
type Conditions struct {
	Ramp  time.Duration // 0: none
	Began time.Time     // when the transfer began
	Cap   int64         // of the governor, in bytes a second; 0: none
	Hosts int           // that share the link's limit with us, we among them
}

// At is the rate on the wire that a limit allows now, 0 if there is none. A ramp
// and the governor bind the process as a whole, so only limits of Class All. The
// limit of a link holds for all hosts of a data centre together: what comes in
// is parted evenly among those that still fetch, while what goes out is bounded
// by those at the other end, and by the whole limit.
func At(n Name, l schedule.Limit, c Conditions, now time.Time) int64 {
	r := l.At(now)
	switch n.Class {
	case All:
		if c.Ramp > 0 {
			r = schedule.Ramp(r, now.Sub(c.Began), c.Ramp)
		}
		if c.Cap > 0 && (r == 0 || c.Cap < r) {
			r = c.Cap
		}
	case Link:
		if r > 0 && n.Direction == Down {
			r = max(1, r/int64(max(c.Hosts, 1)))
		}
	}
	return r
}

// Change is a limit that was asked for by its name.
type Change struct {
	Name  Name
	Limit schedule.Limit
}

// ParseChange reads "up-wan=50MB/s; mon-fri 08:00-20:00 10MB/s".
func ParseChange(s string) (Change, error) {
	name, text, ok := strings.Cut(s, "=")
	if !ok {
		return Change{}, fmt.Errorf("%q is not NAME=RATE; write for example up-wan=50MB/s or down=%s", s, quantity.Unlimited)
	}
	n, err := ParseName(strings.TrimSpace(name))
	if err != nil {
		return Change{}, err
	}
	l, err := schedule.Parse(text)
	if err != nil {
		return Change{}, fmt.Errorf("%s: %w", n, err)
	}
	return Change{n, l}, nil
}
