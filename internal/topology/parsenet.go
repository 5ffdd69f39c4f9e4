package topology

import (
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"
)

// MaxNetworks bounds the networks of a data centre.
const MaxNetworks = 64

// networks reads the networks of a data centre. Those of two data centres may have the same addresses, for nobody
// uses them from outside.
func (p *parser) networks(n *yaml.Node, dc *Datacenter, index int) {
	var spans []span
	read := func(v *yaml.Node) []netip.Prefix {
		before := len(p.nets)
		in := p.cidrs(v, &p.nets, span{index: index})
		spans = append(spans, p.nets[before:]...)
		return in
	}
	p.parts(n, "network", MaxNetworks, dc, read, func(_ *yaml.Node, name string, in []netip.Prefix) {
		dc.Networks = append(dc.Networks, Network{name, in})
	})
	p.disjoint(spans, dc)
}

// disjoint finds networks of one data centre that overlap: an address is on one of them.
func (p *parser) disjoint(spans []span, dc *Datacenter) {
	slices.SortStableFunc(spans, func(a, b span) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
	outer := 0
	for i := 1; i < len(spans); i++ {
		a, b := spans[outer], spans[i]
		if !a.prefix.Overlaps(b.prefix) {
			outer = i
			continue
		}
		if b.prefix.Bits() < a.prefix.Bits() {
			outer = i
		}
		p.failLine(b.line, "%s overlaps %s in line %d, and both are networks of data centre %q", b.prefix, a.prefix, a.line, dc.Name)
	}
}

// claims finds networks with addresses that place a host in another data centre. All spans are sorted.
func (p *parser) claims() {
	for _, s := range p.nets {
		first, _ := slices.BinarySearchFunc(p.m.spans, s.prefix.Addr(), func(o span, a netip.Addr) int { return o.prefix.Addr().Compare(a) })
		for i := max(first-1, 0); i < len(p.m.spans) && (i <= first || s.prefix.Contains(p.m.spans[i].prefix.Addr())); i++ {
			if o := p.m.spans[i]; o.index != s.index && o.prefix.Overlaps(s.prefix) {
				p.failLine(s.line, "network %s of %s overlaps %s in line %d, by which a host is in %s", s.prefix, p.owner(s), o.prefix, o.line, p.owner(o))
				break
			}
		}
	}
}
