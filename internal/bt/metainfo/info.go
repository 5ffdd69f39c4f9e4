package metainfo

import (
	"iter"
	"slices"
	"strings"
)

// Piece is a piece index that is valid for the Info that made it.
type Piece uint32

// File is one entry of the tree: a content file or a symbolic link. Padding is
// not listed.
type File struct {
	Path     []string // raw bytes, below Info.Name; nil for a single-file torrent
	Length   int64    // bytes; 0 for a link
	Offset   int64    // of the first byte in piece space
	Mode     uint32   // unix permission bits (07777) where HasMode, else 0
	HasMode  bool     // the key posix gives the mode
	Exec     bool     // BEP 47 attribute x
	Outside  bool     // a link that leads out of the tree (see Options)
	Symlink  []string // BEP 47 target as path elements from the root of the tree; nil if this is no link
	LinkText string   // what readlink gave, if the key posix has it, else ""
	Root     [32]byte // v2 root of the file's hash tree; zero for v1 and for empty files
}

// IsLink reports whether the entry is a symbolic link.
func (f *File) IsLink() bool { return f.Symlink != nil }

// Target is the text that the link must be given: the exact one if the torrent
// carries it, else a relative one made of Symlink. "" if f is no link.
func (f *File) Target() string {
	if f.LinkText != "" || f.Symlink == nil {
		return f.LinkText
	}
	up := max(len(f.Path)-1, 0)
	same := 0
	for same < up && same < len(f.Symlink)-1 && f.Path[same] == f.Symlink[same] {
		same++
	}
	text := strings.TrimSuffix(strings.Repeat("../", up-same)+strings.Join(f.Symlink[same:], "/"), "/")
	if text == "" {
		return "."
	}
	return text
}

// Dir is a directory that the torrent carries explicitly: an empty one, or one
// whose mode is not the default of 0755. A nil Path is the root folder itself.
type Dir struct {
	Path    []string
	Mode    uint32 // unix permission bits (07777) where HasMode
	HasMode bool
}

// Info is a checked info dictionary. Piece space is the concatenation of files
// and padding: piece p covers [p*PieceLength, min((p+1)*PieceLength, Length)).
// In v2 and hybrid every file starts at a piece boundary. An Info does not
// change after it was made.
type Info struct {
	Version     Version
	Name        string // raw bytes, one path element
	PieceLength int64
	Private     bool // BEP 27
	Source      string
	Files       []File
	Dirs        []Dir
	SingleFile  bool     // the content is the file Name, not a folder of that name
	Raw         []byte   // the info dictionary as it was read
	HashV1      [20]byte // zero when !HasV1
	HashV2      [32]byte // zero when !HasV2

	length  int64   // of piece space
	content int64   // without padding
	solid   []int32 // the files that have bytes, in order
	ends    []int64 // of those, where each ends: to be searched, which is done for every block
	begins  []int32 // by piece: the first of ends that lies behind its start; none where there is but one file
	pieces  []byte  // v1: 20 bytes a piece
}

// HasV1 reports whether the content is described by SHA-1 pieces.
func (i *Info) HasV1() bool { return i.Version != V2 }

// HasV2 reports whether the content is described by SHA-256 trees.
func (i *Info) HasV2() bool { return i.Version != V1 }

// Swarms are the torrent's hashes on the wire; v1 first, then truncated v2.
func (i *Info) Swarms() []InfoHash {
	var swarms []InfoHash
	if i.HasV1() {
		swarms = append(swarms, i.HashV1)
	}
	if i.HasV2() {
		swarms = append(swarms, InfoHash(i.HashV2[:20]))
	}
	return swarms
}

// NumPieces is the number of pieces, at least 1.
func (i *Info) NumPieces() int { return int((i.length + i.PieceLength - 1) / i.PieceLength) }

// Piece checks an index that came from outside.
func (i *Info) Piece(n uint32) (Piece, bool) { return Piece(n), int64(n) < int64(i.NumPieces()) }

// Length is the size of piece space in bytes, padding included.
func (i *Info) Length() int64 { return i.length }

// ContentLength is the size of all files in bytes, without padding.
func (i *Info) ContentLength() int64 { return i.content }

// Padding is how many bytes of piece space are no content: what v1 clients that
// do not know padding fetch for nothing. In v2-only torrents nobody does.
func (i *Info) Padding() int64 { return i.length - i.content }

// PaddingShare is the part of piece space that is padding, 0 to 1.
func (i *Info) PaddingShare() float64 { return float64(i.Padding()) / float64(i.length) }

// PieceOffset is where p begins in piece space.
func (i *Info) PieceOffset(p Piece) int64 { return int64(p) * i.PieceLength }

// PieceSize is the length of p in piece space in bytes, padding included, as
// v1 clients see it. It bounds a peer's request.
func (i *Info) PieceSize(p Piece) int64 {
	return min(i.PieceLength, i.length-i.PieceOffset(p))
}

// PieceData is how many leading bytes of p are not trailing padding: what
// needs to be asked for. It is at least 1; a piece of nothing but padding,
// which only odd v1 torrents have, counts as data as a whole.
func (i *Info) PieceData(p Piece) int64 {
	start, size := i.PieceOffset(p), i.PieceSize(p)
	f := i.firstEndingBehind(start + size - 1)
	if f == len(i.solid) || i.solidFile(f).Offset >= start+size {
		f-- // the piece ends in padding; its data ends where the file before ends
	}
	if f >= 0 {
		if end := i.solidFile(f).end(); end > start {
			return min(end-start, size)
		}
	}
	return size
}

func (f *File) end() int64 { return f.Offset + f.Length }

// solidFile is the n-th of the files that have bytes.
func (i *Info) solidFile(n int) *File { return &i.Files[i.solid[n]] }

// firstEndingBehind is the index in solid of the first file whose end lies
// behind off, len(solid) if none does.
func (i *Info) firstEndingBehind(off int64) int {
	from, to := 0, len(i.ends)
	if p := int(off / i.PieceLength); p < len(i.begins) {
		from = int(i.begins[p])
		if p+1 < len(i.begins) {
			to = min(to, int(i.begins[p+1])+1)
		}
	}
	n, _ := slices.BinarySearch(i.ends[from:to], off+1)
	return from + n
}

// index notes for each piece where its files begin, so that to find a file need
// not search all of them, several times for each of a hundred thousand pieces.
func (i *Info) index() {
	if len(i.solid) < 2 {
		return
	}
	begins, n := make([]int32, i.NumPieces()), 0
	for p := range begins {
		for n < len(i.ends) && i.ends[n] <= i.PieceOffset(Piece(p)) {
			n++
		}
		begins[p] = int32(n)
	}
	i.begins = begins
}

// Segment is a run of piece space inside of one file, or of padding.
type Segment struct {
	File       int   // index into Info.Files; negative for padding
	FileOffset int64 // bytes into the file; 0 for padding
	Length     int64 // bytes, at least 1
}

// Segments walks the n bytes of piece space at off, in order. What lies outside
// of piece space is left out. To start costs O(log files).
func (i *Info) Segments(off, n int64) iter.Seq[Segment] {
	off = max(off, 0)
	end := i.length
	if n < end-off {
		end = off + n
	}
	return func(yield func(Segment) bool) {
		off := off
		for n := i.firstEndingBehind(off); off < end && n < len(i.solid); n++ {
			file := i.solidFile(n)
			if pad := min(file.Offset, end) - off; pad > 0 {
				if !yield(Segment{File: -1, Length: pad}) {
					return
				}
				off += pad
			}
			size := min(file.end(), end) - off
			if size <= 0 {
				return
			}
			if !yield(Segment{File: int(i.solid[n]), FileOffset: off - file.Offset, Length: size}) {
				return
			}
			off += size
		}
		if off < end {
			yield(Segment{File: -1, Length: end - off})
		}
	}
}

// FilePieces is the half-open range of pieces that hold bytes of a file; for a
// file without bytes first == end.
func (i *Info) FilePieces(file int) (first, end Piece) {
	f := &i.Files[file]
	first = Piece(f.Offset / i.PieceLength)
	if f.Length == 0 {
		return first, first
	}
	return first, Piece((f.Offset+f.Length-1)/i.PieceLength) + 1
}
