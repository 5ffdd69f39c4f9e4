package announce

import (
	"encoding/binary"
	"errors"
)

// Action is the kind of a UDP message (BEP 15), the same number in the request and its answer.
type Action uint32

// Actions of BEP 15.
const (
	ActionConnect Action = iota
	ActionAnnounce
	ActionScrape
	ActionError
)

// UDP sizes. No datagram that either side sends is longer than MaxPacket, so that it is not cut into fragments
// on common networks.
const (
	MaxPacket       = 1400
	ProtocolID      = uint64(0x41727101980) // stands in place of a connection id in a connect request
	headSize        = 16                    // connection id, action, transaction id
	announceSize    = 98
	replyHeadSize   = 8  // action, transaction id
	announceReplies = 20 // before the peers
	scrapeEntry     = 12
)

// ErrPacket says that a datagram is not a message of this protocol. The right answer to one is silence.
var ErrPacket = errors.New("announce: not a tracker message")

// UDPHead is the start of every UDP request.
type UDPHead struct {
	ConnID uint64 // ProtocolID in a connect request
	Action Action
	Tx     uint32 // transaction id, given back in the answer
}

// ParseUDPHead reads the first 16 bytes of a request that a tracker received. ErrPacket when it is too short,
// or a connect request without the protocol id.
func ParseUDPHead(pkt []byte) (UDPHead, error) {
	if len(pkt) < headSize {
		return UDPHead{}, ErrPacket
	}
	h := UDPHead{
		ConnID: binary.BigEndian.Uint64(pkt),
		Action: Action(binary.BigEndian.Uint32(pkt[8:])),
		Tx:     binary.BigEndian.Uint32(pkt[12:]),
	}
	if h.Action == ActionConnect && h.ConnID != ProtocolID {
		return h, ErrPacket
	}
	return h, nil
}

func (h UDPHead) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, h.ConnID)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Action))
	return binary.BigEndian.AppendUint32(dst, h.Tx)
}

func appendReplyHead(dst []byte, a Action, tx uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(a))
	return binary.BigEndian.AppendUint32(dst, tx)
}
