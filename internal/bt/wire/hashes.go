package wire

import (
	"encoding/binary"
	"math/bits"
)

// hashHeadLen is the payload of hash request and hash reject, and the start of hashes.
const hashHeadLen = 48

// HashRange names a run of hashes of one file's merkle tree: the payload of hash
// request and hash reject (BEP 52).
type HashRange struct {
	Root        [32]byte // pieces root of the file
	BaseLayer   uint32   // layers above the leaves; 0 is the 16 KiB blocks
	Index       uint32   // first hash in the base layer; a multiple of Length
	Length      uint32   // hashes asked for; a power of two, at least 2
	ProofLayers uint32   // ancestor layers asked for
}

// check applies the rules of BEP 52 and our bounds.
func (r HashRange) check(what string) error {
	if r.Length < 2 || r.Length > MaxHashes || bits.OnesCount32(r.Length) != 1 {
		return malformed(what, "length %d is not a power of two from 2 to %d", r.Length, MaxHashes)
	}
	if r.Index%r.Length != 0 {
		return malformed(what, "index %d is not a multiple of length %d", r.Index, r.Length)
	}
	if r.BaseLayer > MaxProofLayers || r.ProofLayers > MaxProofLayers {
		return malformed(what, "layers %d+%d, at most %d", r.BaseLayer, r.ProofLayers, MaxProofLayers)
	}
	return nil
}

func (r HashRange) append(dst []byte) []byte {
	dst = append(dst, r.Root[:]...)
	dst = binary.BigEndian.AppendUint32(dst, r.BaseLayer)
	dst = binary.BigEndian.AppendUint32(dst, r.Index)
	dst = binary.BigEndian.AppendUint32(dst, r.Length)
	return binary.BigEndian.AppendUint32(dst, r.ProofLayers)
}

// AppendHashRequest asks for a run of hashes.
func AppendHashRequest(dst []byte, r HashRange) []byte {
	return r.append(head(dst, HashRequest, hashHeadLen))
}

// AppendHashReject refuses a hash request.
func AppendHashReject(dst []byte, r HashRange) []byte {
	return r.append(head(dst, HashReject, hashHeadLen))
}

// AppendHashes answers a hash request: hashes is a whole number of 32-byte hashes,
// the base layer's run first, then the uncle hashes upwards.
func AppendHashes(dst []byte, r HashRange, hashes []byte) []byte {
	dst = r.append(head(dst, Hashes, hashHeadLen+len(hashes)))
	return append(dst, hashes...)
}

// ParseHashRequest reads the payload of hash request and hash reject.
func ParseHashRequest(payload []byte) (HashRange, error) {
	if len(payload) != hashHeadLen {
		return HashRange{}, malformed("hash request", "%d bytes, want %d", len(payload), hashHeadLen)
	}
	return parseHashRange(payload, "hash request")
}

// ParseHashes reads the payload of a hashes message. hashes aliases payload; it
// holds at least Length hashes, then at most ProofLayers uncles. Whether they are
// right is for the merkle tree to say.
func ParseHashes(payload []byte) (r HashRange, hashes []byte, err error) {
	if len(payload) < hashHeadLen {
		return r, nil, malformed("hashes", "%d bytes, want at least %d", len(payload), hashHeadLen)
	}
	if r, err = parseHashRange(payload, "hashes"); err != nil {
		return r, nil, err
	}
	hashes = payload[hashHeadLen:]
	least, most := 32*int(r.Length), 32*int(r.Length+r.ProofLayers)
	if len(hashes)%32 != 0 || len(hashes) < least || len(hashes) > most {
		return r, nil, malformed("hashes", "%d bytes of hashes, want %d to %d", len(hashes), least, most)
	}
	return r, hashes, nil
}

func parseHashRange(b []byte, what string) (HashRange, error) {
	r := HashRange{
		Root:        [32]byte(b[:32]),
		BaseLayer:   binary.BigEndian.Uint32(b[32:]),
		Index:       binary.BigEndian.Uint32(b[36:]),
		Length:      binary.BigEndian.Uint32(b[40:]),
		ProofLayers: binary.BigEndian.Uint32(b[44:]),
	}
	return r, r.check(what)
}
