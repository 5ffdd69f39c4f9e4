package wire

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"shoal/internal/bt/multihome"
)

// ExtShoal is the name of shoal's own extension in the m dictionary; the ext
// handshake's key of the same name carries ShoalCaps (docs/protocol.md).
const ExtShoal = "shoal"

// ShoalVersion is the version of the extension that this package speaks.
const ShoalVersion = 1

// PeerIDPrefix starts the peer id of every shoal process (BEP 20). Because the
// first message after the handshake depends on who the other side is, and the ext
// handshake comes later, the prefix is the hint and ShoalCaps the confirmation.
const PeerIDPrefix = "-SH"

// LooksShoal reports whether peerID claims to be a shoal process. Nothing but the
// choice of the first message may depend on it.
func LooksShoal(peerID [20]byte) bool {
	return strings.HasPrefix(string(peerID[:len(PeerIDPrefix)]), PeerIDPrefix)
}

// ShoalCaps is what a shoal process says of itself in its ext handshake. The zero
// value means that the sender is not a shoal process.
type ShoalCaps struct {
	Version    int    // 1 or later
	MaxRequest int64  // longest request it serves in bytes; at least a block, 0 when it says nothing
	Reveal     bool   // it understands directed first copy
	Source     bool   // it hands out the first copy now: it has more pieces than it shows
	DC         string // data centre, at most MaxPlace bytes; a hint, "" if unknown
	Net        string // its rack inside the data centre, at most MaxPlace bytes; a hint

	// Where everybody is told to connect to the sender, if it has several addresses and knows; a hint.
	Self netip.AddrPort
	Nets []multihome.Address // where it takes connections on networks of its data centre; hints
}

// MaxPlace bounds the names of places in ShoalCaps.
const MaxPlace = 64

// ShoalKind is the first byte of the body of a shoal message.
type ShoalKind uint8

// The kinds of shoal messages. A receiver ignores kinds it does not know.
const (
	ShoalHaves   ShoalKind = 1 // the sender has these pieces: like so many haves
	ShoalCancels ShoalKind = 2 // cancels every outstanding request of the sender for these pieces
	ShoalDamaged ShoalKind = 3 // these pieces came from the receiver and did not match their hashes
	ShoalTurn    ShoalKind = 4 // the receiver may begin this many pieces now
	ShoalClaims  ShoalKind = 5 // the sender is bringing these pieces into its site, and no others
	ShoalMembers ShoalKind = 6 // these hosts belong to the sender's site, beside those it has told of before
	ShoalRelays  ShoalKind = 7 // peers of the sender have claimed these pieces
)

// Run is a run of piece indices, both ends included.
type Run struct{ First, Last uint32 }

// Runs is an ascending list of runs that do not overlap.
type Runs []Run

// All yields every piece of the runs in ascending order.
func (r Runs) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, run := range r {
			for p := uint64(run.First); p <= uint64(run.Last); p++ {
				if !yield(uint32(p)) {
					return
				}
			}
		}
	}
}

// Count is how many pieces the runs hold.
func (r Runs) Count() int64 {
	var n int64
	for _, run := range r {
		n += int64(run.Last) - int64(run.First) + 1
	}
	return n
}

// ShoalMessage is a parsed shoal message.
type ShoalMessage struct {
	Kind    ShoalKind
	Pieces  Runs             // of all kinds but turn and members; every index is below MaxPieces
	Turn    int              // of turn: pieces, at most MaxPieces
	Members []netip.AddrPort // of members: where they take connections
}

// MaxShoalMembers bounds a members message.
const MaxShoalMembers = 1000

// runBit marks the first of two words that make a run: a single piece is one word.
const runBit = 1 << 31

// AppendShoalHaves appends the body of a shoal message (for AppendExtended) that
// announces pieces, in any order, each below MaxPieces. Neighbours become runs.
func AppendShoalHaves(dst []byte, pieces []uint32) []byte {
	return appendRuns(append(dst, byte(ShoalHaves)), pieces)
}

// AppendShoalCancels appends the body of a shoal message that cancels all
// outstanding requests for pieces.
func AppendShoalCancels(dst []byte, pieces []uint32) []byte {
	return appendRuns(append(dst, byte(ShoalCancels)), pieces)
}

// AppendShoalDamaged appends the body of a shoal message that reports pieces
// which the receiver of the message has sent, and whose hashes did not match.
func AppendShoalDamaged(dst []byte, pieces []uint32) []byte {
	return appendRuns(append(dst, byte(ShoalDamaged)), pieces)
}

// AppendShoalTurn appends the body of a shoal message that lets its receiver
// begin pieces, 0 for no more.
func AppendShoalTurn(dst []byte, pieces int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(ShoalTurn)), uint32(pieces))
}

// AppendShoalClaims appends the body of a shoal message that says which pieces
// its sender is bringing in from other sites; it replaces the one before.
func AppendShoalClaims(dst []byte, pieces []uint32) []byte {
	return appendRuns(append(dst, byte(ShoalClaims)), pieces)
}

// AppendShoalMembers appends the body of a shoal message that tells of hosts of
// the sender's site, up to MaxShoalMembers of them.
func AppendShoalMembers(dst []byte, members []netip.AddrPort) []byte {
	members = members[:min(len(members), MaxShoalMembers)]
	four := 0
	for _, a := range members {
		if a.Addr().Unmap().Is4() {
			four++
		}
	}
	dst = binary.BigEndian.AppendUint16(append(dst, byte(ShoalMembers)), uint16(four))
	for _, of4 := range []bool{true, false} {
		for _, a := range members {
			if ip := a.Addr().Unmap(); ip.Is4() == of4 {
				dst = binary.BigEndian.AppendUint16(append(dst, ip.AsSlice()...), a.Port())
			}
		}
	}
	return dst
}

// parseMembers leaves out those that nobody can connect to.
func parseMembers(b []byte) ([]netip.AddrPort, error) {
	if len(b) < 2 {
		return nil, malformed("shoal message", "members of %d bytes", len(b))
	}
	four := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if six := len(b) - 6*four; six < 0 || six%18 != 0 || four+six/18 > MaxShoalMembers {
		return nil, malformed("shoal message", "%d members with IPv4 addresses in %d bytes, at most %d in all", four, len(b), MaxShoalMembers)
	}
	var members []netip.AddrPort
	for len(b) > 0 {
		n := 4
		if four--; four < 0 {
			n = 16
		}
		ip, _ := netip.AddrFromSlice(b[:n])
		if a := netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[n:])); reachable(a) {
			members = append(members, a)
		}
		b = b[n+2:]
	}
	return members, nil
}

// AppendShoalRelays appends the body of a shoal message that says which pieces
// peers of the sender in its site are bringing in.
func AppendShoalRelays(dst []byte, pieces []uint32) []byte {
	return appendRuns(append(dst, byte(ShoalRelays)), pieces)
}

func appendRuns(dst []byte, pieces []uint32) []byte {
	if !slices.IsSorted(pieces) {
		pieces = slices.Sorted(slices.Values(pieces))
	}
	for i := 0; i < len(pieces); {
		first, last := pieces[i], pieces[i]
		for i++; i < len(pieces) && pieces[i]-last <= 1; i++ {
			last = pieces[i]
		}
		if last == first {
			dst = binary.BigEndian.AppendUint32(dst, first)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, first|runBit)
		dst = binary.BigEndian.AppendUint32(dst, last)
	}
	return dst
}

// ParseShoal reads the body of a shoal message. A kind that this version does not
// know is no error: Kind tells, Pieces is nil, and the caller ignores it.
func ParseShoal(body []byte) (ShoalMessage, error) {
	if len(body) == 0 {
		return ShoalMessage{}, malformed("shoal message", "empty")
	}
	m := ShoalMessage{Kind: ShoalKind(body[0])}
	var err error
	switch m.Kind {
	case ShoalHaves, ShoalCancels, ShoalDamaged, ShoalRelays:
		m.Pieces, err = parseRuns(body[1:])
	case ShoalClaims:
		if len(body) > 1 { // none is an answer too
			m.Pieces, err = parseRuns(body[1:])
		}
	case ShoalTurn:
		m.Turn, err = parseTurn(body[1:])
	case ShoalMembers:
		m.Members, err = parseMembers(body[1:])
	}
	return m, err
}

func parseTurn(b []byte) (int, error) {
	if len(b) != 4 {
		return 0, malformed("shoal message", "a turn of %d bytes, want 4", len(b))
	}
	return int(min(binary.BigEndian.Uint32(b), MaxPieces)), nil
}

// parseRuns accepts only strictly ascending runs, so that a short message can name
// no piece twice and at most MaxPieces pieces in all.
func parseRuns(b []byte) (Runs, error) {
	if len(b) == 0 || len(b)%4 != 0 || len(b) > MaxExtended {
		return nil, malformed("shoal message", "%d bytes of pieces, want a multiple of 4 up to %d", len(b), MaxExtended)
	}
	runs := make(Runs, 0, len(b)/4)
	for next := uint32(0); len(b) > 0; {
		run, size, ok := parseRun(b)
		if !ok {
			return nil, malformed("shoal message", "run without an end")
		}
		if run.First < next || run.Last < run.First || run.Last >= MaxPieces {
			return nil, malformed("shoal message", "run %d to %d is out of order or beyond %d", run.First, run.Last, MaxPieces)
		}
		runs = append(runs, run)
		next, b = run.Last+1, b[size:]
	}
	return runs, nil
}

// parseRun reads the first run of b, and says how many bytes it takes.
func parseRun(b []byte) (run Run, size int, ok bool) {
	w := binary.BigEndian.Uint32(b)
	if w&runBit == 0 {
		return Run{w, w}, 4, true
	}
	if len(b) < 8 {
		return Run{}, 0, false
	}
	return Run{w &^ runBit, binary.BigEndian.Uint32(b[4:])}, 8, true
}
