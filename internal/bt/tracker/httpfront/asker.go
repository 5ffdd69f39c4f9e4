package httpfront

import (
	"net/http"
	"net/netip"
	"strings"
)

// asker is the address that a request is from, which came by a connection from an address. The lines of
// X-Forwarded-For are believed as far as trusted proxies wrote it:
// from its end, the first address that is not a trusted proxy's is the client's. Whatever stands before that
// could have been written by the client itself.
func (f *Front) asker(from netip.Addr, lines []string) netip.Addr {
	if len(lines) == 0 || !f.trusts(from) {
		return from
	}
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			return from
		}
		if from = hop; !f.trusts(hop) {
			return from
		}
	}
	return from
}

// parseHop reads an address as proxies write it: alone, in brackets, or with a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// remoteOf is the address that the connection of a request is from.
func remoteOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // cannot happen on a TCP listener
	}
	return at.Addr().Unmap().WithZone("")
}

func (f *Front) trusts(a netip.Addr) bool {
	for _, p := range f.o.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
