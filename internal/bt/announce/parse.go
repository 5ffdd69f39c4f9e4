package announce

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"shoal/internal/bt/metainfo"
)

// ParseReply reads the body of an HTTP announce response, in compact or dictionary form. A refusal comes as
// *Failure. The response owns its memory. What a tracker gets wrong but can be done without (a count, a
// warning of another type, a peer that makes no sense) is left out.
func ParseReply(body []byte) (Response, error) {
	var r Response
	var f Failure
	failed := false
	if len(body) > MaxResponse {
		return r, fmt.Errorf("announce: response of %d bytes, more than %d", len(body), MaxResponse)
	}
	c := cursor{b: body}
	for c.open('d'); c.more(); {
		switch key := c.bytes(); string(key) {
		case "failure reason":
			f.Reason, failed = c.text(), true
		case "retry in":
			f.parseRetry(&c)
		default:
			r.parseKey(&c, string(key))
		}
	}
	if c.err != nil {
		return Response{}, fmt.Errorf("announce: response of %d bytes is %w", len(body), c.err)
	}
	if failed {
		return Response{}, &f
	}
	return r, nil
}

func (f *Failure) parseRetry(c *cursor) {
	switch k := c.peek(); {
	case k == 'i':
		f.RetryIn = time.Duration(min(c.int(), math.MaxInt32)) * time.Minute
		f.RetryIn = max(f.RetryIn, 0)
	default:
		f.Never = c.text() == "never"
	}
}

func (r *Response) parseKey(c *cursor, key string) {
	switch key {
	case "interval":
		r.Interval = c.seconds()
	case "min interval":
		r.MinInterval = c.seconds()
	case "complete":
		r.Seeds = c.count()
	case "incomplete":
		r.Leeches = c.count()
	case "downloaded":
		r.Downloaded = c.count()
	case "peers":
		r.parsePeers(c)
	case "peers6":
		if k := c.peek(); '0' <= k && k <= '9' {
			r.V6 = append(r.V6, whole(c.bytes(), Size6)...)
		} else {
			c.skip(0)
		}
	case "external ip":
		r.ExternalIP = parseExternal(c)
	case "warning message":
		r.Warning = c.text()
	case "tracker id":
		r.TrackerID = c.trackerID()
	default:
		c.skip(0)
	}
}

func (r *Response) parsePeers(c *cursor) {
	switch k := c.peek(); {
	case '0' <= k && k <= '9':
		r.V4 = append(r.V4, whole(c.bytes(), Size4)...)
	case k == 'l':
		for c.open('l'); c.more(); {
			if c.peek() != 'd' {
				c.skip(0)
				continue
			}
			r.parsePeer(c)
		}
	default:
		c.skip(0)
	}
}

// parsePeer reads one peer of the dictionary form. Host names (which BEP 3 allows) are left out: a tracker
// must not make its clients ask their resolvers for names of its choice.
func (r *Response) parsePeer(c *cursor) {
	var ip netip.Addr
	var port int64
	for c.open('d'); c.more(); {
		switch key := c.bytes(); string(key) {
		case "ip":
			ip, _ = netip.ParseAddr(c.text())
		case "port":
			port = c.number()
		default:
			c.skip(0)
		}
	}
	if !ip.IsValid() || port > math.MaxUint16 || (len(r.V4)/Size4+len(r.V6)/Size6) >= MaxPeers {
		return
	}
	r.Add(netip.AddrPortFrom(ip, uint16(port)))
}

func parseExternal(c *cursor) netip.Addr {
	if k := c.peek(); k < '0' || k > '9' {
		c.skip(0)
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(c.bytes())
	return ip.Unmap()
}

// trackerID is kept byte by byte, as it goes back as it came; one that is too long is dropped.
func (c *cursor) trackerID() string {
	if k := c.peek(); k < '0' || k > '9' {
		c.skip(0)
		return ""
	}
	b := c.bytes()
	if len(b) > MaxText {
		return ""
	}
	return string(b)
}

func (c *cursor) seconds() time.Duration {
	return time.Duration(min(c.number(), math.MaxInt32)) * time.Second
}

func (c *cursor) count() int { return int(min(c.number(), math.MaxInt32)) }

// ParseScraped reads the body of an HTTP scrape response: at most max swarms, those after them are left out.
// A refusal comes as *Failure.
func ParseScraped(body []byte, max int) ([]Swarm, error) {
	if len(body) > MaxResponse {
		return nil, fmt.Errorf("announce: scrape response of %d bytes, more than %d", len(body), MaxResponse)
	}
	var out []Swarm
	var f *Failure
	c := cursor{b: body}
	for c.open('d'); c.more(); {
		switch key := c.bytes(); {
		case string(key) == "failure reason":
			f = &Failure{Reason: c.text()}
		case string(key) == "files" && c.peek() == 'd':
			out = parseFiles(&c, out, max)
		default:
			c.skip(0)
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("announce: scrape response of %d bytes is %w", len(body), c.err)
	}
	if f != nil {
		return nil, f
	}
	return out, nil
}

func parseFiles(c *cursor, out []Swarm, max int) []Swarm {
	for c.open('d'); c.more(); {
		hash := c.bytes()
		if len(hash) != 20 || len(out) >= max || c.peek() != 'd' {
			c.skip(0)
			continue
		}
		s := Swarm{InfoHash: metainfo.InfoHash(hash), Downloaders: -1}
		for c.open('d'); c.more(); {
			switch key := c.bytes(); string(key) {
			case "complete":
				s.Seeds = c.count()
			case "incomplete":
				s.Leeches = c.count()
			case "downloaded":
				s.Downloaded = c.count()
			case "downloaders":
				s.Downloaders = c.count()
			case "name":
				s.Name = strings.TrimSpace(c.text())
			default:
				c.skip(0)
			}
		}
		out = append(out, s)
	}
	return out
}
