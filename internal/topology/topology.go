// Package topology knows places: which data centre an address belongs to, as the operator wrote it down in a
// YAML file. It is a leaf that every other package may use.
//
// It never reads files, resolves names or asks the system about addresses.
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
	MaxName        = 63
)

// Unknown is the name of the place of everything that no data centre claims; no data centre may be called so.
const Unknown = "unknown"

// Datacenter is a place whose hosts are near each other.
type Datacenter struct {
	Name  string         // letters, digits, dot, dash and underscore; starts with a letter or digit
	CIDRs []netip.Prefix // masked; none overlaps another one of the file
}

// Map is a checked topology. It does not change and may be shared.
type Map struct {
	datacenters []Datacenter
	spans       []span // sorted by prefix address, disjoint
}

type span struct {
	prefix netip.Prefix
	index  int // into datacenters
}

// file is the shape of the YAML document.
type file struct {
	Datacenters []struct {
		Name  string   `yaml:"name"`
		CIDRs []string `yaml:"cidrs"`
	} `yaml:"datacenters"`
}

// Parse reads and checks a topology file. Unknown keys, missing or repeated names, addresses that are no
// CIDRs, CIDRs with host bits and CIDRs that overlap are errors, all of them named at once.
func Parse(data []byte) (*Map, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("topology: file has %d bytes, more than %d", len(data), MaxBytes)
	}
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("topology: %w", err)
	}
	if err := dec.Decode(new(file)); !errors.Is(err, io.EOF) {
		return nil, errors.New("topology: the file holds more than one YAML document")
	}
	if len(f.Datacenters) == 0 {
		return nil, errors.New("topology: no data centres; list them under `datacenters:` with `name` and `cidrs`")
	}
	if len(f.Datacenters) > MaxDatacenters {
		return nil, fmt.Errorf("topology: %d data centres, more than %d", len(f.Datacenters), MaxDatacenters)
	}
	return f.check()
}

func (f *file) check() (*Map, error) {
	m := &Map{}
	var errs []error
	seen := make(map[string]bool)
	for i, dc := range f.Datacenters {
		if err := CheckName(dc.Name); err != nil {
			errs = append(errs, fmt.Errorf("topology: data centre %d: %w", i+1, err))
		} else if key := strings.ToLower(dc.Name); seen[key] {
			errs = append(errs, fmt.Errorf("topology: data centre %q is listed twice", dc.Name))
		} else {
			seen[key] = true
		}
		if len(dc.CIDRs) == 0 {
			errs = append(errs, fmt.Errorf("topology: data centre %q has no cidrs", dc.Name))
		}
		out := Datacenter{Name: dc.Name}
		for _, s := range dc.CIDRs {
			p, err := parseCIDR(s)
			if err != nil {
				errs = append(errs, fmt.Errorf("topology: data centre %q: %w", dc.Name, err))
				continue
			}
			out.CIDRs = append(out.CIDRs, p)
			m.spans = append(m.spans, span{p, i})
		}
		m.datacenters = append(m.datacenters, out)
	}
	if len(m.spans) > MaxCIDRs {
		return nil, fmt.Errorf("topology: %d CIDRs, more than %d", len(m.spans), MaxCIDRs)
	}
	errs = append(errs, m.sortSpans()...)
	if len(errs) > 0 {
		return nil, errors.Join(errs[:min(len(errs), 20)]...)
	}
	return m, nil
}

// sortSpans orders the prefixes and finds overlaps. Sorted by address and then by length, a prefix that
// contains others stands before them, so it is enough to remember the one that reaches furthest; as two
// prefixes overlap only when one contains the other, that is the last one not inside another.
func (m *Map) sortSpans() []error {
	slices.SortFunc(m.spans, func(a, b span) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	var errs []error
	outer := 0
	for i := 1; i < len(m.spans); i++ {
		a, b := m.spans[outer], m.spans[i]
		if !a.prefix.Overlaps(b.prefix) {
			outer = i
			continue
		}
		errs = append(errs, fmt.Errorf("topology: %s of data centre %q overlaps %s of %q", b.prefix,
			m.datacenters[b.index].Name, a.prefix, m.datacenters[a.index].Name))
	}
	return errs
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

// Datacenters are all data centres in the order of the file. Not to be changed.
func (m *Map) Datacenters() []Datacenter {
	if m == nil {
		return nil
	}
	return m.datacenters
}

// Index finds the data centre of an address: an index into Datacenters, or -1. A nil Map knows no place.
func (m *Map) Index(a netip.Addr) int {
	if m == nil {
		return -1
	}
	a = a.Unmap().WithZone("")
	// The only span that can contain a is the last one that starts at or before it.
	i, exact := slices.BinarySearchFunc(m.spans, a, func(s span, a netip.Addr) int { return s.prefix.Addr().Compare(a) })
	if !exact {
		i--
	}
	if i < 0 || !m.spans[i].prefix.Contains(a) {
		return -1
	}
	return m.spans[i].index
}

// Lookup finds the name of an address's data centre; Unknown and false when there is none.
func (m *Map) Lookup(a netip.Addr) (name string, ok bool) {
	i := m.Index(a)
	if i < 0 {
		return Unknown, false
	}
	return m.datacenters[i].Name, true
}
