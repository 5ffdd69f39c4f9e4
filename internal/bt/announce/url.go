package announce

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"shoal/internal/bt/metainfo"
)

// AppendURL adds the URL of an HTTP announce: the tracker's announce URL, whose own query is kept, and the
// request's parameters. base must be an absolute URL; a fragment in it is dropped.
func (r *Request) AppendURL(dst []byte, base string) []byte {
	dst = appendBase(dst, base)
	dst = append(dst, "info_hash="...)
	dst = appendEscaped(dst, string(r.InfoHash[:]))
	dst = append(dst, "&peer_id="...)
	dst = appendEscaped(dst, string(r.PeerID[:]))
	dst = appendInt(dst, "&port=", int64(r.Port))
	dst = appendInt(dst, "&uploaded=", r.Uploaded)
	dst = appendInt(dst, "&downloaded=", r.Downloaded)
	dst = appendInt(dst, "&left=", wireLeft(r.Left))
	if r.Full {
		dst = append(dst, "&compact=0"...)
	} else {
		dst = append(dst, "&compact=1"...)
	}
	if r.NoPeerID {
		dst = append(dst, "&no_peer_id=1"...)
	}
	if r.NumWant >= 0 {
		dst = appendInt(dst, "&numwant=", int64(r.NumWant))
	}
	if r.HasKey {
		dst = append(dst, "&key="...)
		for shift := 28; shift >= 0; shift -= 4 {
			dst = append(dst, upperHex[r.Key>>shift&15])
		}
	}
	if r.Shoal {
		dst = append(dst, "&shoal=1"...)
	}
	if r.Homes != nil && len(r.Homes.Addresses) > 0 {
		dst = appendEscaped(append(dst, "&nets="...), string(r.Homes.Append(nil)))
	}
	dst = r.Ledger.appendQuery(dst)
	if r.Event != None {
		dst = append(append(dst, "&event="...), r.Event.String()...)
	}
	return r.appendClaims(dst)
}

func (r *Request) appendClaims(dst []byte) []byte {
	if r.IP.IsValid() {
		dst = append(dst, "&ip="...)
		dst = appendEscaped(dst, r.IP.String())
	}
	if r.V4.Addr().IsValid() {
		dst = append(dst, "&ipv4="...)
		dst = appendEscaped(dst, endpoint(r.V4))
	}
	if r.V6.Addr().IsValid() {
		dst = append(dst, "&ipv6="...)
		dst = appendEscaped(dst, endpoint(r.V6))
	}
	if r.TrackerID != "" {
		dst = append(dst, "&trackerid="...)
		dst = appendEscaped(dst, r.TrackerID)
	}
	return dst
}

// ScrapeURL is the URL that scrapes the given swarms at the tracker with this announce URL. The convention of
// BEP 48: the text after the last slash of the path starts with "announce"; ok is false when it does not, and
// such a tracker cannot be scraped.
func ScrapeURL(announceURL string, hashes []metainfo.InfoHash) (u string, ok bool) {
	path, query, _ := strings.Cut(announceURL, "?")
	path, _, _ = strings.Cut(path, "#")
	i := strings.LastIndexByte(path, '/')
	if i < 0 || !strings.HasPrefix(path[i+1:], "announce") {
		return "", false
	}
	base := path[:i+1] + "scrape" + strings.TrimPrefix(path[i+1:], "announce")
	if query != "" {
		base += "?" + query
	}
	dst := appendBase(nil, base)
	for i, h := range hashes {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, "info_hash="...)
		dst = appendEscaped(dst, string(h[:]))
	}
	return strings.TrimRight(string(dst), "?&"), true
}

// appendBase leaves dst ready for the first "key=value".
func appendBase(dst []byte, base string) []byte {
	base, _, _ = strings.Cut(base, "#")
	dst = append(dst, base...)
	switch {
	case !strings.Contains(base, "?"):
		return append(dst, '?')
	case strings.HasSuffix(base, "?"), strings.HasSuffix(base, "&"):
		return dst
	}
	return append(dst, '&')
}

// wireLeft is what goes out for an unknown rest: something that is not zero, so that nobody takes us for a seed.
func wireLeft(left int64) int64 {
	if left < 0 {
		return math.MaxInt64
	}
	return left
}

func endpoint(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func appendInt(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(dst, key...), n, 10)
}

const upperHex = "0123456789ABCDEF"

// appendEscaped escapes all but RFC 3986's unreserved characters.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}
