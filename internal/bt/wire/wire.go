// Package wire turns peer-protocol bytes into values and values into bytes: the
// handshake, every message of BEP 3, 6, 10 and 52, and the extension messages of
// BEP 9, 11, 54 and of shoal itself (docs/protocol.md).
//
// It is pure: it never touches a socket, a file, a goroutine or a clock, keeps
// no state, and never panics on input. Appenders write a whole frame (length
// prefix, id, payload) behind dst; parsers take the payload that follows the id.
package wire

import (
	"errors"
	"fmt"

	"shoal/internal/bt/metainfo"
)

// ErrMalformed is wrapped by every parse error of this package. A peer that
// causes it does not speak the protocol and should be dropped.
var ErrMalformed = errors.New("malformed peer message")

// Limits of what this package accepts. A reader must check a frame's length
// with FrameLimit before it allocates.
const (
	// MaxPieces bounds the pieces of one release.
	MaxPieces = metainfo.MaxPieces
	// MaxBitfield is the longest bitfield payload in bytes.
	MaxBitfield = MaxPieces / 8
	// MaxExtended bounds the body of an extension message, its one-byte extended id not counted.
	MaxExtended = 1 << 20
	// MaxHashes bounds the hashes in one BEP 52 hashes message, proofs not counted.
	// The BEP asks for at most 512; we take more for very big files.
	MaxHashes = 8192
	// MaxProofLayers bounds the proof layers of a hash request: no file has a deeper tree.
	MaxProofLayers = 64
	// MaxFrame is the longest frame (id and payload) of any message but piece.
	MaxFrame = 1 + MaxBitfield
	// MaxStockBlock is the longest request that every client serves (BEP 3, 52).
	MaxStockBlock = 16 << 10
	// PieceHeaderLen is what AppendPieceHeader writes before the data.
	PieceHeaderLen = 13
	// PieceOverhead is the part of a piece frame's length that is not data: id, index, begin.
	PieceOverhead = 9
)

// ID is the type byte of a message.
type ID uint8

// The message ids of BEP 3, 5, 6, 10 and 52.
const (
	Choke         ID = 0
	Unchoke       ID = 1
	Interested    ID = 2
	NotInterested ID = 3
	Have          ID = 4
	Bitfield      ID = 5
	Request       ID = 6
	Piece         ID = 7
	Cancel        ID = 8
	Port          ID = 9
	Suggest       ID = 0x0D
	HaveAll       ID = 0x0E
	HaveNone      ID = 0x0F
	Reject        ID = 0x10
	AllowedFast   ID = 0x11
	Extended      ID = 20
	HashRequest   ID = 21
	Hashes        ID = 22
	HashReject    ID = 23
)

// String names the message as the BEPs do; an unknown id shows its number.
func (id ID) String() string {
	switch id {
	case Choke:
		return "choke"
	case Unchoke:
		return "unchoke"
	case Interested:
		return "interested"
	case NotInterested:
		return "not interested"
	case Have:
		return "have"
	case Bitfield:
		return "bitfield"
	case Request:
		return "request"
	case Piece:
		return "piece"
	case Cancel:
		return "cancel"
	case Port:
		return "port"
	}
	return id.extensionName()
}

// extensionName names the ids that came after BEP 3.
func (id ID) extensionName() string {
	switch id {
	case Suggest:
		return "suggest piece"
	case HaveAll:
		return "have all"
	case HaveNone:
		return "have none"
	case Reject:
		return "reject request"
	case AllowedFast:
		return "allowed fast"
	case Extended:
		return "extended"
	case HashRequest:
		return "hash request"
	case Hashes:
		return "hashes"
	case HashReject:
		return "hash reject"
	}
	return fmt.Sprintf("message(%d)", uint8(id))
}

// NeedsFast reports whether id may be sent only if both sides set the Fast
// Extension bit; BEP 6 wants the connection closed otherwise.
func (id ID) NeedsFast() bool {
	switch id {
	case Suggest, HaveAll, HaveNone, Reject, AllowedFast:
		return true
	}
	return false
}

// FrameLimit is the longest frame (id and payload) that a message of this id may
// have when a piece message may carry up to maxBlock bytes of data. Unknown ids
// are bounded like extension messages so that a reader can skip them.
func FrameLimit(id ID, maxBlock int) int {
	switch id {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return 1
	case Have, Suggest, AllowedFast:
		return 5
	case Port:
		return 3
	case Request, Cancel, Reject:
		return 13
	case Bitfield:
		return 1 + MaxBitfield
	case Piece:
		return PieceOverhead + maxBlock
	case HashRequest, HashReject:
		return 1 + hashHeadLen
	case Hashes:
		return 1 + hashHeadLen + 32*(MaxHashes+MaxProofLayers)
	}
	return 2 + MaxExtended
}

// malformed makes a parse error for a message of the given name.
func malformed(what, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrMalformed, what, fmt.Sprintf(format, args...))
}
