// Package multihome knows hosts with several addresses: which network each address is on, and at which of them
// another host should connect. It has the forms in which they travel: a text for the query of an announce, and lists
// that stand beside compact peers (BEP 23) in the answer and in peer exchange (BEP 11).
//
// It never asks the system for addresses, and believes nothing: who takes an address from outside has to judge it.
package multihome

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds on what one host says of itself.
const (
	MaxAddresses = 8
	MaxName      = 63 // bytes of the name of a network, or of a data centre
)

// Address is where a host takes connections on one network. Hosts reach each other at their addresses on a network
// of that name in their data centre. Without a name it is the address for everybody.
type Address struct {
	Net string
	At  netip.AddrPort
}

// Homes are the addresses of a host, the one that it prefers first.
type Homes struct {
	DC        string // where its networks are; empty: it does not know
	Addresses []Address
}

// Shared is where a peer of the same data centre should be connected to: at the asker's most preferred network that
// both are on with one address family. Of several addresses there the peer's first counts.
func Shared(asker, peer []Address) (at netip.AddrPort, ok bool) {
	for _, a := range asker {
		for _, b := range peer {
			if a.Net == b.Net && a.Net != "" && a.At.Addr().Is4() == b.At.Addr().Is4() {
				return b.At, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// Usable tells whether somebody could take connections at an endpoint.
func Usable(at netip.AddrPort) bool {
	ip := at.Addr()
	return at.Port() != 0 && reachable(ip)
}

func reachable(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.Is4In6() && ip.Zone() == ""
}

// Parse reads [NET=]ADDRESS[:PORT] as an operator writes it; without a port it is 0.
func Parse(text string) (a Address, err error) {
	rest := text
	if name, at, named := strings.Cut(text, "="); named {
		if !IsName(name) {
			return a, fmt.Errorf("%q: the name of a network has letters, digits, dots, dashes and underscores, at most %d", name, MaxName)
		}
		a.Net, rest = name, at
	}
	ip, bad := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]"))
	if bad == nil {
		a.At = netip.AddrPortFrom(ip.Unmap(), 0)
	} else if a.At, err = netip.ParseAddrPort(rest); err != nil || a.At.Port() == 0 {
		return Address{}, fmt.Errorf("%q is neither an IP address nor one with a port, such as 10.0.0.5 or [fd00::5]:6881", rest)
	}
	a.At = netip.AddrPortFrom(a.At.Addr().Unmap(), a.At.Port())
	if !reachable(a.At.Addr()) {
		return Address{}, fmt.Errorf("%s is no address at which others could reach this host", a.At.Addr())
	}
	return a, nil
}

// IsName tells whether a text can be the name of a network: letters, digits, dot, dash and underscore.
func IsName(s string) bool {
	return s != "" && len(s) <= MaxName && Plain(s)
}

// Plain tells whether a text has nothing but what names of networks and data centres are made of.
func Plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Append adds the text form: DC~NET~ENDPOINT~NET~ENDPOINT... Addresses without a network, and those that are too
// many, are left out.
func (h *Homes) Append(dst []byte) []byte {
	if IsName(h.DC) {
		dst = append(dst, h.DC...)
	}
	for i, n := 0, 0; i < len(h.Addresses) && n < MaxAddresses; i++ {
		if a := h.Addresses[i]; IsName(a.Net) && Usable(a.At) {
			dst = append(append(append(dst, '~'), a.Net...), '~')
			dst = a.At.AppendTo(dst)
			n++
		}
	}
	return dst
}

var errForm = errors.New("multihome: not DC~NET~ENDPOINT and more of ~NET~ENDPOINT")

// ParseHomes reads the text form, all or nothing. The result keeps no memory of the text.
func ParseHomes(text string) (h Homes, err error) {
	const longest = MaxName + MaxAddresses*(MaxName+2+len("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"))
	if len(text) > longest {
		return Homes{}, errForm
	}
	dc, rest, more := strings.Cut(strings.Clone(text), "~")
	if n := strings.Count(rest, "~") + 1; !more || n%2 != 0 || n/2 > MaxAddresses || dc != "" && !IsName(dc) {
		return Homes{}, errForm
	}
	h.DC = dc
	for more {
		var a Address
		var at string
		a.Net, rest, _ = strings.Cut(rest, "~")
		at, rest, more = strings.Cut(rest, "~")
		if a.At, err = netip.ParseAddrPort(at); err != nil || !IsName(a.Net) || !Usable(a.At) {
			return Homes{}, errForm
		}
		h.Addresses = append(h.Addresses, a)
	}
	return h, nil
}

// String is how an address is shown: NET=ENDPOINT.
func (a Address) String() string {
	at := a.At.String()
	if a.At.Port() == 0 {
		at = a.At.Addr().String()
	}
	if a.Net == "" {
		return at
	}
	return a.Net + "=" + at
}

// Default gives addresses without a port the one that the host listens at. Fresh memory.
func Default(addresses []Address, port uint16) []Address {
	out := make([]Address, 0, len(addresses))
	for _, a := range addresses {
		if a.At.Port() == 0 {
			a.At = netip.AddrPortFrom(a.At.Addr(), port)
		}
		out = append(out, a)
	}
	return out
}

// Check refuses what no host can be: too many addresses, or one twice.
func Check(addresses []Address) error {
	if len(addresses) > MaxAddresses {
		return errors.New("more than " + strconv.Itoa(MaxAddresses) + " addresses of one host")
	}
	open := map[bool]bool{}
	seen := map[netip.AddrPort]bool{}
	for _, a := range addresses {
		four := a.At.Addr().Is4()
		switch {
		case seen[a.At]:
			return fmt.Errorf("address %s is given twice", a.At)
		case a.Net == "" && open[four]:
			return fmt.Errorf("%s is the second address without a network: everybody can be told only one of IPv4 and one of IPv6", a)
		}
		seen[a.At], open[four] = true, open[four] || a.Net == ""
	}
	return nil
}
