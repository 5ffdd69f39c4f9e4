package metainfo

import (
	"bytes"
	"fmt"
	"slices"

	"shoal/internal/bt/bencode"
)

// fileTree reads the files of BEP 52. Every file with bytes starts at a piece
// boundary.
func (p *infoParser) fileTree() error {
	tree := p.keys.fileTree
	if tree.Kind() != bencode.Dict {
		return &KeyError{"info.file tree", wrongKind(tree, "a dictionary")}
	}
	if p.isSingleV2(tree) {
		return p.singleV2(tree)
	}
	// A file takes two dictionaries and 22 bytes or more.
	p.info.Files = make([]File, 0, min(tree.Containers()/2, len(tree.Raw())/22, MaxFiles))
	return p.folder(tree, nil, 0)
}

// isSingleV2 reports whether the tree is that of a file instead of a folder. A
// hybrid says it in its v1 part. A v2-only tree of one file at the top is a
// single file, unless the key posix says that its root is a folder.
func (p *infoParser) isSingleV2(tree bencode.Value) bool {
	if p.info.Version == Hybrid {
		return p.info.SingleFile
	}
	if tree.Len() != 1 || posixListsRoot(p.keys.posix) {
		return false
	}
	for _, v := range tree.Dict() {
		return isLeaf(v)
	}
	return false
}

func isLeaf(v bencode.Value) bool {
	for key := range v.Dict() {
		return len(key) == 0 && v.Len() == 1
	}
	return false
}

func (p *infoParser) singleV2(tree bencode.Value) error {
	for key, v := range tree.Dict() {
		if tree.Len() != 1 || !isLeaf(v) {
			break
		}
		if string(key) != p.info.Name {
			if p.info.Version == Hybrid {
				return &KeyError{"info.file tree", fmt.Sprintf("the file is %q here and %q in info.name", clip(string(key)), p.info.Name)}
			}
			if fault := elementFault(key); fault != "" {
				return &KeyError{"info.file tree", fault}
			}
			// BEP 52: the key is the file's name; info.name only advises.
			p.warn("info.name: %q is not the name of the file, which is %q", p.info.Name, key)
			p.info.Name = string(key)
		}
		p.info.SingleFile = true
		return p.leaf(v.Get(""), nil, func() string { return bencode.PathKey("info.file tree", key) })
	}
	return &KeyError{"info.file tree", "it has not just one file, as info.length says"}
}

// folder reads the entries of one folder. path is that of the folder and size
// the bytes in it.
func (p *infoParser) folder(v bencode.Value, path []string, size int) error {
	where := func() string {
		at := "info.file tree"
		for _, e := range path {
			at = bencode.PathKey(at, []byte(e))
		}
		return at
	}
	if len(path) >= MaxDepth {
		return &KeyError{where(), fmt.Sprintf("nested more than %d deep", MaxDepth)}
	}
	var before []byte
	for key, child := range v.Dict() {
		at := func() string { return bencode.PathKey(where(), key) }
		if fault := p.nameFault(key, before, size); fault != "" {
			return &KeyError{where(), fault}
		}
		if child.Kind() != bencode.Dict {
			return &KeyError{at(), wrongKind(child, "a dictionary")}
		}
		below, ok := p.paths.take(len(path) + 1)
		if !ok {
			return &KeyError{where(), tooManyElements}
		}
		below[copy(below, path)] = string(key)
		var err error
		switch {
		case child.Len() == 0: // nobody should write it, but it can only mean one thing
			p.info.Dirs = append(p.info.Dirs, Dir{Path: below})
		case isLeaf(child):
			err = p.leaf(child.Get(""), below, at)
		default:
			err = p.folder(child, below, size+len(key)+1)
		}
		if err != nil {
			return err
		}
		before = key
	}
	return nil
}

// nameFault says what is wrong with a name in a folder that follows before.
func (p *infoParser) nameFault(key, before []byte, size int) string {
	switch {
	case len(key) == 0:
		return "it is a file and a folder at once"
	case before != nil && bytes.Compare(before, key) >= 0:
		// The order of keys is the order of bytes in piece space, so that this
		// leniency would be one about content.
		return fmt.Sprintf("keys are not sorted (%q after %q)", clip(string(key)), clip(string(before)))
	case size+len(key) > MaxPath:
		return fmt.Sprintf("a path of %d bytes is longer than the limit of %d", size+len(key), MaxPath)
	case len(p.info.Files)+len(p.info.Dirs) >= MaxFiles:
		return fmt.Sprintf("more than %d files", MaxFiles)
	}
	return elementFault(key)
}

// leaf reads the description of one file.
func (p *infoParser) leaf(v bencode.Value, path []string, at func() string) error {
	if v.Kind() != bencode.Dict {
		return &KeyError{at(), wrongKind(v, "a dictionary")}
	}
	f := File{Path: path}
	var length, root, attr, symlink bencode.Value
	for key, value := range v.Dict() {
		switch string(key) {
		case "length":
			length = value
		case "pieces root":
			root = value
		case "attr":
			attr = value
		case "symlink path":
			symlink = value
		}
	}
	var fault string
	attributes, _ := attr.Bytes()
	switch {
	case bytes.IndexByte(attributes, 'p') >= 0:
		return &KeyError{at() + ".attr", "padding has no place in a file tree"}
	case bytes.IndexByte(attributes, 'l') >= 0:
		if f.Symlink, fault = p.path(symlink, nil, linkElementFault); fault != "" {
			return &KeyError{at() + ".symlink path", fault}
		}
	default:
		f.Exec = bytes.IndexByte(attributes, 'x') >= 0
		if f.Length, fault = asInt(length); fault != "" {
			return &KeyError{at() + ".length", fault}
		}
	}
	if fault = p.info.place(&f, p.info.PieceLength); fault != "" {
		return &KeyError{at() + ".length", fault}
	}
	if f.Length > 0 {
		b, fault := asBytes(root)
		if fault == "" && (len(b) != 32 || [32]byte(b) == [32]byte{}) {
			fault = "it is no SHA-256 hash"
		}
		if fault != "" {
			return &KeyError{at() + ".pieces root", fault}
		}
		f.Root = [32]byte(b)
	}
	p.info.Files = append(p.info.Files, f)
	return nil
}

// agree checks that both parts of a hybrid describe the same content in the
// same places.
func (p *infoParser) agree(v1 *Info) error {
	if len(v1.Files) != len(p.info.Files) {
		return &KeyError{"info.files", fmt.Sprintf("%d files, but %d in info.file tree", len(v1.Files), len(p.info.Files))}
	}
	for n := range v1.Files {
		a, b := &v1.Files[n], &p.info.Files[n]
		what := ""
		switch {
		case !slices.Equal(a.Path, b.Path):
			return &KeyError{"info.files", fmt.Sprintf("file %d is %q, but %q in info.file tree", n, DisplayPath(a.Path), DisplayPath(b.Path))}
		case a.Length != b.Length:
			what = fmt.Sprintf("%d bytes long, but %d", a.Length, b.Length)
		case a.Offset != b.Offset && a.Length > 0:
			what = fmt.Sprintf("at byte %d, but %d", a.Offset, b.Offset)
		case a.IsLink() != b.IsLink() || !slices.Equal(a.Symlink, b.Symlink):
			what = fmt.Sprintf("a link to %q, but %q", DisplayPath(a.Symlink), DisplayPath(b.Symlink))
		}
		if what != "" {
			return &KeyError{"info.files", fmt.Sprintf("%q is %s in info.file tree", DisplayPath(a.Path), what)}
		}
		if a.Exec != b.Exec {
			p.warn("info.files: %q is executable in one part only", DisplayPath(a.Path))
			b.Exec = true
		}
	}
	// Some writers pad the last file too.
	if end := p.info.length; v1.length < end || v1.length > end+(-end&(p.info.PieceLength-1)) {
		return &KeyError{"info.files", fmt.Sprintf("the content ends at byte %d, but %d in info.file tree", v1.length, end)}
	}
	p.info.length = v1.length
	return nil
}
