// Package announce turns tracker messages into values and back, for HTTP (BEP 3, 7, 21, 23, 24, 31, 48)
// and UDP (BEP 15, 41), in both directions: what a client sends and reads, and what a tracker reads and sends.
//
// It never opens a socket, never looks at a clock and never decides anything: who is answered with which peers
// is the tracker's business, when to ask again is the announcer's. Every length and count that comes from
// outside is bounded before memory is spent on it.
package announce

import (
	"fmt"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// Bounds on what is read from the other side.
const (
	MaxQuery      = 16 << 10 // bytes of an HTTP query string; some 220 hashes in one scrape
	MaxResponse   = 2 << 20  // bytes of an HTTP response body that a client reads
	MaxPeers      = 10_000   // peers a family that a client takes from one response
	MaxText       = 1 << 10  // bytes of a reason, a warning or a tracker id; longer ones are cut
	MaxURLData    = 2 << 10  // bytes of path and query in a UDP announce (BEP 41)
	MaxScrapeUDP  = 74       // hashes in one UDP scrape (BEP 15: "up to about 74")
	MaxScrapeHTTP = 200      // hashes in one HTTP scrape request
)

// Event is what happened to the announcing peer. The numbers are those of BEP 15.
type Event uint8

// Events of BEP 3; Paused is the mark of a partial seed (BEP 21), sent with every announce of one.
const (
	None Event = iota
	Completed
	Started
	Stopped
	Paused
)

// String is the spelling of the event in an HTTP query; empty for None.
func (e Event) String() string {
	switch e {
	case Completed:
		return "completed"
	case Started:
		return "started"
	case Stopped:
		return "stopped"
	case Paused:
		return "paused"
	default:
		return ""
	}
}

func parseEvent(s string) (Event, bool) {
	switch s {
	case "", "empty":
		return None, true
	case "completed":
		return Completed, true
	case "started":
		return Started, true
	case "stopped":
		return Stopped, true
	case "paused":
		return Paused, true
	}
	return None, false
}

// Stats are a peer's byte counters since its "started" event. Left below zero means that it is not known
// (a magnet link before the metadata came).
type Stats struct {
	Uploaded, Downloaded, Left int64
}

// Request is one announce.
type Request struct {
	InfoHash metainfo.InfoHash
	PeerID   [20]byte
	Stats
	Event     Event
	Port      uint16 // where the peer listens; 0: it cannot be connected to
	Key       uint32 // secret that proves the same peer from another address; valid with HasKey
	HasKey    bool
	NumWant   int            // peers wanted; below zero: the tracker's default
	IP        netip.Addr     // `ip` (BEP 3) or the IP field of BEP 15: an address that the peer claims
	V4, V6    netip.AddrPort // `ipv4`, `ipv6` (BEP 7): more claimed addresses; port 0 when not given
	Full      bool           // HTTP: the peer asked for the dictionary form (compact=0)
	NoPeerID  bool           // HTTP: ... without peer ids
	TrackerID string         // HTTP: what the tracker gave earlier
	Shoal     bool           // HTTP: the peer wants to know its data centre: see Site
	Ledger    *Ledger        // HTTP: what the peer has moved; nil: nothing is told
	// HTTP: further addresses of the peer, on networks that not everybody is on (docs/protocol.md, "What a peer tells
	// of its networks"); nil: none.
	Homes   *multihome.Homes
	URLData string // UDP: path and query of the tracker's URL (BEP 41)
}

// Seed tells whether the peer wants no more bytes: a seed, or a partial seed (BEP 21).
func (r *Request) Seed() bool { return r.Left == 0 || r.Event == Paused }

// Response answers one announce. Peers are held in compact form (BEP 23, BEP 7), so that a tracker copies
// bytes and makes no garbage; see Peers for values.
type Response struct {
	Interval    time.Duration // when to announce again; whole seconds on the wire
	MinInterval time.Duration // never sooner than this; 0: not given (HTTP only)
	Seeds       int           // complete peers
	Leeches     int           // others
	Downloaded  int           // completed events ever (HTTP only)
	V4          []byte        // 6 bytes a peer: address, port
	V6          []byte        // 18 bytes a peer
	IDs4, IDs6  []byte        // 20 bytes a peer, parallel to V4 and V6; only for the dictionary form, may be nil
	ExternalIP  netip.Addr    // how the tracker sees the asker (BEP 24, HTTP only)
	Warning     string        // for the human (HTTP only)
	TrackerID   string        // to be sent back with the next announce (HTTP only)
	Site        Site          // what the asker needs to know of its data centre (HTTP only)
}

// Swarm is what a scrape tells about one swarm (BEP 48).
type Swarm struct {
	InfoHash    metainfo.InfoHash
	Seeds       int    // complete
	Leeches     int    // incomplete, partial seeds included
	Downloaded  int    // completed events ever
	Downloaders int    // BEP 21: leeches that are not partial seeds; below zero: not given (HTTP only)
	Name        string // empty: not given (HTTP only)
}

// Failure is the tracker's refusal, as it goes over the wire in either direction. Parsers of requests return
// it with the reason that the other side should read.
type Failure struct {
	Reason  string
	RetryIn time.Duration // BEP 31: ask again after this; 0: not given; whole minutes on the wire
	Never   bool          // BEP 31: do not ask again
}

// Error makes a Failure an error for the client that received it.
func (f *Failure) Error() string { return "tracker refused: " + f.Reason }

func refuse(format string, args ...any) *Failure {
	return &Failure{Reason: fmt.Sprintf(format, args...)}
}

func cut(s string) string {
	if len(s) > MaxText {
		return s[:MaxText]
	}
	return s
}
