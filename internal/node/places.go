package node

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/multihome"
	"shoal/internal/topology"
)

// PlaceOptions say where this host is, and where others are.
type PlaceOptions struct {
	TopologyFile     string
	Datacenter, Rack string // of this host; "": by its address, from the file
	// Addresses of this host on networks that not everybody is on, and, without a network, what everybody is to be told
	// in place of what a tracker sees; port 0: the one that is listened on. None: from its interfaces and the file.
	Addresses []multihome.Address
}

// maxTold bounds the addresses whose data centre trackers have named, and the ways.
const maxTold = 1 << 16

// places is what a process knows of where hosts are: from its flags and its
// file, and from trackers where those say nothing. It implements swarm.Places.
type places struct {
	file  *topology.Map // nil: there is none
	homed homed

	mu    sync.Mutex
	own   topology.Place
	fixed bool                  // own comes from flags or the file
	told  map[netip.Addr]string // data centres by trackers
	ways  map[[2]string]byte    // between data centres, by trackers; both ways round
}

// Own is this host's place.
func (p *places) Own() topology.Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own
}

// learn takes what a tracker says of places. It returns this host's, and whether
// that is news. Of trackers that disagree the last one counts.
func (p *places) learn(answer *announce.Response) (own topology.Place, moved bool) {
	located := answer.Located()
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, dc := range located {
		if _, known := p.told[addr]; topology.CheckName(dc) == nil && (known || len(p.told) < maxTold) {
			p.told[addr] = dc
		}
	}
	for pair, dear := range answer.Site.EachWay() {
		if _, known := p.ways[pair]; known || len(p.ways) < maxTold {
			p.ways[pair], p.ways[[2]string{pair[1], pair[0]}] = dear, dear
		}
	}
	dc := answer.Site.DC
	if p.fixed || dc == p.own.Datacenter || topology.CheckName(dc) != nil {
		return p.own, false
	}
	p.own = p.file.Complete(topology.Place{Datacenter: dc, Rack: p.own.Rack})
	return p.own, true
}

// byTracker is the place of an address as far as trackers have named it.
func (p *places) byTracker(addr netip.Addr) topology.Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file.Complete(topology.Place{Datacenter: p.told[addr.Unmap()]})
}

// Of is a peer's place: what it says of itself, since it was told so by its
// operator; else what the file says of its address; else what a tracker does.
func (p *places) Of(addr netip.Addr, said topology.Place) topology.Place {
	if topology.CheckName(said.Datacenter) != nil {
		if at := p.file.PlaceOf(addr); at.Known() {
			return at
		}
		return p.byTracker(addr)
	}
	if topology.CheckName(said.Rack) != nil {
		said.Rack = ""
	}
	said.Region = ""
	return p.file.Complete(said)
}

// Way is how dear it is to bring a byte from one data centre to another, by the
// file, else by what trackers say. Of what they have not said the worst is taken.
func (p *places) Way(a, b topology.Place) topology.Way {
	if p.file != nil {
		return p.file.Way(a, b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if dear, known := p.ways[[2]string{a.Datacenter, b.Datacenter}]; known {
		return topology.Way{Cost: float64(dear)}
	}
	return topology.Way{Cost: math.MaxUint8}
}

// places reads the file and finds out where this host is. listen is the address
// that peers are told; not valid or unspecified: all of the host's count.
func (o PlaceOptions) places(listens netip.AddrPort) (*places, error) {
	listen := listens.Addr()
	p := &places{told: map[netip.Addr]string{}, ways: map[[2]string]byte{}}
	var err error
	if p.homed, err = homesOf(o.Addresses, listens); err != nil {
		return nil, &ConfigError{"--address", err}
	}
	if o.TopologyFile != "" {
		if p.file, err = LoadTopology(o.TopologyFile); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{o.Datacenter, o.Rack} {
		if err := topology.CheckName(name); name != "" && err != nil {
			return nil, &ConfigError{o.TopologyFile, fmt.Errorf("this host's place: %w", err)}
		}
	}
	if p.file != nil && o.Datacenter != "" && !p.file.Has(o.Datacenter) {
		return nil, &ConfigError{o.TopologyFile, fmt.Errorf("it has no data centre %q, which this host is said to be in; "+
			"add it there, or correct --datacenter", o.Datacenter)}
	}
	if o.Datacenter != "" {
		p.own, p.fixed = p.file.Complete(topology.Place{Datacenter: o.Datacenter, Rack: o.Rack}), true
		return p, nil
	}
	addrs := []netip.Addr{listen}
	if !listen.IsValid() || listen.IsUnspecified() {
		addrs = hostAddrs()
	}
	own, err := placeOfHost(p.file, addrs)
	if err != nil {
		return nil, &ConfigError{o.TopologyFile, err}
	}
	p.own, p.fixed = own, own.Known()
	if o.Rack != "" {
		p.own.Rack = o.Rack
	}
	return p, nil
}

// LoadPlaces reads a topology file and tells where this host is by it.
func LoadPlaces(o PlaceOptions) (*topology.Map, topology.Place, error) {
	p, err := o.places(netip.AddrPort{})
	if err != nil {
		return nil, topology.Place{}, err
	}
	return p.file, p.own, nil
}

// placeOfHost is where a host with several addresses is. Addresses that the
// file does not know (of bridges, tunnels) say nothing; two that it has in
// different data centres are a contradiction that only the operator can end.
func placeOfHost(file *topology.Map, addrs []netip.Addr) (topology.Place, error) {
	var own topology.Place
	var from netip.Addr
	for _, a := range addrs {
		at := file.PlaceOf(a)
		switch {
		case !at.Known():
		case own.Known() && own.Datacenter != at.Datacenter:
			return topology.Place{}, fmt.Errorf("this host has addresses in two data centres: %v in %s and %v in %s; "+
				"say which one it is in with --datacenter, or bind one address with --listen", from, own, a, at)
		case !own.Known() || own.Rack == "":
			own, from = at, a
		}
	}
	return own, nil
}

// hostAddrs are the addresses of this host's interfaces that others could
// reach it by; none if the system does not tell.
func hostAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			out = append(out, ip)
		}
	}
	return out
}
