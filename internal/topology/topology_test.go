package topology

import (
	"net/netip"
	"strings"
	"testing"
)

const nine = `
datacenters:
  - name: fra1
    cidrs: [10.1.0.0/16, "fd00:1::/32"]
  - name: nyc-2
    cidrs:
      - 10.2.0.0/16
      - 10.3.128.0/17
  - name: lab
    cidrs: [127.0.2.0/24]
`

func TestLookup(t *testing.T) {
	m, err := Parse([]byte(nine))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.1.0.0": "fra1", "10.1.255.255": "fra1", "10.2.3.4": "nyc-2", "10.3.128.0": "nyc-2",
		"10.3.127.255": Unknown, "10.0.255.255": Unknown, "10.4.0.0": Unknown, "127.0.2.9": "lab", "::ffff:10.1.2.3": "fra1",
		"fd00:1::7": "fra1", "fd00:1:ffff::": "fra1", "fd00:2::": Unknown, "::1": Unknown, "255.255.255.255": Unknown,
		"0.0.0.0": Unknown, "fd00:1::7%eth0": "fra1",
	} {
		got, ok := m.Lookup(netip.MustParseAddr(addr))
		if got != want || ok != (want != Unknown) {
			t.Errorf("Lookup(%s) = %q, %v, want %q", addr, got, ok, want)
		}
	}
	if n := len(m.Datacenters()); n != 3 {
		t.Errorf("%d data centres, want 3", n)
	}
	var none *Map
	if got, ok := none.Lookup(netip.MustParseAddr("10.1.0.0")); ok || got != Unknown || none.Datacenters() != nil {
		t.Errorf("nil map: %q, %v", got, ok)
	}
	if got, ok := m.Lookup(netip.Addr{}); ok {
		t.Errorf("zero address lies in %q", got)
	}
}

func TestParseErrors(t *testing.T) {
	one := func(name, cidrs string) string {
		return "datacenters:\n  - name: " + name + "\n    cidrs: " + cidrs + "\n"
	}
	for _, c := range []struct{ in, want string }{
		{"", "no data centres"},
		{"datacenters: []", "no data centres"},
		{"datacentres: []", "field datacentres not found"},
		{one("a", "[10.0.0.0/8]") + "    region: eu\n", "field region not found"},
		{one("a", "[10.0.0.0/8]") + "---\n" + one("b", "[11.0.0.0/8]"), "more than one YAML document"},
		{one(`""`, "[10.0.0.0/8]"), "name is missing"},
		{one("-a", "[10.0.0.0/8]"), "letter or digit first"},
		{one(`"a b"`, "[10.0.0.0/8]"), "use letters"},
		{one("Unknown", "[10.0.0.0/8]"), "taken"},
		{one(strings.Repeat("x", 64), "[10.0.0.0/8]"), "longer than 63"},
		{one("a", "[]"), "no cidrs"},
		{one("a", "[10.0.0.1]"), "10.0.0.1/32 for one host"},
		{one("a", "[ten]"), "not a CIDR"},
		{one("a", "[10.0.0.0/33]"), "not a CIDR"},
		{one("a", "[10.1.2.3/16]"), "did you mean 10.1.0.0/16"},
		{one("a", `["::ffff:10.0.0.0/104"]`), "IPv6 clothes"},
		{one("a", "[10.0.0.0/8, 10.1.0.0/16]"), `10.1.0.0/16 of data centre "a" overlaps 10.0.0.0/8`},
		{one("a", "[10.0.0.0/8]") + "  - name: A\n    cidrs: [11.0.0.0/8]\n", "listed twice"},
		{one("a", "[10.0.0.0/8, 12.0.0.0/8]") + "  - name: b\n    cidrs: [10.0.0.0/9, 10.200.0.0/16]\n",
			`10.200.0.0/16 of data centre "b" overlaps 10.0.0.0/8 of "a"`},
		{one("a", "[0.0.0.0/0]") + "  - name: b\n    cidrs: [9.9.9.9/32]\n", "overlaps 0.0.0.0/0"},
		{"datacenters: 7", "cannot unmarshal"},
		{"\tx", "topology: "},
		{strings.Repeat("#", MaxBytes+1), "more than"},
	} {
		_, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%.60q): error %v, want one with %q", c.in, err, c.want)
		}
	}
}

// FuzzParse holds that nothing panics and that what is accepted answers lookups of its own CIDRs.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nine))
	f.Add([]byte("datacenters:\n- {name: a, cidrs: [0.0.0.0/0, '::/0']}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		for i, dc := range m.Datacenters() {
			for _, p := range dc.CIDRs {
				if got := m.Index(p.Addr()); got != i {
					t.Errorf("%s is in data centre %d, want %d", p, got, i)
				}
			}
		}
	})
}
