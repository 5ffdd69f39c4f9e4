// Package metainfo reads, checks and writes what describes a torrent: metafiles
// and info dictionaries in v1, v2 and hybrid form (BEP 3, 12, 19, 27, 47, 52),
// magnet links (BEP 9, 53), and the hashes that content must match. It adds
// the info key "posix" (docs/metafile.md), which carries permission bits,
// exact link texts and empty directories past clients that do not know it.
//
// An Info that ParseInfo returned is safe to use: its names are single path
// elements that cannot climb, no entry stands inside of a file or link, its
// lengths add up, and its hashes are as many as its pieces.
//
// The package knows formats only. It never opens files or sockets, starts no
// goroutines and reads no clock.
package metainfo

import (
	"encoding/hex"
	"fmt"
)

// BlockSize is the unit in which stock clients ask for data and the leaf of the
// v2 hash trees (BEP 3, BEP 52), in bytes.
const BlockSize = 16 << 10

// Limits of what is accepted. They are wide for what people make and narrow
// enough that hostile input costs little; docs/metafile.md lists them.
const (
	MaxMetafile    = 256 << 20 // bytes of a metafile or info dictionary
	MaxFiles       = 1 << 20   // entries, padding included
	MaxPieces      = 1 << 24   // 2 MiB of bitfield a peer
	MaxPieceLength = 512 << 20 // bytes
	MaxDepth       = 200       // path elements of an entry
	MaxName        = 255       // bytes of a path element: no file system here takes more
	MaxPath        = 4095      // bytes of a whole path, as Linux has it
	MaxLength      = 1 << 55   // bytes of piece space, so that sums of offsets cannot overflow

	maxElements = 1 << 23 // path elements of all entries together: 128 MiB of strings
	maxKeys     = 1000    // top-level keys of a metafile
	maxWarnings = 100
)

// InfoHash is a swarm's name on the wire and at trackers: the SHA-1 of the info
// dictionary (v1), or its SHA-256 cut to 20 bytes (v2).
type InfoHash [20]byte

// String is the hash in hex.
func (h InfoHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is the same, for JSON and logs.
func (h InfoHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// Version says in which forms a torrent describes its content.
type Version uint8

// The forms of BEP 3 and BEP 52. A hybrid is both at once, with the same
// content in the same order.
const (
	V1 Version = 1 + iota
	V2
	Hybrid
)

func (v Version) String() string {
	switch v {
	case V1:
		return "v1"
	case V2:
		return "v2"
	case Hybrid:
		return "hybrid"
	}
	return fmt.Sprintf("version %d", uint8(v))
}

// ParseVersion reads what String prints.
func ParseVersion(s string) (Version, error) {
	for _, v := range []Version{V1, V2, Hybrid} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("metafile format %q: want v1, v2 or hybrid", s)
}

// KeyError says which key of a metafile is wrong and how.
type KeyError struct {
	Key    string // like info.files[3].path
	Reason string
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Reason }

// Options are the leniencies that a caller may choose. The zero Options are
// those of Parse and ParseInfo.
type Options struct {
	// AllowOutsideLinks accepts symbolic links whose target lies outside of the
	// tree; File.Outside marks them. Without it they are refused.
	AllowOutsideLinks bool
}
