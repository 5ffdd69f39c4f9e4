package topology

import (
	"math"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"shoal/internal/schedule"
)

// linkDraft is a link whose windows wait for the time zone, which may stand
// behind them.
type linkDraft struct {
	Link
	zone    *time.Location
	windows []*yaml.Node
}

func newLink() linkDraft { return linkDraft{Link: Link{Cost: defaultCost}, zone: time.UTC} }

func (p *parser) link(n *yaml.Node, d linkDraft) {
	d.windows = nil
	k := p.linkKeys(&d)
	k["between"] = func(v *yaml.Node) { d.A, d.B = p.between(v) }
	k["name"] = func(v *yaml.Node) { d.Name = p.name(v, "link") }
	k["zone"] = func(v *yaml.Node) { d.zone = p.zone(v) }
	p.mapping(n, "a link", k)
	p.finish(&d)
	if d.A == "" && !p.failed(n) {
		p.fail(n, "a link without ends; name its two data centres with `between: [A, B]`")
	}
	if d.A == "" || d.B == "" {
		return
	}
	if d.Name == "" {
		d.Name = linkName([2]string{d.A, d.B})
	}
	ends := inOrder(d.A, d.B)
	if i, twice := p.m.byEnds[ends]; twice {
		p.fail(n, "between: %s and %s have a link already, %q", d.A, d.B, p.m.links[i].Name)
		return
	}
	p.m.byEnds[ends] = len(p.m.links)
	p.m.links = append(p.m.links, d.Link)
}

// linkKeys are those that a link and the defaults of links share.
func (p *parser) linkKeys(d *linkDraft) keys {
	return keys{
		"capacity": func(v *yaml.Node) { d.Capacity = p.rate(v, "capacity") },
		"limit":    func(v *yaml.Node) { d.Limit.Base = p.rate(v, "limit") },
		"cost":     func(v *yaml.Node) { d.Cost = p.cost(v) },
		"budget": func(v *yaml.Node) {
			b, err := ParseBudget(p.text(v, "budget"))
			if err != nil && !p.failed(v) {
				p.fail(v, "%v", err)
			}
			d.Budget = b
		},
		"schedule": func(v *yaml.Node) {
			d.windows = p.list(v, "schedule", schedule.MaxWindows)
			d.Limit.Windows = make([]schedule.Window, 0, len(d.windows)) // not those of the defaults
		},
	}
}

// finish reads the windows of the schedule.
func (p *parser) finish(d *linkDraft) {
	for _, v := range d.windows {
		w, err := schedule.ParseWindow(p.text(v, "schedule"), d.zone)
		if err != nil {
			if !p.failed(v) {
				p.fail(v, "schedule: %v", err)
			}
			continue
		}
		d.Limit.Windows = append(d.Limit.Windows, w)
	}
}

// between reads the two ends of a link; both are empty when they are no good.
func (p *parser) between(n *yaml.Node) (a, b string) {
	ends := p.list(n, "between", 2)
	if len(ends) != 2 {
		if !p.failed(n) {
			p.fail(n, "between: names %d data centres, not two; write for example between: [fra1, iad1]", len(ends))
		}
		return "", ""
	}
	a, b = p.text(ends[0], "between"), p.text(ends[1], "between")
	for _, name := range []string{a, b} {
		if !p.m.Has(name) {
			p.fail(n, "between: no data centre is called %q; those of the file are %s", name, p.names())
			return "", ""
		}
	}
	if a == b {
		p.fail(n, "between: a link from %q to itself", a)
		return "", ""
	}
	return a, b
}

// names lists the first few data centres for a hint.
func (p *parser) names() string {
	const most = 8
	var out string
	for i, dc := range p.m.datacenters {
		if i == most {
			return out + ", ..."
		}
		if i > 0 {
			out += ", "
		}
		out += dc.Name
	}
	return out
}

func (p *parser) cost(n *yaml.Node) float64 {
	f, err := strconv.ParseFloat(p.text(n, "cost"), 64)
	if (err != nil || f < 0 || math.IsInf(f, 0) || math.IsNaN(f)) && !p.failed(n) {
		p.fail(n, "cost: %q is no number of at least 0", n.Value)
	}
	return f
}

func (p *parser) zone(n *yaml.Node) *time.Location {
	s := p.text(n, "zone")
	z, err := time.LoadLocation(s)
	if err != nil || s == "" {
		if !p.failed(n) {
			p.fail(n, "zone: no time zone is called %q; write for example Europe/Berlin or UTC", s)
		}
		return time.UTC
	}
	return z
}

// sortedKeys lists the keys for a message.
func (k keys) sorted() []string {
	var out []string
	for name := range k {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
