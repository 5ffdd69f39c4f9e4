package wire

import "encoding/binary"

// Block names a run of bytes of one piece: the payload of request, cancel and reject.
type Block struct {
	Index  uint32 // piece
	Begin  uint32 // byte offset inside the piece
	Length uint32 // bytes
}

// End is the offset behind the block's last byte; it cannot overflow.
func (b Block) End() int64 { return int64(b.Begin) + int64(b.Length) }

// head appends the length prefix of a frame with n payload bytes, and its id.
func head(dst []byte, id ID, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(n)+1)
	return append(dst, byte(id))
}

// AppendKeepAlive appends the empty frame that says the sender is still there.
func AppendKeepAlive(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// AppendID appends a message without payload: choke, unchoke, interested, not
// interested, have all, have none.
func AppendID(dst []byte, id ID) []byte { return head(dst, id, 0) }

// AppendHave appends a have message for one piece.
func AppendHave(dst []byte, index uint32) []byte { return appendIndex(dst, Have, index) }

// AppendSuggest appends a suggest piece message (BEP 6).
func AppendSuggest(dst []byte, index uint32) []byte { return appendIndex(dst, Suggest, index) }

// AppendAllowedFast appends an allowed fast message (BEP 6).
func AppendAllowedFast(dst []byte, index uint32) []byte { return appendIndex(dst, AllowedFast, index) }

func appendIndex(dst []byte, id ID, index uint32) []byte {
	return binary.BigEndian.AppendUint32(head(dst, id, 4), index)
}

// AppendBitfield appends a bitfield message; bits are in BEP 3 order, spare bits zero.
func AppendBitfield(dst []byte, bits []byte) []byte {
	return append(head(dst, Bitfield, len(bits)), bits...)
}

// AppendBlock appends a request, cancel or reject (id) for b.
func AppendBlock(dst []byte, id ID, b Block) []byte {
	dst = head(dst, id, 12)
	dst = binary.BigEndian.AppendUint32(dst, b.Index)
	dst = binary.BigEndian.AppendUint32(dst, b.Begin)
	return binary.BigEndian.AppendUint32(dst, b.Length)
}

// AppendPieceHeader appends the PieceHeaderLen bytes that go before dataLen bytes
// of data, so that the data itself can go out with sendfile.
func AppendPieceHeader(dst []byte, index, begin uint32, dataLen int) []byte {
	dst = head(dst, Piece, 8+dataLen)
	dst = binary.BigEndian.AppendUint32(dst, index)
	return binary.BigEndian.AppendUint32(dst, begin)
}

// AppendPort appends a port message: the UDP port of the sender's DHT node (BEP 5).
func AppendPort(dst []byte, port uint16) []byte {
	return binary.BigEndian.AppendUint16(head(dst, Port, 2), port)
}

// AppendExtended appends an extension message (BEP 10). extID is the number that
// the receiver gave to the extension in its handshake; 0 is the handshake itself.
func AppendExtended(dst []byte, extID uint8, body []byte) []byte {
	dst = append(head(dst, Extended, 1+len(body)), extID)
	return append(dst, body...)
}

// ParseHave reads the payload of have, suggest piece and allowed fast: a piece index.
// The caller checks the index against its release.
func ParseHave(payload []byte) (uint32, error) {
	if len(payload) != 4 {
		return 0, malformed("have", "%d bytes, want 4", len(payload))
	}
	return binary.BigEndian.Uint32(payload), nil
}

// ParseBlock reads the payload of request, cancel and reject. The caller checks
// the block against its release.
func ParseBlock(payload []byte) (Block, error) {
	if len(payload) != 12 {
		return Block{}, malformed("block", "%d bytes, want 12", len(payload))
	}
	return Block{
		Index:  binary.BigEndian.Uint32(payload),
		Begin:  binary.BigEndian.Uint32(payload[4:]),
		Length: binary.BigEndian.Uint32(payload[8:]),
	}, nil
}

// ParsePieceHeader reads the first 8 payload bytes of a piece message: which
// piece, and where in it the data lies. payload may be longer.
func ParsePieceHeader(payload []byte) (index, begin uint32, err error) {
	if len(payload) < 8 {
		return 0, 0, malformed("piece", "%d bytes, want at least 8", len(payload))
	}
	return binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:]), nil
}

// ParsePort reads the payload of a port message.
func ParsePort(payload []byte) (uint16, error) {
	if len(payload) != 2 {
		return 0, malformed("port", "%d bytes, want 2", len(payload))
	}
	return binary.BigEndian.Uint16(payload), nil
}

// ParseExtended splits the payload of an extension message. id 0 is the handshake
// (ParseExtHandshake); any other id is the number that we gave to the extension
// in our own handshake. body aliases payload.
func ParseExtended(payload []byte) (id uint8, body []byte, err error) {
	if len(payload) == 0 {
		return 0, nil, malformed("extended", "empty")
	}
	if len(payload)-1 > MaxExtended {
		return 0, nil, malformed("extended", "%d bytes, at most %d", len(payload)-1, MaxExtended)
	}
	return payload[0], payload[1:], nil
}
