// Package topology knows places: which data centre an address belongs to, how
// far two places are from each other, and what link lies between them, as the
// operator wrote it down in a YAML file. It is a leaf that every other package
// may use.
//
// It never reads files, resolves names or asks the system about addresses.
package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"shoal/internal/schedule"
)

// Unknown is the name of the place of everything that no data centre claims; no data centre may be called so.
const Unknown = "unknown"

// Datacenter is a place whose hosts are near each other.
type Datacenter struct {
	Name   string         // letters, digits, dot, dash and underscore; starts with a letter or digit
	Region string         // data centres of one region are nearer to each other; may be empty
	CIDRs  []netip.Prefix // masked; none overlaps another one of the file
	Racks  []Rack         // may be none
	// Networks are those on which hosts of the data centre reach each other, beside the one that all others reach them
	// by; the one to be preferred first. May be none.
	Networks []Network
	Uplink   int64 // what its hosts together can send to, and take from, all others, in bytes a second; 0: not known
}

// Rack is a part of a data centre.
type Rack struct {
	Name  string
	CIDRs []netip.Prefix // each inside of a CIDR of its data centre
}

// Network is a network on which the hosts of one data centre, or some of them, reach each other.
type Network struct {
	Name  string
	CIDRs []netip.Prefix
}

// Place is where a host is. The zero value is a host of which nothing is known.
// Places are plain values: comparable, and free to be made up.
type Place struct {
	Region, Datacenter, Rack string
}

// Known tells whether the data centre is known.
func (p Place) Known() bool { return p.Datacenter != "" }

// Name is the data centre's name, or Unknown.
func (p Place) Name() string { return cmp.Or(p.Datacenter, Unknown) }

// String is datacentre, or datacentre/rack.
func (p Place) String() string {
	if p.Rack != "" {
		return p.Name() + "/" + p.Rack
	}
	return p.Name()
}

// Distance is how far two places are from each other: the more, the farther.
type Distance int

// Distances. Hosts of unknown place count as one more data centre, so two of
// them are SameDatacenter, and one is OtherRegion from everybody else.
const (
	SameRack Distance = iota
	SameDatacenter
	SameRegion
	OtherRegion
)

// String is how a distance is shown.
func (d Distance) String() string {
	switch d {
	case SameRack:
		return "same rack"
	case SameDatacenter:
		return "same data centre"
	case SameRegion:
		return "same region"
	}
	return "other region"
}

// Local tells whether no WAN lies between.
func (d Distance) Local() bool { return d <= SameDatacenter }

// Between is the distance of two places.
func Between(a, b Place) Distance {
	switch {
	case a.Datacenter == b.Datacenter && a.Rack == b.Rack && a.Rack != "":
		return SameRack
	case a.Datacenter == b.Datacenter:
		return SameDatacenter
	case a.Region == b.Region && a.Region != "":
		return SameRegion
	}
	return OtherRegion
}

// Link is the network between two data centres. All figures hold for each
// direction alike.
type Link struct {
	Name     string         // unique in the file; "A-B" unless it says otherwise
	A, B     string         // data centres
	Capacity int64          // what the line carries, in bytes a second; 0: not known
	Limit    schedule.Limit // what all transfers together may use of it, and when
	Budget   Budget         // passing it raises an alarm and stops nothing
	Cost     float64        // of a byte, relative to other links; at least 0
}

// Other is the data centre at the other end of the link.
func (l Link) Other(datacenter string) string {
	if datacenter == l.A {
		return l.B
	}
	return l.A
}

// Map is a checked topology. It does not change and may be shared. A nil Map
// knows no places.
type Map struct {
	datacenters []Datacenter
	byName      map[string]int
	spans       []span // of data centres: sorted by prefix address, disjoint
	racks       []span // of racks: the same
	links       []Link
	byEnds      map[[2]string]int // data centres in order of name
	defaults    Link              // of pairs that no link names
	host        int64
}

// span is the prefix of a data centre, or of one of its racks.
type span struct {
	prefix     netip.Prefix
	index      int // into datacenters
	rack, line int
}

// Datacenters are all data centres in the order of the file. Not to be changed.
func (m *Map) Datacenters() []Datacenter {
	if m == nil {
		return nil
	}
	return m.datacenters
}

// Links are those that the file names, in its order. Not to be changed.
func (m *Map) Links() []Link {
	if m == nil {
		return nil
	}
	return m.links
}

// HostRate is what the network interface of a host carries each way, in bytes a
// second; 0: not known.
func (m *Map) HostRate() int64 {
	if m == nil {
		return 0
	}
	return m.host
}

// Index finds the data centre of an address: an index into Datacenters, or -1.
func (m *Map) Index(a netip.Addr) int {
	if m == nil {
		return -1
	}
	if s := find(m.spans, a); s != nil {
		return s.index
	}
	return -1
}

// find returns the span that holds an address.
func find(spans []span, a netip.Addr) *span {
	a = a.Unmap().WithZone("")
	// The only one that can contain a is the last one that starts at or before it.
	i, exact := slices.BinarySearchFunc(spans, a, func(s span, a netip.Addr) int { return s.prefix.Addr().Compare(a) })
	if !exact {
		i--
	}
	if i < 0 || !spans[i].prefix.Contains(a) {
		return nil
	}
	return &spans[i]
}

// Networks are those of a data centre. Not to be changed.
func (m *Map) Networks(datacenter string) []Network {
	if !m.Has(datacenter) {
		return nil
	}
	return m.datacenters[m.byName[datacenter]].Networks
}

// InNetwork tells whether an address is on a network of a data centre, and whether the file names that network.
func (m *Map) InNetwork(datacenter, network string, a netip.Addr) (within, named bool) {
	for _, n := range m.Networks(datacenter) {
		if n.Name == network {
			return n.Has(a), true
		}
	}
	return false, false
}

// Has tells whether an address is on the network.
func (n Network) Has(a netip.Addr) bool {
	return slices.ContainsFunc(n.CIDRs, func(c netip.Prefix) bool { return c.Contains(a) })
}

// Lookup finds the name of an address's data centre; Unknown and false when there is none.
func (m *Map) Lookup(a netip.Addr) (name string, ok bool) {
	i := m.Index(a)
	if i < 0 {
		return Unknown, false
	}
	return m.datacenters[i].Name, true
}

// PlaceOf is the place of an address; the zero Place when no data centre claims it.
func (m *Map) PlaceOf(a netip.Addr) Place {
	i := m.Index(a)
	if i < 0 {
		return Place{}
	}
	dc := m.datacenters[i]
	p := Place{Region: dc.Region, Datacenter: dc.Name}
	if s := find(m.racks, a); s != nil {
		p.Rack = dc.Racks[s.rack].Name
	}
	return p
}

// Complete fills in what the file knows of a place that was named by other
// means: its region.
func (m *Map) Complete(p Place) Place {
	if m == nil {
		return p
	}
	if i, ok := m.byName[p.Datacenter]; ok && p.Region == "" {
		p.Region = m.datacenters[i].Region
	}
	return p
}

// Has tells whether the file has a data centre of that name.
func (m *Map) Has(datacenter string) bool {
	if m == nil {
		return false
	}
	_, ok := m.byName[datacenter]
	return ok
}

// Link is the link between two different data centres, either way round. A pair
// that the file does not name has its defaults under the name "A-B", ends in
// order of name; without a file that is a link without limits and of cost 1.
// ok is false if both are the same.
func (m *Map) Link(a, b string) (l Link, ok bool) {
	if a == b {
		return Link{}, false
	}
	ends := inOrder(a, b)
	if m != nil {
		if i, found := m.byEnds[ends]; found {
			return m.links[i], true
		}
	}
	l = m.Defaults()
	l.Name, l.A, l.B = linkName(ends), ends[0], ends[1]
	return l, true
}

// Way is how dear it is to bring a byte from one data centre to another.
type Way struct {
	Cost   float64 // of the link
	Abroad bool    // between two regions: of ways of one cost the dearer
}

// Compare orders ways, the cheapest first.
func (w Way) Compare(v Way) int {
	if c := cmp.Compare(w.Cost, v.Cost); c != 0 || w.Abroad == v.Abroad {
		return c
	}
	if v.Abroad {
		return -1
	}
	return 1
}

// Way is that between two different data centres.
func (m *Map) Way(a, b Place) Way {
	l, _ := m.Link(a.Datacenter, b.Datacenter)
	return Way{l.Cost, Between(m.Complete(a), m.Complete(b)) == OtherRegion}
}

// Ways are distinct ways, the cheapest first.
type Ways []Way

// Add puts a way in, if it is not there yet.
func (ws *Ways) Add(w Way) {
	if at, is := slices.BinarySearchFunc(*ws, w, Way.Compare); !is {
		*ws = slices.Insert(*ws, at, w)
	}
}

// Rank is how many of them are cheaper than a way.
func (ws Ways) Rank(w Way) int {
	n, _ := slices.BinarySearchFunc(ws, w, Way.Compare)
	return n
}

// Ways are those between data centres. There is always one.
func (m *Map) Ways() Ways {
	if m == nil {
		return Ways{{Cost: defaultCost, Abroad: true}}
	}
	ways := Ways{{m.defaults.Cost, true}}
	regions := map[string]bool{}
	for _, dc := range m.datacenters {
		if regions[dc.Region] && dc.Region != "" {
			ways.Add(Way{m.defaults.Cost, false})
		}
		regions[dc.Region] = true
	}
	for _, l := range m.links {
		ways.Add(m.Way(Place{Datacenter: l.A}, Place{Datacenter: l.B}))
	}
	return ways
}

// defaultCost is that of a link whose cost nobody gave.
const defaultCost = 1

func inOrder(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

func linkName(ends [2]string) string {
	return cmp.Or(ends[0], Unknown) + "-" + cmp.Or(ends[1], Unknown)
}

// Defaults is what holds for a pair of data centres that no link names; it has
// neither name nor ends.
func (m *Map) Defaults() Link {
	if m == nil {
		return Link{Cost: defaultCost}
	}
	return m.defaults
}
