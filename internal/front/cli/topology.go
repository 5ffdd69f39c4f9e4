package cli

import (
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/node"
	"shoal/internal/quantity"
	"shoal/internal/topology"
)

const topologyCheckLong = `Reads a topology file as tracker, seed and get do, and explains what it says: data
centres with their networks and racks, links with what they carry, what of it
may be used now and when that changes, and where this host is. Every mistake is
told with its line.

--address tells the place of any address, and the link to it from this host or
from --datacenter.`

const topologyCheckExample = `  shoal topology check topology.yaml
  shoal topology check topology.yaml --address 10.20.1.7 --datacenter fra1
  shoal topology check --json topology.yaml | jq .links`

func (s *shell) topologyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "topology", Short: "Check and explain the file of data centres and links", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var addrs []string
	var from string
	check := &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a topology file and explain what it says",
		Long:    topologyCheckLong,
		Example: topologyCheckExample,
		Args:    exactArgs(1, "one topology file"),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.checkTopology(args[0], from, addrs)
		},
	}
	check.Flags().StringArrayVar(&addrs, "address", nil, "tell where this address is (repeat)")
	check.Flags().StringVar(&from, "datacenter", "", "look from this data centre (default: where this host is)")
	cmd.AddCommand(check)
	return cmd
}

func (s *shell) checkTopology(file, from string, addrs []string) error {
	m, here, err := node.LoadPlaces(node.PlaceOptions{TopologyFile: file, Datacenter: from})
	if err != nil {
		return err
	}
	doc := describeTopology(m, here, time.Now())
	doc.File = file
	for _, text := range addrs {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return usagef("write for example 10.1.2.3", "--address %q is no IP address", text)
		}
		doc.Addresses = append(doc.Addresses, describeAddress(m, here, a))
	}
	if s.json {
		s.print(doc)
		return nil
	}
	s.printf("%s", doc.text())
	return nil
}

// topologyDoc is the document of topology check. Rates are in bytes a second; 0
// is not known or, of a limit, unlimited.
type topologyDoc struct {
	Event       string          `json:"event"`
	File        string          `json:"file"`
	Here        placeDoc        `json:"here"`
	HostRate    int64           `json:"host_rate"`
	Datacenters []datacenterDoc `json:"datacenters"`
	Links       []linkDoc       `json:"links"`
	Other       linkDoc         `json:"other_links"` // what holds for pairs that no link names
	Addresses   []addressDoc    `json:"addresses,omitempty"`
}

type placeDoc struct {
	Datacenter string `json:"datacenter"`
	Rack       string `json:"rack,omitempty"`
	Region     string `json:"region,omitempty"`
}

type datacenterDoc struct {
	Name   string              `json:"name"`
	Region string              `json:"region,omitempty"`
	CIDRs  []string            `json:"cidrs"`
	Racks  map[string][]string `json:"racks,omitempty"`
	Uplink int64               `json:"uplink"`
	// Networks on which its hosts reach each other, beside the address that everybody is told; the preferred one first.
	Networks []networkDoc `json:"networks,omitempty"`
}

type networkDoc struct {
	Name  string   `json:"name"`
	CIDRs []string `json:"cidrs"`
}

type linkDoc struct {
	Name     string     `json:"name,omitempty"`
	Between  []string   `json:"between,omitempty"`
	Capacity int64      `json:"capacity"`
	Limit    string     `json:"limit"`
	LimitNow int64      `json:"limit_now"`
	Changes  *time.Time `json:"limit_changes,omitempty"`
	Budget   string     `json:"budget"`
	Cost     float64    `json:"cost"`
}

type addressDoc struct {
	Address  string   `json:"address"`
	Place    placeDoc `json:"place"`
	Distance string   `json:"distance"`
	Link     *linkDoc `json:"link,omitempty"`
}

func describePlace(p topology.Place) placeDoc { return placeDoc{p.Name(), p.Rack, p.Region} }

func describeTopology(m *topology.Map, here topology.Place, now time.Time) topologyDoc {
	doc := topologyDoc{Event: "topology", Here: describePlace(here), HostRate: m.HostRate(), Datacenters: []datacenterDoc{}, Links: []linkDoc{}}
	for _, dc := range m.Datacenters() {
		d := datacenterDoc{Name: dc.Name, Region: dc.Region, CIDRs: texts(dc.CIDRs), Uplink: dc.Uplink}
		for _, r := range dc.Racks {
			if d.Racks == nil {
				d.Racks = map[string][]string{}
			}
			d.Racks[r.Name] = texts(r.CIDRs)
		}
		for _, n := range dc.Networks {
			d.Networks = append(d.Networks, networkDoc{n.Name, texts(n.CIDRs)})
		}
		doc.Datacenters = append(doc.Datacenters, d)
	}
	for _, l := range m.Links() {
		doc.Links = append(doc.Links, describeLink(l, now))
	}
	doc.Other = describeLink(m.Defaults(), now)
	return doc
}

func describeLink(l topology.Link, now time.Time) linkDoc {
	d := linkDoc{Name: l.Name, Capacity: l.Capacity, Limit: l.Limit.String(), LimitNow: l.Limit.At(now), Budget: l.Budget.String(), Cost: l.Cost}
	if l.Name != "" {
		d.Between = []string{l.A, l.B}
	}
	if next, ok := l.Limit.Next(now); ok {
		d.Changes = &next
	}
	return d
}

func describeAddress(m *topology.Map, here topology.Place, a netip.Addr) addressDoc {
	at := m.PlaceOf(a)
	d := addressDoc{Address: a.String(), Place: describePlace(at), Distance: topology.Between(here, at).String()}
	if l, ok := m.Link(here.Datacenter, at.Datacenter); ok {
		link := describeLink(l, time.Now())
		d.Link = &link
	}
	return d
}

func texts[T fmt.Stringer](values []T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

// text is the document for people.
func (d topologyDoc) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is fine: %s, %s\n\n", printable(d.File), countText(len(d.Datacenters), "data centre"), countText(len(d.Links), "link"))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATA CENTRE\tREGION\tUPLINK\tRACKS\tNETWORKS")
	for _, dc := range d.Datacenters {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", dc.Name, orDash(dc.Region), knownRate(dc.Uplink), len(dc.Racks), strings.Join(dc.CIDRs, " "))
	}
	w.Flush()
	b.WriteString("\n")
	d.networks(&b)
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LINK\tBETWEEN\tCAPACITY\tLIMIT NOW\tUNTIL\tBUDGET\tCOST\tLIMIT")
	for _, l := range d.Links {
		l.row(w, l.Name, strings.Join(l.Between, " "))
	}
	d.Other.row(w, "-", "all others")
	w.Flush()
	fmt.Fprintf(&b, "\nthis host: %s\n", d.Here.text())
	for _, a := range d.Addresses {
		fmt.Fprintf(&b, "%s: %s (%s)", a.Address, a.Place.text(), a.Distance)
		if a.Link != nil {
			fmt.Fprintf(&b, ", over link %s, limit now %s", a.Link.Name, quantity.FormatRate(a.Link.LimitNow))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// networks are those of all data centres that have any.
func (d topologyDoc) networks(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	head := "NETWORK\tOF\tADDRESSES\n"
	for _, dc := range d.Datacenters {
		for _, n := range dc.Networks {
			fmt.Fprintf(w, "%s%s\t%s\t%s\n", head, n.Name, dc.Name, strings.Join(n.CIDRs, " "))
			head = ""
		}
	}
	if w.Flush(); head == "" {
		b.WriteString("\n")
	}
}

func (l linkDoc) row(w *tabwriter.Writer, name, between string) {
	until := "-"
	if l.Changes != nil {
		until = l.Changes.UTC().Format("Mon 15:04 UTC")
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%g\t%s\n", name, between, knownRate(l.Capacity),
		quantity.FormatRate(l.LimitNow), until, l.Budget, l.Cost, l.Limit)
}

func (p placeDoc) text() string {
	t := p.Datacenter
	if p.Rack != "" {
		t += "/" + p.Rack
	}
	if p.Region != "" {
		t += ", region " + p.Region
	}
	return t
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func knownRate(r int64) string {
	if r == 0 {
		return "-"
	}
	return quantity.FormatRate(r)
}
