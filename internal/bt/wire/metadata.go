package wire

import "shoal/internal/bt/bencode"

// ExtMetadata is the name of the BEP 9 extension: the info dictionary from peers.
const ExtMetadata = "ut_metadata"

// MetadataBlock is the size of one part of the info dictionary; the last is shorter.
const MetadataBlock = 16 << 10

// MetadataType is the msg_type of a metadata message. Others than these are ignored.
type MetadataType int

// The types of BEP 9.
const (
	MetadataRequest MetadataType = 0
	MetadataData    MetadataType = 1
	MetadataReject  MetadataType = 2
)

// Metadata is one metadata message.
type Metadata struct {
	Type      MetadataType
	Piece     int    // part of the info dictionary, MetadataBlock bytes each
	TotalSize int64  // of the info dictionary; with MetadataData only
	Data      []byte // of MetadataData only
}

// MetadataSpan is where a part lies in an info dictionary of total bytes; false if
// there is no such part.
func MetadataSpan(piece int, total int64) (off, n int64, ok bool) {
	off = int64(piece) * MetadataBlock
	if piece < 0 || off >= total {
		return 0, 0, false
	}
	return off, min(MetadataBlock, total-off), true
}

// Encode makes the body of a metadata message, for AppendExtended.
func (m Metadata) Encode() []byte {
	var e bencode.Encoder
	e.Grow(64 + len(m.Data))
	e.Dict()
	e.Key("msg_type")
	e.Int(int64(m.Type))
	e.Key("piece")
	e.Int(int64(m.Piece))
	if m.Type == MetadataData {
		e.Key("total_size")
		e.Int(m.TotalSize)
	}
	e.End()
	return append(finish(&e), m.Data...)
}

// ParseMetadata reads the body of a metadata message. Data aliases body and has
// exactly the length that Piece and TotalSize ask for. A type that BEP 9 does not
// know is no error; the caller ignores it.
func ParseMetadata(body []byte) (Metadata, error) {
	doc, err := bencode.Scan(body, extLimits())
	if err != nil {
		return Metadata{}, malformed(ExtMetadata, "%v", err)
	}
	if doc.Root.Kind() != bencode.Dict {
		return Metadata{}, malformed(ExtMetadata, "%v, want a dictionary", doc.Root.Kind())
	}
	kind, ok := doc.Root.Get("msg_type").Int()
	if !ok || kind < 0 || kind > 1<<16 {
		return Metadata{}, malformed(ExtMetadata, "no msg_type")
	}
	m := Metadata{Type: MetadataType(kind)}
	if m.Type > MetadataReject {
		return m, nil
	}
	piece, ok := doc.Root.Get("piece").Int()
	if !ok || piece < 0 || piece >= MaxMetadata/MetadataBlock {
		return m, malformed(ExtMetadata, "no piece, or one beyond the bounds")
	}
	m.Piece = int(piece)
	if m.Type != MetadataData {
		return m, nil
	}
	m.TotalSize = bounded(doc.Root.Get("total_size"), MaxMetadata)
	m.Data = body[doc.Size:]
	if _, n, ok := MetadataSpan(m.Piece, m.TotalSize); !ok || n != int64(len(m.Data)) {
		return m, malformed(ExtMetadata, "%d bytes of part %d of %d bytes", len(m.Data), m.Piece, m.TotalSize)
	}
	return m, nil
}
