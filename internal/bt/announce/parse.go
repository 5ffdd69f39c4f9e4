package announce

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/metainfo"
)

// limits of a response: a dictionary of MaxPeers peers with all their keys and some more.
var limits = bencode.Limits{Size: MaxResponse, Depth: 8, Values: 20 * MaxPeers}

// scan reads the dictionary at the start of a body; some trackers send a line break behind it.
func scan(body []byte) (bencode.Value, error) {
	doc, err := bencode.Scan(body, limits)
	if err != nil {
		return bencode.Value{}, fmt.Errorf("announce: the tracker's answer is not bencode: %w", err)
	}
	if doc.Root.Kind() != bencode.Dict {
		return bencode.Value{}, fmt.Errorf("announce: the tracker's answer is a %v, not a dictionary", doc.Root.Kind())
	}
	if v := doc.Root.Get("failure reason"); v.Kind() != 0 {
		return bencode.Value{}, parseFailure(doc.Root)
	}
	return doc.Root, nil
}

func parseFailure(root bencode.Value) *Failure {
	f := &Failure{Reason: text(root.Get("failure reason"))}
	// BEP 31: minutes, or the word "never".
	switch v := root.Get("retry in"); v.Kind() {
	case bencode.Int:
		f.RetryIn = time.Duration(number(v)) * time.Minute
	case bencode.String:
		f.Never = text(v) == "never"
	}
	return f
}

// ParseReply reads the body of an HTTP announce response, in compact or dictionary form. A refusal comes as
// *Failure. The response owns its memory. What a tracker gets wrong but can be done without (a count, a
// warning of another type, a peer that makes no sense) is left out.
func ParseReply(body []byte) (Response, error) {
	root, err := scan(body)
	if err != nil {
		return Response{}, err
	}
	var r Response
	for key, v := range root.Dict() {
		switch string(key) {
		case "interval":
			r.Interval = time.Duration(number(v)) * time.Second
		case "min interval":
			r.MinInterval = time.Duration(number(v)) * time.Second
		case "complete":
			r.Seeds = number(v)
		case "incomplete":
			r.Leeches = number(v)
		case "downloaded":
			r.Downloaded = number(v)
		case "external ip":
			b, _ := v.Bytes()
			ip, _ := netip.AddrFromSlice(b)
			r.ExternalIP = ip.Unmap()
		case "shoal":
			r.Site = parseSite(v)
		case "warning message":
			r.Warning = text(v)
		case "tracker id":
			// Goes back byte by byte as it came, so it is not cleaned.
			if b, _ := v.Bytes(); len(b) <= MaxText {
				r.TrackerID = string(b)
			}
		}
	}
	r.parsePeers(root)
	return r, nil
}

func (r *Response) parsePeers(root bencode.Value) {
	v6, _ := root.Get("peers6").Bytes()
	r.V6 = append(r.V6, whole(v6, Size6)...)
	peers := root.Get("peers")
	v4, _ := peers.Bytes()
	r.V4 = append(r.V4, whole(v4, Size4)...)
	n := 0
	for p := range peers.List() {
		if n++; n > MaxPeers {
			return
		}
		// Host names, which BEP 3 allows, are left out: a tracker must not make its clients ask their
		// resolvers for names of its choice.
		ip, err := netip.ParseAddr(text(p.Get("ip")))
		port, ok := p.Get("port").Int()
		if err == nil && ok && 0 < port && port <= math.MaxUint16 {
			r.Add(netip.AddrPortFrom(ip, uint16(port)))
		}
	}
}

// ParseScraped reads the body of an HTTP scrape response: at most max swarms, those after them are left out.
// A refusal comes as *Failure.
func ParseScraped(body []byte, max int) ([]Swarm, error) {
	root, err := scan(body)
	if err != nil {
		return nil, err
	}
	var out []Swarm
	for hash, v := range root.Get("files").Dict() {
		if len(out) >= max {
			break
		}
		if len(hash) != 20 || v.Kind() != bencode.Dict {
			continue
		}
		s := Swarm{InfoHash: metainfo.InfoHash(hash), Downloaders: -1}
		for key, v := range v.Dict() {
			switch string(key) {
			case "complete":
				s.Seeds = number(v)
			case "incomplete":
				s.Leeches = number(v)
			case "downloaded":
				s.Downloaded = number(v)
			case "downloaders":
				s.Downloaders = number(v)
			case "name":
				s.Name = strings.TrimSpace(text(v))
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// number is a count or a time; what is none, or below zero, is 0, and none is above 31 bits.
func number(v bencode.Value) int {
	n, _ := v.Int()
	return int(min(max(n, 0), math.MaxInt32))
}

// text is a string for humans: safe to show, or empty when v is none.
func text(v bencode.Value) string {
	b, _ := v.Bytes()
	return printable(b)
}

// printable makes text from outside safe to show: bounded, no control characters, valid UTF-8.
func printable(b []byte) string {
	s := strings.ToValidUTF8(cut(string(b)), "\ufffd")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
