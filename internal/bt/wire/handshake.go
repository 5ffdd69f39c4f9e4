package wire

import "strings"

// protocol is what every handshake starts with: the name's length and the name (BEP 3).
const protocol = "\x13BitTorrent protocol"

// HandshakeLen is the length of a handshake in bytes.
const HandshakeLen = 68

// Cap is a set of capabilities announced in the reserved bytes of a handshake.
type Cap uint8

// Capabilities. Both sides must have one for it to be used, except CapV2, by
// which the dialled side may answer for the v2 swarm of a hybrid release.
const (
	CapExtended Cap = 1 << iota // BEP 10: reserved[5] & 0x10
	CapFast                     // BEP 6: reserved[7] & 0x04
	CapV2                       // BEP 52: reserved[7] & 0x10
	CapDHT                      // BEP 5: reserved[7] & 0x01
)

// Handshake is the first thing each side sends.
type Handshake struct {
	Reserved [8]byte
	InfoHash [20]byte // metainfo.InfoHash on the wire
	PeerID   [20]byte
}

// NewHandshake makes a handshake that announces caps.
func NewHandshake(infoHash, peerID [20]byte, caps Cap) Handshake {
	h := Handshake{InfoHash: infoHash, PeerID: peerID}
	if caps&CapExtended != 0 {
		h.Reserved[5] |= 0x10
	}
	if caps&CapFast != 0 {
		h.Reserved[7] |= 0x04
	}
	if caps&CapV2 != 0 {
		h.Reserved[7] |= 0x10
	}
	if caps&CapDHT != 0 {
		h.Reserved[7] |= 0x01
	}
	return h
}

// Extended reports whether the sender speaks BEP 10 extension messages.
func (h Handshake) Extended() bool { return h.Reserved[5]&0x10 != 0 }

// Fast reports whether the sender speaks the BEP 6 Fast Extension.
func (h Handshake) Fast() bool { return h.Reserved[7]&0x04 != 0 }

// V2 reports whether the sender speaks BEP 52.
func (h Handshake) V2() bool { return h.Reserved[7]&0x10 != 0 }

// DHT reports whether the sender has a BEP 5 node.
func (h Handshake) DHT() bool { return h.Reserved[7]&0x01 != 0 }

// Caps is the set of all capabilities that h announces.
func (h Handshake) Caps() Cap {
	var c Cap
	if h.Extended() {
		c |= CapExtended
	}
	if h.Fast() {
		c |= CapFast
	}
	if h.V2() {
		c |= CapV2
	}
	if h.DHT() {
		c |= CapDHT
	}
	return c
}

// Append writes the HandshakeLen bytes of h behind dst.
func (h Handshake) Append(dst []byte) []byte {
	dst = append(dst, protocol...)
	dst = append(dst, h.Reserved[:]...)
	dst = append(dst, h.InfoHash[:]...)
	return append(dst, h.PeerID[:]...)
}

// ParseHandshake reads exactly HandshakeLen bytes.
func ParseHandshake(b []byte) (Handshake, error) {
	var h Handshake
	if len(b) != HandshakeLen {
		return h, malformed("handshake", "%d bytes, want %d", len(b), HandshakeLen)
	}
	if !strings.HasPrefix(string(b[:len(protocol)]), protocol) {
		return h, malformed("handshake", "protocol is %.20q, not BitTorrent", b[:len(protocol)])
	}
	b = b[len(protocol):]
	copy(h.Reserved[:], b[:8])
	copy(h.InfoHash[:], b[8:28])
	copy(h.PeerID[:], b[28:48])
	return h, nil
}
