package owner

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func keys(n int) []Key {
	out := make([]Key, n)
	for i := range out {
		out[i] = KeyOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 6881))
	}
	return out
}

// A site that has everything is spared until the links of the others have twice as much to
// carry each as its own.
func TestEnough(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		sites, lacked, enough int
	}{
		{"nothing is lacked", 3, 0, 1},
		{"one piece, in one site", 1, 1, 1},
		{"one other site: a third of what it lacks", 1, 300, 100},
		{"the start, three sites lack 256 pieces each: 110 and 2 x 110 on each of three links", 3, 768, 110},
		{"five sites lack 120 pieces each: 55, and 2 x 55 on each of five links", 5, 600, 55},
	} {
		if got := Enough(tt.sites, tt.lacked); got != tt.enough {
			t.Errorf("%s: %d pieces are enough, want %d", tt.name, got, tt.enough)
		}
	}
}

// Exactly one member owns each piece, and each its share.
func TestOneOwner(t *testing.T) {
	const pieces = 4096
	for _, n := range []int{1, 2, 6, 40} {
		members := keys(n)
		tables := make([]*Table, n)
		for i, k := range members {
			tables[i] = NewTable(k, pieces)
			tables[i].Set(members)
		}
		share := make([]int, n)
		for piece := range uint32(pieces) {
			owners := 0
			for i, table := range tables {
				rank := Rank(members[i], members, piece)
				if table.Owns(piece) != (rank == 0) {
					t.Fatalf("%d members, piece %d: member %d owns it: %v, its rank is %d", n, piece, i, table.Owns(piece), rank)
				}
				if rank == 0 {
					owners++
					share[i]++
				}
			}
			if owners != 1 {
				t.Fatalf("%d members, piece %d: %d owners", n, piece, owners)
			}
		}
		want := pieces / n
		for i, got := range share {
			if got < want*7/10 || got > want*13/10 {
				t.Errorf("%d members: member %d owns %d pieces, the fair share is %d", n, i, got, want)
			}
		}
	}
}

// However members come and go, the table says what ranks computed anew say; and
// only the pieces of those who came or went change hands.
func TestChurn(t *testing.T) {
	const pieces = 512
	all := keys(30)
	rng := rand.New(rand.NewPCG(1, 2))
	table := NewTable(all[0], pieces)
	for round := range 200 {
		var members []Key
		for _, k := range all[1:] {
			if rng.IntN(3) > 0 {
				members = append(members, k)
			}
		}
		if round%50 == 0 {
			members = nil
		}
		rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		table.Set(append(slices.Clone(members), members...))
		if table.Set(members) {
			t.Fatal("the same members again count as a change")
		}
		for piece := range uint32(pieces) {
			if got, want := table.Owns(piece), Rank(all[0], members, piece) == 0; got != want {
				t.Fatalf("round %d, piece %d: owns %v, want %v", round, piece, got, want)
			}
		}
	}
}

func TestLeaverMovesOnlyItsPieces(t *testing.T) {
	members := keys(10)
	for piece := range uint32(1000) {
		before := slices.IndexFunc(members, func(k Key) bool { return Rank(k, members, piece) == 0 })
		after := slices.IndexFunc(members[:9], func(k Key) bool { return Rank(k, members[:9], piece) == 0 })
		if before != 9 && before != after {
			t.Fatalf("piece %d went from %d to %d when 9 left", piece, before, after)
		}
	}
}

func TestKeys(t *testing.T) {
	a := netip.MustParseAddrPort("10.0.0.1:6881")
	mapped := netip.AddrPortFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 6881)
	if KeyOf(a) != KeyOf(mapped) {
		t.Error("a mapped address is another member")
	}
	if KeyOf(a) == KeyOf(netip.MustParseAddrPort("10.0.0.1:6882")) {
		t.Error("two processes of a host are one member")
	}
	if SiteKey("fra") == SiteKey("nyc") {
		t.Error("two sites are one")
	}
}

func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members := keys(n)
			table := NewTable(members[0], 65536)
			table.Set(members)
			b.ResetTimer()
			for i := range b.N {
				table.Set(members[:n-i%2])
			}
		})
	}
}

// From whom a site takes a piece, and whether it has to wait for another one.
func TestTurn(t *testing.T) {
	const piece = 7
	self := SiteKey("own")
	var better, worse Key // sites that come before us for the piece, and behind
	for i := 0; better == 0 || worse == 0; i++ {
		if k := SiteKey(fmt.Sprint(i)); score(k, piece) > score(self, piece) {
			better = k
		} else {
			worse = k
		}
	}
	for _, tt := range []struct {
		name   string
		sites  []Site
		rank   int
		before int
	}{
		{"nobody has it", []Site{{Key: better, From: []int{0}}}, -1, 0},
		{"one has it, nobody else lacks it", []Site{{Has: true}}, 0, 0},
		{"one has it, we are first", []Site{{Has: true}, {Key: worse, From: []int{0, 0}}}, 0, 0},
		{"one has it, another is first", []Site{{Has: true}, {Key: better, From: []int{0, 0}}}, 0, 1},
		{"one has it, two others are first", []Site{{Has: true}, {Key: better, From: []int{0, 0, 0}}, {Key: better, From: []int{0, 0, 0}}}, 0, 2},
		{"one has it, another that is behind is first", []Site{{Has: true}, {Key: better, Behind: true, From: []int{0, 0}}}, 0, 0},
		{"two have it", []Site{{Has: true}, {Has: true}, {Key: better, From: []int{0, 0, 0}}}, 0, 0},
		{"a spared one and another have it", []Site{{Has: true, Spared: true}, {Has: true}, {Key: better, From: []int{0, 0, 0}}}, 0, 0},
		{"two spared ones have it", []Site{{Has: true, Spared: true}, {Has: true, Spared: true}, {Key: better, From: []int{0, 0, 0}}}, 1, 1},
		{"a cheap and a dear one have it", []Site{{Has: true, Dear: 1}, {Has: true}, {Key: better, From: []int{0, 1, 0}}}, 0, 0},
		{"a dear one has it, our neighbour is first", []Site{{Has: true, Dear: 1}, {Key: better, From: []int{1, 0}}}, 2, 1},
		{"dear ones have it, our neighbour is first", []Site{{Has: true, Dear: 1}, {Has: true, Dear: 1}, {Key: better, From: []int{1, 1, 0}}}, 2, 1},
		{"dear ones have it, our neighbour is behind us", []Site{{Has: true, Dear: 1}, {Has: true, Dear: 1}, {Key: worse, From: []int{1, 1, 0}}}, 2, 0},
		{"dear ones have it, a far site is first", []Site{{Has: true, Dear: 1}, {Has: true, Dear: 1}, {Key: better, Dear: 1, From: []int{1, 1, 0}}}, 2, 0},
		{"a far one has it, its neighbour goes first", []Site{{Has: true, Dear: 1}, {Key: worse, Dear: 1, From: []int{0, 0}}}, 2, 1},
		{"our neighbour has it and is spared, a far site is first", []Site{{Has: true, Spared: true}, {Key: better, Dear: 1, From: []int{1, 0}}}, 1, 0},
	} {
		if rank, before := Turn(Site{Key: self}, tt.sites, piece); rank != tt.rank || before != tt.before {
			t.Errorf("%s: rank %d, %d before us; want %d, %d", tt.name, rank, before, tt.rank, tt.before)
		}
	}
}

// A site that is far behind lets those that keep up go first, whatever the hash says,
// and takes at once what they have.
func TestTurnOfTheLate(t *testing.T) {
	late := Site{Key: SiteKey("own"), Behind: true}
	for _, tt := range []struct {
		name   string
		sites  []Site
		before int
	}{
		{"one that keeps up lacks it", []Site{{Has: true}, {Key: 1, From: []int{0, 0}}}, 1},
		{"one that is behind, too, lacks it", []Site{{Has: true}, {Key: 1, Behind: true, From: []int{0, 0}}}, 0},
		{"two have it", []Site{{Has: true}, {Has: true}, {Key: 1, From: []int{0, 0, 0}}}, 0},
	} {
		for piece := range uint32(20) {
			if _, before := Turn(late, tt.sites, piece); before != tt.before {
				t.Errorf("%s: piece %d: %d before us, want %d", tt.name, piece, before, tt.before)
			}
		}
	}
}
