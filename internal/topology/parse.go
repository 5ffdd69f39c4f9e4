package topology

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on a topology file.
const (
	MaxBytes       = 1 << 20
	MaxDatacenters = 4096
	MaxCIDRs       = 1 << 16 // in the whole file
	MaxLinks       = 1 << 16
	MaxName        = 63
	maxErrors      = 20
)

// Parse reads and checks a topology file; docs/topology.md has its form. All
// that is wrong is told at once (up to 20 mistakes), each with its line, its key
// and what to write instead.
func Parse(data []byte) (*Map, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("topology: file has %d bytes, more than %d", len(data), MaxBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("topology: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("topology: the file holds more than one YAML document")
	}
	p := parser{m: &Map{byName: map[string]int{}, byEnds: map[[2]string]int{}}, seen: map[string]int{}}
	if len(doc.Content) > 0 {
		p.top(doc.Content[0])
	}
	if len(p.errs) == 0 && len(p.m.datacenters) == 0 {
		p.errs = append(p.errs, errors.New("topology: no data centres; list them under `datacenters:` with `name` and `cidrs`"))
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs[:min(len(p.errs), maxErrors)]...)
	}
	return p.m, nil
}

// parser collects a Map and what is wrong with the file.
type parser struct {
	reader
	m    *Map
	nets []span         // of networks
	seen map[string]int // names of data centres and links in small letters, to their lines
}

func (p *parser) top(n *yaml.Node) {
	var links *yaml.Node
	defaults := newLink()
	p.mapping(n, "the file", keys{
		"datacenters": func(v *yaml.Node) {
			for n, item := range p.list(v, "datacenters", MaxDatacenters) {
				p.datacenter(n+1, item)
			}
		},
		"links":    func(v *yaml.Node) { links = v }, // they need all data centres and the defaults
		"defaults": func(v *yaml.Node) { p.defaults(v, &defaults) },
	})
	p.m.spans = p.sort(p.m.spans)
	p.m.racks = p.sort(p.m.racks)
	p.claims()
	p.m.defaults = defaults.Link
	if links != nil {
		for _, item := range p.list(links, "links", MaxLinks) {
			p.link(item, defaults)
		}
	}
}

func (p *parser) defaults(n *yaml.Node, link *linkDraft) {
	p.mapping(n, "defaults", keys{
		"zone": func(v *yaml.Node) { link.zone = p.zone(v) },
		"host": func(v *yaml.Node) { p.m.host = p.rate(v, "host") },
		"link": func(v *yaml.Node) { p.mapping(v, "defaults of links", p.linkKeys(link)) },
	})
	p.finish(link)
}

func (p *parser) datacenter(number int, n *yaml.Node) {
	var dc Datacenter
	index := len(p.m.datacenters)
	var racks, networks *yaml.Node
	before := len(p.m.spans)
	p.mapping(n, "a data centre", keys{
		"name":   func(v *yaml.Node) { dc.Name = p.name(v, "data centre") },
		"region": func(v *yaml.Node) { dc.Region = p.placeName(v, "region") },
		"uplink": func(v *yaml.Node) { dc.Uplink = p.rate(v, "uplink") },
		"cidrs": func(v *yaml.Node) {
			dc.CIDRs = p.cidrs(v, &p.m.spans, span{index: index})
		},
		"racks":    func(v *yaml.Node) { racks = v },
		"networks": func(v *yaml.Node) { networks = v },
	})
	if dc.Name == "" && !p.failed(n) {
		p.fail(n, "data centre %d has no name; give it one with `name:`", number)
	}
	if len(p.m.spans) == before && !p.failed(n) {
		p.fail(n, "data centre %q has no cidrs; list the networks of its hosts with `cidrs:`", dc.Name)
	}
	if racks != nil {
		p.racks(racks, &dc, index)
	}
	if networks != nil {
		p.networks(networks, &dc, index)
	}
	if _, taken := p.m.byName[dc.Name]; !taken {
		p.m.byName[dc.Name] = index
	}
	p.m.datacenters = append(p.m.datacenters, dc)
}

// parts reads the racks or networks of a data centre: a name, once, and CIDRs, read by cidrs.
func (p *parser) parts(n *yaml.Node, kind string, most int, dc *Datacenter, cidrs func(*yaml.Node) []netip.Prefix, add func(item *yaml.Node, name string, in []netip.Prefix)) {
	names := map[string]bool{}
	for _, item := range p.list(n, kind+"s", most) {
		var name string
		var in []netip.Prefix
		p.mapping(item, "a "+kind, keys{
			"name":  func(v *yaml.Node) { name = p.placeName(v, kind) },
			"cidrs": func(v *yaml.Node) { in = cidrs(v) },
		})
		switch {
		case p.failed(item):
		case name == "" || len(in) == 0:
			p.fail(item, "a %s of data centre %q has no name or no cidrs", kind, dc.Name)
		case names[strings.ToLower(name)]:
			p.fail(item, "%s %q is listed twice in data centre %q", kind, name, dc.Name)
		}
		names[strings.ToLower(name)] = true
		add(item, name, in)
	}
}

func (p *parser) racks(n *yaml.Node, dc *Datacenter, index int) {
	read := func(v *yaml.Node) []netip.Prefix {
		return p.cidrs(v, &p.m.racks, span{index: index, rack: len(dc.Racks)})
	}
	p.parts(n, "rack", MaxCIDRs, dc, read, func(item *yaml.Node, name string, in []netip.Prefix) {
		for _, c := range in {
			if !slices.ContainsFunc(dc.CIDRs, func(outer netip.Prefix) bool { return outer.Bits() <= c.Bits() && outer.Contains(c.Addr()) }) {
				p.fail(item, "rack %q: %s is in no CIDR of data centre %q", name, c, dc.Name)
			}
		}
		dc.Racks = append(dc.Racks, Rack{name, in})
	})
}

// cidrs reads a list of prefixes and notes the spans they cover.
func (p *parser) cidrs(n *yaml.Node, spans *[]span, s span) (out []netip.Prefix) {
	for _, item := range p.list(n, "cidrs", MaxCIDRs-len(*spans)) {
		c, err := parseCIDR(p.text(item, "cidrs"))
		if err != nil {
			p.fail(item, "cidrs: %v", err)
			continue
		}
		s.prefix, s.line = c, item.Line
		*spans = append(*spans, s)
		out = append(out, c)
	}
	return out
}

// sort orders the prefixes and finds overlaps. Sorted by address and then by
// length, a prefix that contains others stands before them, so it is enough to
// remember the last one that is not inside of another.
func (p *parser) sort(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	outer := 0
	for i := 1; i < len(spans); i++ {
		a, b := spans[outer], spans[i]
		if !a.prefix.Overlaps(b.prefix) {
			outer = i
			continue
		}
		p.failLine(b.line, "%s of %s overlaps %s of %s in line %d; an address has one place, so take one of them out",
			b.prefix, p.owner(b), a.prefix, p.owner(a), a.line)
	}
	return spans
}

func (p *parser) owner(s span) string {
	return fmt.Sprintf("data centre %q", p.m.datacenters[s.index].Name)
}

func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return netip.Prefix{}, fmt.Errorf("%q is an address, not a CIDR; write %s/%d for one host", s, a, a.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a CIDR such as 10.1.0.0/16 or fd00:1::/32", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 CIDR in IPv6 clothes; write it as IPv4", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind the prefix; did you mean %s?", s, p.Masked())
	}
	return p, nil
}

// CheckName tells why a name is no good for a place; nil when it is.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("name is missing")
	case len(name) > MaxName:
		return fmt.Errorf("name %.20q... is longer than %d characters", name, MaxName)
	case strings.EqualFold(name, Unknown):
		return fmt.Errorf("name %q is taken: it means addresses that no data centre claims", name)
	}
	for i, c := range []byte(name) {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '-' && c != '_') {
			return fmt.Errorf("name %q: use letters, digits, dots, dashes and underscores, and a letter or digit first", name)
		}
	}
	return nil
}

// name reads the unique name of a data centre or link.
func (p *parser) name(n *yaml.Node, kind string) string {
	s := p.placeName(n, kind)
	if s == "" {
		return ""
	}
	key := kind + " " + strings.ToLower(s)
	if line := p.seen[key]; line > 0 {
		p.fail(n, "%s %q is listed twice, first in line %d", kind, s, line)
	}
	p.seen[key] = n.Line
	return s
}

func (p *parser) placeName(n *yaml.Node, kind string) string {
	s := p.text(n, kind)
	if err := CheckName(s); err != nil && !p.failed(n) {
		p.fail(n, "%s: %v", kind, err)
	}
	return s
}
