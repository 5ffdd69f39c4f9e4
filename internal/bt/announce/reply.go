package announce

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// AppendReply adds the bencoded body of an HTTP announce response: the compact form, or (full) the dictionary
// form of BEP 3, with peer ids when the response carries them.
func (r *Response) AppendReply(dst []byte, full bool) []byte {
	dst = append(dst, 'd')
	dst = appendKeyInt(dst, "complete", int64(r.Seeds))
	dst = appendKeyInt(dst, "downloaded", int64(r.Downloaded))
	if r.ExternalIP.IsValid() {
		dst = appendString(dst, "external ip")
		dst = appendString(dst, string(r.ExternalIP.Unmap().AsSlice()))
	}
	dst = appendKeyInt(dst, "incomplete", int64(r.Leeches))
	dst = appendKeyInt(dst, "interval", int64(r.Interval/time.Second))
	if r.MinInterval > 0 {
		dst = appendKeyInt(dst, "min interval", int64(r.MinInterval/time.Second))
	}
	dst = appendString(dst, "peers")
	if full {
		dst = r.appendDictPeers(dst)
	} else {
		dst = appendString(dst, r.V4)
		if len(r.V6) > 0 {
			dst = appendString(dst, "peers6")
			dst = appendString(dst, r.V6)
		}
	}
	if r.Site.Epoch > 0 {
		dst = r.Site.append(appendString(dst, "shoal"))
	}
	if r.TrackerID != "" {
		dst = appendString(dst, "tracker id")
		dst = appendString(dst, r.TrackerID)
	}
	if r.Warning != "" {
		dst = appendString(dst, "warning message")
		dst = appendString(dst, r.Warning)
	}
	return append(dst, 'e')
}

func (r *Response) appendDictPeers(dst []byte) []byte {
	dst = append(dst, 'l')
	dst = appendDicts(dst, r.V4, r.IDs4, Size4)
	dst = appendDicts(dst, r.V6, r.IDs6, Size6)
	return append(dst, 'e')
}

func appendDicts(dst, peers, ids []byte, size int) []byte {
	for ; len(peers) >= size; peers = peers[size:] {
		ip, _ := netip.AddrFromSlice(peers[:size-2])
		dst = append(dst, 'd')
		dst = appendString(dst, "ip")
		dst = appendString(dst, ip.String())
		if len(ids) >= 20 {
			dst = appendString(dst, "peer id")
			dst = appendString(dst, ids[:20])
			ids = ids[20:]
		}
		dst = appendKeyInt(dst, "port", int64(peers[size-2])<<8|int64(peers[size-1]))
		dst = append(dst, 'e')
	}
	return dst
}

// AppendReply adds the bencoded body of a refusal over HTTP.
func (f *Failure) AppendReply(dst []byte) []byte {
	dst = append(dst, 'd')
	dst = appendString(dst, "failure reason")
	dst = appendString(dst, f.Reason)
	switch {
	case f.Never:
		dst = appendString(dst, "retry in")
		dst = appendString(dst, "never")
	case f.RetryIn > 0:
		dst = appendKeyInt(dst, "retry in", int64((f.RetryIn+time.Minute-1)/time.Minute))
	}
	return append(dst, 'e')
}

// AppendScrape adds the bencoded body of an HTTP scrape response (BEP 48). It sorts swarms by info-hash, as
// dictionaries must be, and leaves out repeats.
func AppendScrape(dst []byte, swarms []Swarm) []byte {
	slices.SortFunc(swarms, func(a, b Swarm) int { return slices.Compare(a.InfoHash[:], b.InfoHash[:]) })
	dst = append(dst, "d5:filesd"...)
	for i := range swarms {
		s := &swarms[i]
		if i > 0 && s.InfoHash == swarms[i-1].InfoHash {
			continue
		}
		dst = appendString(dst, s.InfoHash[:])
		dst = append(dst, 'd')
		dst = appendKeyInt(dst, "complete", int64(s.Seeds))
		dst = appendKeyInt(dst, "downloaded", int64(s.Downloaded))
		if s.Downloaders >= 0 {
			dst = appendKeyInt(dst, "downloaders", int64(s.Downloaders))
		}
		dst = appendKeyInt(dst, "incomplete", int64(s.Leeches))
		if s.Name != "" {
			dst = appendString(dst, "name")
			dst = appendString(dst, s.Name)
		}
		dst = append(dst, 'e')
	}
	return append(dst, "ee"...)
}

func appendKeyInt(dst []byte, key string, n int64) []byte {
	dst = append(appendString(dst, key), 'i')
	return append(strconv.AppendInt(dst, n, 10), 'e')
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(s)), 10), ':')
	return append(dst, s...)
}
