package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"

	"shoal/internal/bt/bencode"
)

// bencodeLimits are those of a whole metafile.
func bencodeLimits() bencode.Limits {
	return bencode.Limits{Size: MaxMetafile, Depth: MaxDepth + 8, Values: 1 << 24, Containers: 1 << 22}
}

// ParseInfo reads and checks an info dictionary, from a metafile or from peers
// (BEP 9). The Info keeps raw: do not change it.
func ParseInfo(raw []byte) (*Info, error) { return Options{}.ParseInfo(raw) }

// ParseInfo is the function ParseInfo with the leniencies of o.
func (o Options) ParseInfo(raw []byte) (*Info, error) {
	v, err := bencode.Parse(raw, bencodeLimits())
	if err != nil {
		return nil, fmt.Errorf("info dictionary: %w", err)
	}
	info, _, err := o.parseInfo(v)
	return info, err
}

// infoParser reads one info dictionary.
type infoParser struct {
	Options
	info     *Info
	keys     infoKeys
	paths    pathArena
	warnings []string
}

// infoKeys are the values of the keys that mean something here.
type infoKeys struct {
	metaVersion, name, pieceLength, private, source bencode.Value
	pieces, length, files, attr                     bencode.Value // v1
	fileTree                                        bencode.Value // v2
	posix                                           bencode.Value
}

func (o Options) parseInfo(v bencode.Value) (*Info, []string, error) {
	if v.Kind() != bencode.Dict {
		return nil, nil, &KeyError{"info", fmt.Sprintf("it is %s, want a dictionary", v.Kind())}
	}
	p := infoParser{Options: o, info: &Info{Raw: v.Raw()}}
	p.collect(v)
	for _, step := range []func() error{
		p.version, p.header, p.content, p.posix, p.sums,
		func() error { return checkTree(p.info.Files, p.info.Dirs) },
		p.links,
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	if p.info.HasV1() {
		p.info.HashV1 = sha1.Sum(p.info.Raw)
	}
	if p.info.HasV2() {
		p.info.HashV2 = sha256.Sum256(p.info.Raw)
	}
	return p.info, p.warnings, nil
}

func (p *infoParser) warn(format string, args ...any) {
	if len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
	}
}

func (p *infoParser) collect(v bencode.Value) {
	k := &p.keys
	known := map[string]*bencode.Value{
		"meta version": &k.metaVersion, "name": &k.name, "piece length": &k.pieceLength,
		"private": &k.private, "source": &k.source, "pieces": &k.pieces, "length": &k.length,
		"files": &k.files, "attr": &k.attr, "file tree": &k.fileTree, "posix": &k.posix,
	}
	for key, value := range v.Dict() {
		if dst := known[string(key)]; dst != nil {
			*dst = value
		}
	}
}

// version decides in which forms the content is described.
func (p *infoParser) version() error {
	k := &p.keys
	v2 := false
	if k.metaVersion.Kind() != 0 {
		n, fault := asInt(k.metaVersion)
		if fault != "" {
			return &KeyError{"info.meta version", fault}
		}
		// BEP 52: say that it is too new before anything else is found fault with.
		if n != 1 && n != 2 {
			return &KeyError{"info.meta version", fmt.Sprintf("version %d is not known here", n)}
		}
		v2 = n == 2
	}
	v1 := k.pieces.Kind() != 0 || k.files.Kind() != 0 || k.length.Kind() != 0
	switch {
	case v2 && k.fileTree.Kind() == 0:
		return &KeyError{"info.file tree", "missing"}
	case !v2 && k.fileTree.Kind() != 0:
		return &KeyError{"info.meta version", "missing beside a file tree"}
	case v1 && v2:
		p.info.Version = Hybrid
	case v2:
		p.info.Version = V2
	default:
		p.info.Version = V1
	}
	return nil
}

// header reads what stands once for all files.
func (p *infoParser) header() error {
	name, fault := asBytes(p.keys.name)
	if fault == "" {
		fault = elementFault(name)
	}
	if fault != "" {
		return &KeyError{"info.name", fault}
	}
	p.info.Name = string(name)
	p.info.PieceLength, fault = asInt(p.keys.pieceLength)
	if fault == "" {
		fault = pieceLengthFault(p.info.PieceLength, p.info.Version)
	}
	if fault != "" {
		return &KeyError{"info.piece length", fault}
	}
	// Private and source are told to people only, so a wrong kind is no reason to refuse.
	if n, ok := p.keys.private.Int(); ok {
		p.info.Private = n != 0
	} else if p.keys.private.Kind() != 0 {
		p.warn("info.private: it is %s, want an integer", p.keys.private.Kind())
	}
	p.info.Source, _ = p.keys.source.Text()
	return nil
}

func pieceLengthFault(n int64, v Version) string {
	switch {
	case n <= 0:
		return fmt.Sprintf("%d bytes are no length of a piece", n)
	case n > MaxPieceLength:
		return fmt.Sprintf("%d bytes are more than the limit of %d", n, MaxPieceLength)
	case v != V1 && (n < BlockSize || n&(n-1) != 0):
		return fmt.Sprintf("%d bytes: %s needs a power of two of at least %d", n, v, BlockSize)
	}
	return ""
}

func (p *infoParser) content() error {
	switch p.info.Version {
	case V1:
		return p.filesV1()
	case V2:
		return p.fileTree()
	}
	if err := p.filesV1(); err != nil {
		return err
	}
	v1 := *p.info
	p.info.Files, p.info.Dirs, p.info.length = nil, nil, 0
	if err := p.fileTree(); err != nil {
		return err
	}
	return p.agree(&v1)
}

// sums checks what follows from all lengths together.
func (p *infoParser) sums() error {
	i := p.info
	if err := i.addUp(); err != nil {
		return err
	}
	if !i.HasV1() {
		return nil
	}
	pieces, fault := asBytes(p.keys.pieces)
	if fault == "" && len(pieces) != i.NumPieces()*20 {
		fault = fmt.Sprintf("%d bytes, want 20 for each of %d pieces", len(pieces), i.NumPieces())
	}
	if fault != "" {
		return &KeyError{"info.pieces", fault}
	}
	i.pieces = pieces
	return nil
}

// addUp fills in what follows from the places of all files.
func (i *Info) addUp() error {
	if len(i.Files) > MaxFiles {
		return &KeyError{"info", fmt.Sprintf("%d files are more than the limit of %d", len(i.Files), MaxFiles)}
	}
	for n := range i.Files {
		if f := &i.Files[n]; f.Length > 0 {
			i.solid, i.ends = append(i.solid, int32(n)), append(i.ends, f.end())
			i.content += f.Length
		}
	}
	if i.content == 0 {
		return &KeyError{"info", "there is no content: not one byte in all files"}
	}
	if pieces := (i.length-1)/i.PieceLength + 1; pieces > MaxPieces {
		return &KeyError{"info", fmt.Sprintf("%d pieces are more than the limit of %d: the piece length is too small", pieces, MaxPieces)}
	}
	i.index()
	return nil
}

// place gives the next file its place in piece space, at a multiple of align
// (a power of two). It says what is wrong with the file's length.
func (i *Info) place(f *File, align int64) (fault string) {
	if f.Length < 0 {
		return fmt.Sprintf("%d bytes are no length", f.Length)
	}
	start := i.length
	if f.Length > 0 {
		start += -start & (align - 1)
	}
	if f.Length > MaxLength-start {
		return fmt.Sprintf("with %d bytes more the content passes the limit of %d", f.Length, int64(MaxLength))
	}
	f.Offset, i.length = start, start+f.Length
	return ""
}

// pathArena makes many short slices of strings out of few allocations, and
// bounds them: a v2 file tree spells a folder once for all that lies below.
type pathArena struct {
	free  []string
	taken int
}

// take returns n empty strings; false if it gave out too many.
func (a *pathArena) take(n int) ([]string, bool) {
	if a.taken += n; a.taken > maxElements {
		return nil, false
	}
	if n >= len(a.free) {
		a.free = make([]string, max(n+1, 1024))
	}
	taken := a.free[:n:n]
	a.free = a.free[n:]
	return taken, true
}

const tooManyElements = "the paths of all files have too many elements"

// asInt reads an integer, or says why it cannot.
func asInt(v bencode.Value) (n int64, fault string) {
	n, ok := v.Int()
	if !ok {
		return 0, wrongKind(v, "an integer")
	}
	return n, ""
}

// asBytes reads a string, or says why it cannot.
func asBytes(v bencode.Value) (b []byte, fault string) {
	b, ok := v.Bytes()
	if !ok {
		return nil, wrongKind(v, "a string")
	}
	return b, ""
}

func wrongKind(v bencode.Value, want string) string {
	if v.Kind() == 0 {
		return "missing"
	}
	return fmt.Sprintf("it is %s, want %s", v.Kind(), want)
}

// path reads a list of path elements, or says why it cannot. shared are those
// of the entry before: equal ones are not copied again.
func (p *infoParser) path(v bencode.Value, shared []string, check func([]byte) string) (path []string, fault string) {
	if v.Kind() != bencode.List {
		return nil, wrongKind(v, "a list")
	}
	if v.Len() > MaxDepth {
		return nil, fmt.Sprintf("%d elements are more than the limit of %d", v.Len(), MaxDepth)
	}
	path, ok := p.paths.take(v.Len())
	if !ok {
		return nil, tooManyElements
	}
	n, size := 0, 0
	for e := range v.List() {
		b, ok := e.Bytes()
		if !ok {
			return nil, fmt.Sprintf("element %d is %s, want a string", n, e.Kind())
		}
		if fault := check(b); fault != "" {
			return nil, fault
		}
		if n < len(shared) && shared[n] == string(b) {
			path[n] = shared[n]
		} else {
			path[n] = string(b)
		}
		n++
		size += len(b) + 1
	}
	if size-1 > MaxPath {
		return nil, fmt.Sprintf("%d bytes are more than the limit of %d", size-1, MaxPath)
	}
	return path, ""
}
