package swarm

import (
	"maps"
	"slices"

	"shoal/internal/bt/swarm/owner"
	"shoal/internal/topology"
)

// maxWays is how many ways between sites are told apart by what they cost;
// dearer ones count as the dearest of them.
const maxWays = 4

// rankSites tells how dear the ways between the sites are and which sites are
// spared, and makes a picker for each rank that comes of it.
func (s *state) rankSites() {
	im := &s.imports
	im.order = slices.Collect(maps.Values(im.sites))
	im.due.shown = false
	for p := range s.peers {
		im.due.shown = im.due.shown || p.site != nil && p.seed()
	}
	places := make([]topology.Place, 0, len(im.order)+1)
	lacking := false
	for _, at := range im.order {
		places = append(places, at.place)
		lacking = lacking || at.wholes == 0 && !at.Behind
	}
	dear := rankWays(append(places, s.conn.place), s.o.Places.Way)
	for i, at := range im.order {
		at.From, at.Dear = dear[i][:len(im.order)], dear[i][len(im.order)]
		at.Spared = lacking && at.wholes > 0 && im.rare
		for len(im.ranks) <= 2*at.Dear+1 {
			im.ranks = append(im.ranks, im.pick.Clone())
		}
	}
}

// rankWays tells for each two places how dear the way between them is: 0 for the
// cheapest of all ways, 1 for the next.
func rankWays(places []topology.Place, way func(a, b topology.Place) topology.Way) [][]int {
	var ways topology.Ways
	for i, a := range places {
		for _, b := range places[:i] {
			ways.Add(way(a, b))
		}
	}
	dear := make([][]int, len(places))
	for i, a := range places {
		dear[i] = make([]int, len(places))
		for j, b := range places[:i] {
			dear[i][j] = min(ways.Rank(way(a, b)), maxWays-1)
			dear[j][i] = dear[i][j]
		}
	}
	return dear
}

// turn is package owner's, for what the sites that we are connected to have.
func (s *state) turn(piece uint32) (rank, before int) {
	var space [16]owner.Site
	sites := space[:0]
	for _, at := range s.imports.order {
		x := at.Site
		x.Has = at.wholes > 0 || at.has[piece] > 0
		sites = append(sites, x)
	}
	own := owner.Site{Key: owner.SiteKey(s.conn.place.Datacenter), Behind: s.imports.late}
	return owner.Turn(own, sites, piece)
}
