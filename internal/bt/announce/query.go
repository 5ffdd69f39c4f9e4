package announce

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// ParseQuery reads the query string of an HTTP announce (what stands after the question mark). Unknown keys
// are ignored, the last of a repeated key counts, and info_hash may come once only. An error is a *Failure.
func ParseQuery(query string) (Request, error) {
	r := Request{NumWant: -1}
	r.Left = -1
	if len(query) > MaxQuery {
		return r, refuse("query is longer than %d bytes", MaxQuery)
	}
	var seen queryKeys
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, val, _ := strings.Cut(pair, "=")
		if f := r.queryParam(&seen, key, val); f != nil {
			return r, f
		}
	}
	switch {
	case !seen.hash:
		return r, refuse("info_hash is missing")
	case !seen.peer:
		return r, refuse("peer_id is missing")
	case !seen.port:
		return r, refuse("port is missing")
	}
	return r, nil
}

type queryKeys struct{ hash, peer, port bool }

// queryParam takes one parameter. A value that cannot harm by being absent (ip, numwant, ...) is dropped when
// it makes no sense, as clients in the wild send "ip=" and host names; the identity of the swarm and the peer
// must be right.
func (r *Request) queryParam(seen *queryKeys, key, val string) *Failure {
	switch key {
	case "info_hash":
		if seen.hash {
			return refuse("info_hash came twice; announce one swarm a request")
		}
		seen.hash = true
		if !unescape20((*[20]byte)(&r.InfoHash), val) {
			return refuse("info_hash is not 20 bytes")
		}
	case "peer_id":
		seen.peer = true
		if !unescape20(&r.PeerID, val) {
			return refuse("peer_id is not 20 bytes")
		}
	case "port":
		n, err := strconv.ParseUint(val, 10, 16)
		if err != nil {
			return refuse("port is not a number from 0 to 65535")
		}
		r.Port, seen.port = uint16(n), true
	case "uploaded":
		return parseCount(&r.Uploaded, key, val)
	case "downloaded":
		return parseCount(&r.Downloaded, key, val)
	case "left":
		return parseLeft(&r.Left, val)
	case "event":
		ev, ok := parseEvent(val)
		if !ok {
			return refuse("event is not one of started, stopped, completed, paused")
		}
		r.Event = ev
	default:
		r.queryExtra(key, val)
	}
	return nil
}

// queryExtra takes the parameters that never make an announce fail.
func (r *Request) queryExtra(key, val string) {
	switch key {
	case "key":
		if s, ok := unescape(val); ok && s != "" {
			r.Key, r.HasKey = parseKey(s), true
		}
	case "numwant":
		// "num want" of the oldest clients is not seen any more. Below zero means the default, as in BEP 15.
		if n, err := strconv.ParseInt(val, 10, 32); err == nil {
			r.NumWant = max(int(n), -1)
		}
	case "compact":
		r.Full = val == "0"
	case "no_peer_id":
		r.NoPeerID = val == "1"
	case "shoal":
		r.Shoal = val == "1"
	case "ip":
		if s, ok := unescape(val); ok {
			r.IP, _ = netip.ParseAddr(s)
			r.IP = r.IP.Unmap().WithZone("")
		}
	case "ipv4":
		if a := parseEndpoint(val); a.Addr().Is4() {
			r.V4 = a
		}
	case "ipv6":
		if a := parseEndpoint(val); a.Addr().Is6() {
			r.V6 = a
		}
	case "dc", "size", "slow", "moved":
		if r.Ledger == nil {
			r.Ledger = &Ledger{}
		}
		r.Ledger.param(key, val)
	case "nets":
		if s, ok := unescape(val); ok {
			if h, err := multihome.ParseHomes(s); err == nil {
				r.Homes = &h
			}
		}
	case "trackerid":
		if s, ok := unescape(val); ok {
			r.TrackerID = cut(s)
		}
	}
}

// ParseScrapeQuery reads the info_hash parameters of an HTTP scrape (BEP 48), at most max of them; none means
// that all swarms are asked for. An error is a *Failure.
func ParseScrapeQuery(query string, max int) ([]metainfo.InfoHash, error) {
	if len(query) > MaxQuery {
		return nil, refuse("query is longer than %d bytes", MaxQuery)
	}
	var out []metainfo.InfoHash
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, val, _ := strings.Cut(pair, "=")
		if key != "info_hash" {
			continue
		}
		if len(out) >= max {
			return nil, refuse("more than %d info_hash in one scrape", max)
		}
		var h metainfo.InfoHash
		if !unescape20((*[20]byte)(&h), val) {
			return nil, refuse("info_hash is not 20 bytes")
		}
		out = append(out, h)
	}
	return out, nil
}

// parseCount reads a byte counter; negative ones are refused, too big ones (a wrapped -1) are unknown, hence 0.
func parseCount(dst *int64, key, val string) *Failure {
	n, err := strconv.ParseUint(val, 10, 64)
	if err != nil {
		return refuse("%s is not a number", key)
	}
	if n > math.MaxInt64 {
		n = 0
	}
	*dst = int64(n)
	return nil
}

// parseLeft reads the bytes left. Negative and wrapped values are how clients say "I do not know".
func parseLeft(dst *int64, val string) *Failure {
	if n, err := strconv.ParseInt(val, 10, 64); err == nil {
		*dst = max(n, -1)
		return nil
	}
	if _, err := strconv.ParseUint(val, 10, 64); err != nil {
		return refuse("left is not a number")
	}
	*dst = -1
	return nil
}

// parseKey makes the 32-bit key of BEP 15 out of HTTP's text: clients that speak both send eight hex digits.
// Anything else is folded (FNV-1a), which keeps equal keys equal.
func parseKey(s string) uint32 {
	if len(s) <= 8 {
		if n, err := strconv.ParseUint(s, 16, 32); err == nil {
			return uint32(n)
		}
	}
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// parseEndpoint reads BEP 7's value: an address, or an address with a port. Zero when it is neither.
func parseEndpoint(val string) netip.AddrPort {
	s, ok := unescape(val)
	if !ok {
		return netip.AddrPort{}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a.Unmap().WithZone(""), 0)
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	}
	return netip.AddrPort{}
}

// unescape20 decodes exactly 20 bytes without garbage. A plus is a space: libraries that encode forms write
// it so, and they escape a real plus.
func unescape20(dst *[20]byte, s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '%':
			if i+2 >= len(s) {
				return false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return false
			}
			c = hi<<4 | lo
			i += 2
		case '+':
			c = ' '
		}
		if n == len(dst) {
			return false
		}
		dst[n] = c
		n++
	}
	return n == len(dst)
}

// unescape decodes a short text value; most need no work.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			b = append(b, hi<<4|lo)
			i += 2
		case '+':
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
