package swarm

import (
	"fmt"
	"net/netip"
	"slices"

	"shoal/internal/bt/wire"
)

// Extended ids under which we want to be sent extension messages (BEP 10).
const (
	ourPex      = 1
	ourMetadata = 2
	ourDontHave = 3
	ourShoal    = 4
)

// maxLarge is the longest request that is served, in bytes: a whole piece to
// shoal peers. Nothing is buffered, so a stock peer may ask for as much.
const maxLarge = 16 << 20

// parseExtended turns an extension message into its event.
func (l *link) parseExtended(payload []byte) (event, error) {
	id, body, err := wire.ParseExtended(payload)
	if err != nil {
		return nil, err
	}
	switch id {
	case wire.ExtHandshakeID:
		h, err := wire.ParseExtHandshake(body)
		return extHandshake{l.p, h}, err
	case ourPex:
		x, err := wire.ParsePex(body)
		if err != nil || !l.t.o.gossips() {
			return nil, err
		}
		return gossiped(x), nil
	case ourMetadata:
		m, err := wire.ParseMetadata(body)
		if err != nil || m.Type != wire.MetadataRequest {
			return nil, err
		}
		return metadataAsked{l.p, m.Piece}, nil
	case ourDontHave:
		i, err := wire.ParseDontHave(body)
		if err != nil || int64(i) >= int64(l.t.o.Info.NumPieces()) {
			return nil, fmt.Errorf("%w: piece %d", wire.ErrMalformed, i)
		}
		return lost{l.p, i}, nil
	case ourShoal:
		return l.parseShoal(body)
	}
	return nil, nil
}

func (l *link) parseShoal(body []byte) (event, error) {
	m, err := wire.ParseShoal(body)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Kind == wire.ShoalTurn:
		return licensed{l.p, m.Turn}, nil
	case m.Kind == wire.ShoalMembers:
		return toldMembers{l.p, m.Members}, nil
	case len(m.Pieces) == 0 && m.Kind == wire.ShoalClaims:
		return claimed{p: l.p}, nil
	case len(m.Pieces) == 0:
		return nil, nil
	}
	if last := m.Pieces[len(m.Pieces)-1].Last; int64(last) >= int64(l.t.o.Info.NumPieces()) {
		return nil, fmt.Errorf("%w: piece %d", wire.ErrMalformed, last)
	}
	switch m.Kind {
	case wire.ShoalHaves:
		return gotHaves{l.p, slices.Collect(m.Pieces.All())}, nil
	case wire.ShoalCancels:
		return piecesCancelled{l.p, m.Pieces}, nil
	case wire.ShoalDamaged:
		return reported{l.p, m.Pieces}, nil
	case wire.ShoalClaims:
		return claimed{l.p, m.Pieces}, nil
	case wire.ShoalRelays:
		return relayed{l.p, m.Pieces}, nil
	}
	return nil, nil
}

// extHandshake occurs when a peer tells what extensions it speaks.
type extHandshake struct {
	p *peer
	h wire.ExtHandshake
}

func (e extHandshake) apply(s *state) {
	p := e.p
	p.ext = e.h
	s.locate(p)
	s.settle(p)
	s.imports.stale = true
	hidden := s.source != nil && p.blind
	id, understands := e.h.ID(wire.ExtShoal) // or it could not be told of its turn
	p.shoal, p.shoalID = s.speaksShoal() && e.h.Shoal.Version > 0 && understands, 0
	if p.shoal {
		p.shoalID = id
	}
	s.countSender(p)
	p.blind = hidden && p.shoal && e.h.Shoal.Reveal
	if hidden && !p.blind { // it does not live on offers: it is owed the truth
		s.takeBack(p)
		s.tellHaves(p, s.allPieces())
	}
	if e.h.P != 0 && !p.outgoing {
		p.listen = netip.AddrPortFrom(p.link.addr.Addr().Unmap(), e.h.P)
	}
	s.identify(p)
	if p.shoal {
		p.unit = min(maxLarge, max(e.h.Shoal.MaxRequest, 16<<10))
	}
	s.retune(p)
	s.freed = true
	s.countOthers()
	s.thin()
	s.dropIfUseless(p)
}

// sayExtended tells a peer what extensions we speak.
func (s *state) sayExtended(p *peer) {
	h := wire.ExtHandshake{
		M: map[string]int{wire.ExtMetadata: ourMetadata, wire.ExtDontHave: ourDontHave},
		V: s.o.Client, P: s.o.ListenPort, Reqq: 2000, MetadataSize: int64(len(s.o.Info.Raw)),
		UploadOnly: s.complete(), YourIP: p.link.addr.Addr().Unmap(),
	}
	if s.speaksShoal() {
		h.M[wire.ExtShoal] = ourShoal
		// Who wants only some pieces cannot live on what a source picks for it.
		h.Shoal = wire.ShoalCaps{
			Version: wire.ShoalVersion, MaxRequest: maxLarge, Reveal: s.want.All(),
			Source: s.source != nil, DC: s.conn.place.Datacenter, Net: s.conn.place.Rack,
		}
		if homes := s.o.Places.Homes(); len(homes) > 0 {
			h.Shoal.Nets, h.Shoal.Self = homes, s.conn.self
		}
	}
	if s.o.gossips() {
		h.M[wire.ExtPex] = ourPex
	}
	p.send(func(b []byte) []byte { return wire.AppendExtended(b, wire.ExtHandshakeID, h.Encode()) })
}

// metadataAsked occurs when a peer with a magnet link wants a part of the
// info dictionary (BEP 9).
type metadataAsked struct {
	p     *peer
	piece int
}

func (e metadataAsked) apply(s *state) {
	id, ok := e.p.ext.ID(wire.ExtMetadata)
	if !ok {
		return
	}
	raw := s.o.Info.Raw
	m := wire.Metadata{Type: wire.MetadataReject, Piece: e.piece}
	if from, n, ok := wire.MetadataSpan(e.piece, int64(len(raw))); ok {
		m = wire.Metadata{Type: wire.MetadataData, Piece: e.piece, TotalSize: int64(len(raw)), Data: raw[from : from+n]}
	}
	e.p.send(func(b []byte) []byte { return wire.AppendExtended(b, id, m.Encode()) })
}

// gossips tells whether peers may be learnt from each other. BEP 27 keeps them
// to the trackers of a private release, which know who is let in; where each
// connection proves that itself, whoever is told of can only be a member.
func (o *Options) gossips() bool { return !o.Info.Private || o.Members }

// sharePeers tells a peer, once a minute, who else is here (BEP 11).
func (s *state) sharePeers(p *peer) {
	id, ok := p.ext.ID(wire.ExtPex)
	if !ok || !s.o.gossips() {
		return
	}
	var x wire.Pex
	now := make([]netip.AddrPort, 0, min(len(s.peers), wire.MaxPex/2))
	for q := range s.peers {
		if q == p || !q.listen.IsValid() || len(now) == wire.MaxPex/2 {
			continue
		}
		now = append(now, q.listen)
		if _, known := slices.BinarySearchFunc(p.told, q.listen, netip.AddrPort.Compare); !known {
			x.Added = append(x.Added, wire.PexPeer{Addr: q.listen, Flags: q.pexFlags(), Via: between(p, q)})
		}
	}
	slices.SortFunc(now, netip.AddrPort.Compare)
	now = slices.Compact(now)
	for _, a := range p.told {
		if _, still := slices.BinarySearchFunc(now, a, netip.AddrPort.Compare); !still {
			x.Dropped = append(x.Dropped, wire.PexPeer{Addr: a})
		}
	}
	if len(x.Added)+len(x.Dropped) == 0 {
		return
	}
	p.told = now
	p.send(func(b []byte) []byte { return wire.AppendExtended(b, id, x.Encode()) })
}

// hashesAsked occurs when a peer of a v2 swarm wants merkle hashes (BEP 52).
type hashesAsked struct {
	p *peer
	r wire.HashRange
}

func (e hashesAsked) apply(s *state) {
	if hashes, ok := s.answerHashes(e.r); ok {
		e.p.send(func(b []byte) []byte { return wire.AppendHashes(b, e.r, hashes) })
		return
	}
	e.p.send(func(b []byte) []byte { return wire.AppendHashReject(b, e.r) })
}
