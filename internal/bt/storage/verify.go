package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
)

// ProblemKind says in what way content differs from its torrent.
type ProblemKind string

// The kinds of problems that Verify tells.
const (
	Damaged    ProblemKind = "damaged"    // pieces of this file alone do not verify
	Suspect    ProblemKind = "suspect"    // a piece that it shares with others does not verify (v1)
	Unchecked  ProblemKind = "unchecked"  // it shares a piece with a file that is missing or short (v1)
	Missing    ProblemKind = "missing"    // not there
	WrongSize  ProblemKind = "wrong size" // longer or shorter
	WrongType  ProblemKind = "wrong type" // a folder where a file belongs and so on
	WrongMode  ProblemKind = "wrong mode" // permission bits
	WrongLink  ProblemKind = "wrong link" // a symbolic link with another text
	Extra      ProblemKind = "extra"      // there, but not in the torrent; folders end in a slash
	Unreadable ProblemKind = "unreadable" // the disk or the permissions say no
)

// Problem is one difference.
type Problem struct {
	Path   string      `json:"path"` // below the destination folder
	Kind   ProblemKind `json:"kind"`
	Detail string      `json:"detail,omitempty"`
}

// Report is what Verify found. Problems are sorted by path.
type Report struct {
	Files     int       `json:"files"`      // entries of the torrent, folders excluded
	Pieces    int       `json:"pieces"`     // of the files that were to be checked
	BadPieces int       `json:"bad_pieces"` // of those
	Problems  []Problem `json:"problems"`
}

// OK tells that content and torrent are the same.
func (r *Report) OK() bool { return len(r.Problems) == 0 && r.BadPieces == 0 }

// Verify hashes all content on all cores, whatever the resume record says, and
// compares names, types, sizes, modes and links. It changes nothing. progress is
// told the bytes hashed so far and in all, one call at a time; it may be nil.
// What differs is in the Report; an error means that it could not be found out.
func (d *Disk) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	v := verification{d: d, bad: bitfield.New(d.info.NumPieces()), names: d.lay.children()}
	facts, blocked, err := d.scan(ctx)
	if err != nil {
		return Report{}, err
	}
	v.facts = facts
	if d.window != nil {
		d.window.lookAround()
	}
	for _, b := range blocked {
		v.tell(b.path, WrongType, "%s", b.reason())
	}
	if err := v.hash(ctx, progress); err != nil {
		return Report{}, err
	}
	for i := range d.info.Files {
		if d.is(i, chosen) {
			v.Files++
			v.file(i)
		}
	}
	for i := 1; i < len(d.lay.folders); i++ {
		if err := v.folder(ctx, int32(i)); err != nil {
			return Report{}, err
		}
	}
	slices.SortStableFunc(v.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return v.Report, nil
}

// verification is one Verify under way.
type verification struct {
	Report
	d          *Disk
	facts      []fact
	bad        *bitfield.Set
	unreadable map[int]error // files, by the first error
	names      map[step]bool // what belongs into each folder
}

func (v *verification) tell(path string, kind ProblemKind, format string, args ...any) {
	v.Problems = append(v.Problems, Problem{path, kind, fmt.Sprintf(format, args...)})
}

// hash finds the pieces that are wrong. Those whose files are missing or short
// need no reading for that.
func (v *verification) hash(ctx context.Context, progress func(done, total int64)) error {
	d := v.d
	t := &trust{d: d, facts: v.facts, unchanged: bitfield.New(len(v.facts)), rec: found{state: d.rec.state}}
	todo := bitfield.New(d.info.NumPieces())
	for p := range d.info.NumPieces() {
		if !d.wants(metainfo.Piece(p)) {
			continue
		}
		v.Pieces++
		if present, _ := t.look(metainfo.Piece(p)); present {
			todo.Set(p)
		} else {
			v.bad.Set(p)
		}
	}
	v.unreadable = map[int]error{}
	h := hashing{d: d, pieces: todo, progress: progress, result: func(p metainfo.Piece, ok bool, err error) {
		if !ok {
			v.bad.Set(int(p))
		}
		if err != nil {
			v.blame(p, err)
		}
	}}
	err := h.run(ctx)
	v.BadPieces = v.bad.Count()
	return err
}

// wants tells whether a piece holds bytes of a chosen file.
func (d *Disk) wants(p metainfo.Piece) bool {
	for s := range d.info.Segments(d.info.PieceOffset(p), d.info.PieceData(p)) {
		if s.File >= 0 && d.is(s.File, chosen) {
			return true
		}
	}
	return false
}

// blame notes which file of a piece cannot be read.
func (v *verification) blame(p metainfo.Piece, err error) {
	for s := range v.d.info.Segments(v.d.info.PieceOffset(p), v.d.info.PieceData(p)) {
		if s.File >= 0 && v.unreadable[s.File] == nil && strings.Contains(err.Error(), v.d.path(s.File)) {
			v.unreadable[s.File] = err
		}
	}
}

// file compares one entry.
func (v *verification) file(i int) {
	d, f, path := v.d, v.facts[i], v.d.path(i)
	entry := &d.info.Files[i]
	switch {
	case !f.there:
		v.tell(path, Missing, "")
		return
	case entry.IsLink() && f.kind&fs.ModeSymlink != 0:
		if f.text != entry.Target() {
			v.tell(path, WrongLink, "leads to %q instead of %q", f.text, entry.Target())
		}
		return
	case entry.IsLink() || !f.kind.IsRegular():
		v.tell(path, WrongType, "is a %s instead of a %s", typeName(f.kind), d.wanted(i).kind())
		return
	}
	if want, ok := finalMode(entry, f.kind); ok && want != f.kind&modeBits {
		v.tell(path, WrongMode, "%#o instead of %#o", unixBits(f.kind), unixBits(want))
	}
	switch {
	case v.unreadable[i] != nil:
		v.tell(path, Unreadable, "%v", cause(errors.Unwrap(v.unreadable[i])))
	case f.size != entry.Length:
		v.tell(path, WrongSize, "%d bytes instead of %d", f.size, entry.Length)
	default:
		v.content(i)
	}
}

// content tells whether the pieces of a file of the right size are right.
func (v *verification) content(i int) {
	first, end := v.d.info.FilePieces(i)
	alone, shared, blocked := 0, 0, -1
	for p := v.bad.Next(int(first)); p >= 0 && p < int(end); p = v.bad.Next(p + 1) {
		other, broken := v.company(metainfo.Piece(p), i)
		switch {
		case broken >= 0:
			blocked = broken
		case other:
			shared++
		default:
			alone++
		}
	}
	path := v.d.path(i)
	switch {
	case alone > 0:
		v.tell(path, Damaged, "%d of %d pieces", alone+shared, end-first)
	case shared > 0:
		v.tell(path, Suspect, "shares a damaged piece with other files")
	case blocked >= 0:
		v.tell(path, Unchecked, "shares a piece with %q, which is not whole", v.d.path(blocked))
	}
}

// company tells whether a piece holds other files than i, and one of them that
// is missing or short (-1: none).
func (v *verification) company(p metainfo.Piece, i int) (other bool, broken int) {
	broken = -1
	for s := range v.d.info.Segments(v.d.info.PieceOffset(p), v.d.info.PieceData(p)) {
		if s.File < 0 || s.File == i {
			continue
		}
		other = true
		if f := v.facts[s.File]; v.d.is(s.File, chosen) && (!f.regular() || f.size < s.FileOffset+s.Length) {
			broken = s.File
		}
	}
	return other, broken
}

// folder compares the mode of one folder and finds what should not be in it.
func (v *verification) folder(ctx context.Context, i int32) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d := v.d
	h, err := d.tree.folder(i, false)
	var wrong *typeError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if slices.Contains(d.lay.listed, i) && d.o.Select == nil {
			v.tell(d.lay.folderPath(i)+"/", Missing, "")
		}
		return nil
	case errors.As(err, &wrong):
		return nil // the scan has told it
	case err != nil:
		v.tell(d.lay.folderPath(i)+"/", Unreadable, "%v", cause(errors.Unwrap(err)))
		return nil
	}
	defer h.release()
	st, err := h.val.Stat(".")
	if err != nil {
		return fault("look at", d.lay.folderPath(i), err)
	}
	if want := d.lay.folderMode(i); d.lay.posix && st.Mode()&modeBits != want {
		v.tell(d.lay.folderPath(i)+"/", WrongMode, "%#o instead of %#o", unixBits(st.Mode()), unixBits(want))
	}
	return v.extras(h.val.Root, i)
}

// extras lists what is in a folder and not in the torrent.
func (v *verification) extras(root *os.Root, i int32) error {
	dir, err := root.Open(".")
	if err != nil {
		v.tell(v.d.lay.folderPath(i)+"/", Unreadable, "%v", cause(err))
		return nil
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if v.names[step{i, e.Name()}] {
				continue
			}
			name := v.d.lay.folderPath(i) + "/" + e.Name()
			if e.IsDir() {
				name += "/"
			}
			v.tell(name, Extra, "")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault("list", v.d.lay.folderPath(i), err)
		}
	}
}
