package metainfo

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Magnet is a magnet link (BEP 9, BEP 53): what finds a torrent's info
// dictionary. At least one of V1 and V2 is there.
type Magnet struct {
	V1       *[20]byte // btih
	V2       *[32]byte // btmh
	Name     string    // dn, for people
	Trackers []string  // tr
	WebSeeds []string  // ws
	Peers    []string  // x.pe, host:port
}

const (
	maxMagnet = 64 << 10 // bytes
	// btmhPrefix is the multihash head of a SHA-256: its code and its length.
	btmhPrefix = "1220"
)

// IsMagnet reports whether s looks like a magnet link at all.
func IsMagnet(s string) bool {
	return len(s) >= 8 && strings.EqualFold(s[:8], "magnet:?")
}

// ParseMagnet reads a magnet link. Parameters that it does not know are left
// out. Numbered ones (tr.1) count like plain ones.
func ParseMagnet(s string) (Magnet, error) {
	var m Magnet
	if !IsMagnet(s) {
		return m, errors.New(`not a magnet link: it does not start with "magnet:?"`)
	}
	if len(s) > maxMagnet {
		return m, fmt.Errorf("magnet link: %d bytes are more than the limit of %d", len(s), maxMagnet)
	}
	for part := range strings.SplitSeq(s[8:], "&") {
		key, value, _ := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		if err := m.take(baseKey(key), value); err != nil {
			return Magnet{}, fmt.Errorf("magnet link: %w", err)
		}
	}
	if m.V1 == nil && m.V2 == nil {
		return Magnet{}, errors.New("magnet link: no xt=urn:btih: or xt=urn:btmh: names a torrent")
	}
	return m, nil
}

// baseKey cuts the number off a key like tr.1.
func baseKey(key string) string {
	base, number, found := strings.Cut(strings.ToLower(key), ".")
	if _, err := strconv.ParseUint(number, 10, 16); found && err == nil {
		return base
	}
	return strings.ToLower(key)
}

// take reads one parameter. A name that is escaped badly is taken as it is,
// since it is for people only.
func (m *Magnet) take(key, escaped string) error {
	value, err := url.QueryUnescape(escaped)
	if key == "dn" && err != nil {
		value, err = escaped, nil
	}
	switch key {
	case "xt", "tr", "ws", "x.pe":
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	switch key {
	case "xt":
		return m.takeTopic(value)
	case "dn":
		m.Name = value
	case "tr":
		m.Trackers = appendNew(m.Trackers, value)
	case "ws":
		m.WebSeeds = appendNew(m.WebSeeds, value)
	case "x.pe":
		if _, _, err := splitHostPort(value); err != nil {
			return fmt.Errorf("x.pe: %w", err)
		}
		m.Peers = appendNew(m.Peers, value)
	}
	return nil
}

func appendNew(list []string, s string) []string {
	if s == "" || len(list) >= maxTrackers {
		return list
	}
	return append(list, s)
}

// takeTopic reads the hash of an xt. Topics of other networks are left out;
// two different torrents in one link are refused.
func (m *Magnet) takeTopic(topic string) error {
	lower := strings.ToLower(topic)
	switch {
	case strings.HasPrefix(lower, "urn:btih:"):
		hash, err := parseBtih(topic[9:])
		if err != nil {
			return fmt.Errorf("xt: %w", err)
		}
		if m.V1 != nil && *m.V1 != hash {
			return errors.New("xt: two different btih hashes")
		}
		m.V1 = &hash
	case strings.HasPrefix(lower, "urn:btmh:"):
		b, err := hex.DecodeString(lower[9:])
		if err != nil || len(b) != 34 || !strings.HasPrefix(lower[9:], btmhPrefix) {
			return fmt.Errorf("xt: btmh %q is not %s and 64 hex digits", clip(topic[9:]), btmhPrefix)
		}
		hash := [32]byte(b[2:])
		if m.V2 != nil && *m.V2 != hash {
			return errors.New("xt: two different btmh hashes")
		}
		m.V2 = &hash
	}
	return nil
}

func parseBtih(s string) (hash [20]byte, err error) {
	var b []byte
	switch len(s) {
	case 40:
		b, err = hex.DecodeString(s)
	case 32:
		b, err = base32.StdEncoding.DecodeString(strings.ToUpper(s))
	}
	if err != nil || len(b) != 20 {
		return hash, fmt.Errorf("btih %q is neither 40 hex digits nor 32 of base32", clip(s))
	}
	return [20]byte(b), nil
}

// String prints the link in a form that ParseMagnet and stock clients read.
func (m Magnet) String() string {
	var parts []string
	if m.V1 != nil {
		parts = append(parts, "xt=urn:btih:"+hex.EncodeToString(m.V1[:]))
	}
	if m.V2 != nil {
		parts = append(parts, "xt=urn:btmh:"+btmhPrefix+hex.EncodeToString(m.V2[:]))
	}
	add := func(key string, values ...string) {
		for _, v := range values {
			if v != "" {
				parts = append(parts, key+"="+escape(v))
			}
		}
	}
	add("dn", m.Name)
	add("tr", m.Trackers...)
	add("ws", m.WebSeeds...)
	for _, p := range m.Peers {
		// Clients read this one unescaped, and host:port needs no escape.
		parts = append(parts, "x.pe="+strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", "#", "%23", " ", "%20").Replace(p))
	}
	return "magnet:?" + strings.Join(parts, "&")
}

// escape is percent-encoding: many clients do not read + as a space.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Swarms are the hashes on the wire; v1 first, then truncated v2.
func (m Magnet) Swarms() []InfoHash {
	var swarms []InfoHash
	if m.V1 != nil {
		swarms = append(swarms, *m.V1)
	}
	if m.V2 != nil {
		swarms = append(swarms, InfoHash(m.V2[:20]))
	}
	return swarms
}

// Names reports whether the info dictionary is one that the link asks for, by
// every hash that it gives. Ask it of what peers sent.
func (m Magnet) Names(i *Info) bool {
	return (m.V1 != nil || m.V2 != nil) &&
		(m.V1 == nil || i.HasV1() && *m.V1 == i.HashV1) &&
		(m.V2 == nil || i.HasV2() && *m.V2 == i.HashV2)
}

// Magnet makes a link to the torrent.
func (m *Metafile) Magnet() Magnet {
	link := Magnet{Name: m.Info.Name, WebSeeds: m.WebSeeds}
	if m.Info.HasV1() {
		link.V1 = &m.Info.HashV1
	}
	if m.Info.HasV2() {
		link.V2 = &m.Info.HashV2
	}
	for _, tier := range m.Announce {
		link.Trackers = append(link.Trackers, tier...)
	}
	return link
}
