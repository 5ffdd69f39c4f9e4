package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"shoal/internal/bt/multihome"
	"shoal/internal/bt/peerconn"
)

// homed is what is known of this host's addresses. It does not change.
type homed struct {
	given  []multihome.Address // by the operator, on networks
	claims []netip.AddrPort    // by the operator, for everybody
	found  []netip.AddrPort    // of interfaces, as far as they are listened on
}

// homesOf sorts this host's addresses. Without any by the operator those of its interfaces count, if all are listened on.
func homesOf(addresses []multihome.Address, listens netip.AddrPort) (h homed, err error) {
	if err := multihome.Check(addresses); err != nil {
		return h, err
	}
	for _, a := range multihome.Default(addresses, listens.Port()) {
		if a.Net == "" {
			h.claims = append(h.claims, a.At)
		} else {
			h.given = append(h.given, a)
		}
	}
	if listens.Addr().IsUnspecified() {
		for _, a := range hostAddrs() {
			h.found = append(h.found, netip.AddrPortFrom(a, listens.Port()))
		}
	}
	return h, nil
}

// Homes are the addresses of this host on networks of its data centre, as far as its place is known at the moment.
func (p *places) Homes() []multihome.Address { return p.announced().Addresses }

// announced is what trackers of shoal are told of them.
func (p *places) announced() multihome.Homes {
	own := p.Own()
	h := multihome.Homes{DC: own.Datacenter, Addresses: p.homed.given}
	if len(h.Addresses) > 0 {
		return h
	}
	for _, n := range p.file.Networks(own.Datacenter) {
		for _, at := range p.homed.found {
			if n.Has(at.Addr()) && len(h.Addresses) < multihome.MaxAddresses {
				h.Addresses = append(h.Addresses, multihome.Address{Net: n.Name, At: at})
			}
		}
	}
	return h
}

// listenMore opens the addresses on networks of a host that is bound to another one. One that the host does not have
// is that of a translator of addresses before it, which sends what comes to the one that is bound.
func (l *listener) listenMore(ctx context.Context, h homed) error {
	bound := l.addrPort()
	if bound.Addr().IsUnspecified() {
		return nil
	}
	conf := net.ListenConfig{Control: peerconn.Control}
	for _, a := range h.given {
		if a.At == bound {
			continue
		}
		more, err := conf.Listen(ctx, "tcp", a.At.String())
		switch {
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			l.log.Info("not an address of this host: connections to it have to be forwarded", "address", a, "to", bound)
			continue
		case err != nil:
			l.Close()
			return &ConfigError{"--address " + a.String(), err}
		}
		l.more = append(l.more, more)
	}
	return nil
}

// source is the address from which a connection should come, so that it takes the network of the one that it goes to;
// not valid: any.
func (p *process) source(to netip.Addr) netip.Addr {
	own := p.places.Own().Datacenter
	for _, l := range p.in.more {
		from := endOf(l).Addr()
		for _, a := range p.places.homed.given {
			if a.At.Addr() != from || from.Is4() != to.Is4() {
				continue
			}
			if within, _ := p.places.file.InNetwork(own, a.Net, to); within || onLink(from, to) {
				return from
			}
		}
	}
	return p.local()
}

// onLink tells whether an address is in the network of the interface that has another one.
func onLink(from, to netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(from.AsSlice()) {
			return n.Contains(to.AsSlice())
		}
	}
	return false
}

// endOf is where a socket is bound.
func endOf(l net.Listener) netip.AddrPort {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
