package metainfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"shoal/internal/bt/bencode"
)

// Draft is an info dictionary in the making. Fill in all but Pieces, call
// Layout, hash the content along the Info that it returns, put the results into
// Files[n].Root (v2) and Pieces (v1), and Encode.
type Draft struct {
	Version     Version
	Name        string
	PieceLength int64
	SingleFile  bool // Files is one file without a Path
	Private     bool
	Source      string
	CrossSeed   string // makes the info-hash differ from that of the same content elsewhere
	Files       []File // Path, Length, Mode, Exec, LinkText; Layout sets the rest
	Dirs        []Dir
	Pieces      []byte // v1: 20 bytes a piece
}

// Layout sorts files and directories, gives every file its place and checks
// what can be checked before the content is hashed. The Info that it returns
// shares Files with the draft and has no hashes yet: good for its geometry.
func (d *Draft) Layout() (*Info, error) {
	if fault := elementFault([]byte(d.Name)); fault != "" {
		return nil, &KeyError{"info.name", fault}
	}
	if fault := pieceLengthFault(d.PieceLength, d.Version); fault != "" {
		return nil, &KeyError{"info.piece length", fault}
	}
	if d.SingleFile != (len(d.Files) == 1 && len(d.Files[0].Path) == 0) || d.SingleFile && len(d.Dirs) > 0 {
		return nil, errors.New("a single file has no path and no directories")
	}
	slices.SortFunc(d.Files, func(a, b File) int { return ComparePaths(a.Path, b.Path) })
	slices.SortFunc(d.Dirs, func(a, b Dir) int { return ComparePaths(a.Path, b.Path) })
	i := &Info{
		Version: d.Version, Name: d.Name, PieceLength: d.PieceLength, Private: d.Private,
		Source: d.Source, Files: d.Files, Dirs: d.Dirs, SingleFile: d.SingleFile,
	}
	align := d.PieceLength
	if d.Version == V1 {
		align = 1
	}
	for n := range d.Files {
		f := &d.Files[n]
		if f.LinkText != "" {
			f.Symlink = linkElements(f.Path, f.LinkText)
		}
		if fault := i.place(f, align); fault != "" {
			return nil, fmt.Errorf("%q: %s", i.display(f), fault)
		}
	}
	if err := checkTree(d.Files, d.Dirs); err != nil {
		return nil, err
	}
	if err := markOutside(d.Files); err != nil {
		return nil, err
	}
	return i, i.addUp()
}

// Encode writes the info dictionary. What it wrote is what ParseInfo reads.
func (d *Draft) Encode() ([]byte, error) {
	var e bencode.Encoder
	e.Grow(len(d.Pieces) + 256*len(d.Files) + 1024)
	v1, v2 := d.Version != V2, d.Version != V1
	e.Dict()
	if v1 && d.SingleFile && d.Files[0].Exec {
		e.Key("attr")
		e.String("x")
	}
	if v2 {
		d.encodeTree(&e)
	}
	if v1 && d.SingleFile {
		e.Key("length")
		e.Int(d.Files[0].Length)
	} else if v1 {
		d.encodeFiles(&e)
	}
	if v2 {
		e.Key("meta version")
		e.Int(2)
	}
	e.Key("name")
	e.String(d.Name)
	e.Key("piece length")
	e.Int(d.PieceLength)
	if v1 {
		e.Key("pieces")
		e.Bytes(d.Pieces)
	}
	d.encodePosix(&e)
	if d.Private {
		e.Key("private")
		e.Int(1)
	}
	for _, option := range [][2]string{{"source", d.Source}, {"x_cross_seed", d.CrossSeed}} {
		if option[1] != "" {
			e.Key(option[0])
			e.String(option[1])
		}
	}
	e.End()
	return e.Finish()
}

// padFolder is the folder that pad files are said to lie in: ".pad" (BEP 47),
// or the first name like it that the release does not have itself. Their names
// in it are all different, because rtorrent refuses a metafile that names a
// file twice.
func (d *Draft) padFolder() string {
	taken := map[string]bool{}
	for n := range d.Files {
		if len(d.Files[n].Path) > 0 {
			taken[d.Files[n].Path[0]] = true
		}
	}
	for n := range d.Dirs {
		if len(d.Dirs[n].Path) > 0 {
			taken[d.Dirs[n].Path[0]] = true
		}
	}
	folder := ".pad"
	for n := 1; taken[folder]; n++ {
		folder = fmt.Sprintf(".pad%d", n)
	}
	return folder
}

// encodeFiles writes the v1 file list, in a hybrid with the padding that brings
// every file to a piece boundary.
func (d *Draft) encodeFiles(e *bencode.Encoder) {
	e.Key("files")
	e.List()
	end, pads, folder := int64(0), 0, d.padFolder()
	for n := range d.Files {
		f := &d.Files[n]
		if pad := f.Offset - end; f.Length > 0 && pad > 0 {
			e.Dict()
			e.Key("attr")
			e.String("p")
			e.Key("length")
			e.Int(pad)
			e.Key("path")
			encodePath(e, []string{folder, fmt.Sprintf("%d-%d", pads, pad)})
			e.End()
			pads++
		}
		if f.Length > 0 {
			end = f.end()
		}
		e.Dict()
		encodeAttr(e, f)
		e.Key("length")
		e.Int(f.Length)
		e.Key("path")
		encodePath(e, f.Path)
		encodeTarget(e, f)
		e.End()
	}
	e.End()
}

func encodeAttr(e *bencode.Encoder, f *File) {
	switch {
	case f.IsLink():
		e.Key("attr")
		e.String("l")
	case f.Exec:
		e.Key("attr")
		e.String("x")
	}
}

func encodeTarget(e *bencode.Encoder, f *File) {
	if f.IsLink() {
		e.Key("symlink path")
		encodePath(e, f.Symlink)
	}
}

func encodePath(e *bencode.Encoder, path []string) {
	e.List()
	for _, name := range path {
		e.String(name)
	}
	e.End()
}

// encodeTree writes the v2 file tree. Since files are sorted as its keys are,
// one walk opens and closes the folders.
func (d *Draft) encodeTree(e *bencode.Encoder) {
	e.Key("file tree")
	e.Dict()
	var open []string
	for n := range d.Files {
		f := &d.Files[n]
		path := f.Path
		if d.SingleFile {
			path = []string{d.Name}
		}
		folder, name := path[:len(path)-1], path[len(path)-1]
		same := 0
		for same < min(len(open), len(folder)) && open[same] == folder[same] {
			same++
		}
		for range len(open) - same {
			e.End()
		}
		for _, sub := range folder[same:] {
			e.Key(sub)
			e.Dict()
		}
		open = folder
		e.Key(name)
		encodeLeaf(e, f)
	}
	for range len(open) + 1 {
		e.End()
	}
}

func encodeLeaf(e *bencode.Encoder, f *File) {
	e.Dict()
	e.Key("")
	e.Dict()
	encodeAttr(e, f)
	e.Key("length")
	e.Int(f.Length)
	if f.Length > 0 {
		e.Key("pieces root")
		e.Bytes(f.Root[:])
	}
	encodeTarget(e, f)
	e.End()
	e.End()
}

// encodePosix writes the additional key, with only those parts that say
// something (docs/metafile.md).
func (d *Draft) encodePosix(e *bencode.Encoder) {
	dirs := d.Dirs
	if d.Version == V2 && !d.SingleFile && len(d.Files) == 1 && len(d.Files[0].Path) == 1 && (len(dirs) == 0 || len(dirs[0].Path) > 0) {
		// Without its root this folder would be taken for the file in it.
		dirs = append([]Dir{{}}, dirs...)
	}
	anyMode := slices.ContainsFunc(d.Files, func(f File) bool { return f.HasMode })
	anyText := slices.ContainsFunc(d.Files, func(f File) bool { return f.LinkText != "" })
	if !anyMode && !anyText && len(dirs) == 0 {
		return
	}
	e.Key("posix")
	e.Dict()
	if len(dirs) > 0 {
		e.Key("dirs")
		encodeDirs(e, dirs)
	}
	if anyText {
		e.Key("links")
		e.List()
		for n := range d.Files {
			if d.Files[n].IsLink() {
				e.String(d.Files[n].LinkText)
			}
		}
		e.End()
	}
	if anyMode {
		modes := make([]byte, 0, 2*len(d.Files))
		for n := range d.Files {
			mode := uint16(noMode)
			if f := &d.Files[n]; f.HasMode && !f.IsLink() {
				mode = uint16(f.Mode & 0o7777)
			}
			modes = binary.BigEndian.AppendUint16(modes, mode)
		}
		e.Key("modes")
		e.Bytes(modes)
	}
	e.End()
}

func encodeDirs(e *bencode.Encoder, dirs []Dir) {
	e.List()
	for _, dir := range dirs {
		e.Dict()
		if dir.HasMode {
			e.Key("mode")
			e.Int(int64(dir.Mode & 0o7777))
		}
		e.Key("path")
		encodePath(e, dir.Path)
		e.End()
	}
	e.End()
}
