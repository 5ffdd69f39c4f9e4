package metainfo

import (
	"bytes"
	"fmt"

	"shoal/internal/bt/bencode"
)

// filesV1 reads the files of BEP 3 with the attributes of BEP 47. Padding
// becomes a gap between files.
func (p *infoParser) filesV1() error {
	k := &p.keys
	switch {
	case k.files.Kind() != 0 && k.length.Kind() != 0:
		return &KeyError{"info.length", "stands there beside info.files"}
	case k.length.Kind() != 0:
		return p.singleV1()
	case k.files.Kind() == 0:
		return &KeyError{"info.files", "missing, and so is info.length"}
	case k.files.Kind() != bencode.List:
		return &KeyError{"info.files", fmt.Sprintf("it is %s, want a list", k.files.Kind())}
	case k.files.Len() > MaxFiles:
		return &KeyError{"info.files", fmt.Sprintf("%d entries are more than the limit of %d", k.files.Len(), MaxFiles)}
	}
	p.info.Files = make([]File, 0, k.files.Len())
	n := 0
	for v := range k.files.List() {
		if err := p.fileV1(n, v); err != nil {
			return err
		}
		n++
	}
	return nil
}

func (p *infoParser) singleV1() error {
	attr, _ := p.keys.attr.Bytes()
	if bytes.IndexByte(attr, 'l') >= 0 {
		return &KeyError{"info.attr", "the only file is a symbolic link"}
	}
	length, fault := asInt(p.keys.length)
	f := File{Length: length, Exec: bytes.IndexByte(attr, 'x') >= 0}
	if fault == "" {
		fault = p.info.place(&f, 1)
	}
	if fault != "" {
		return &KeyError{"info.length", fault}
	}
	p.info.SingleFile = true
	p.info.Files = []File{f}
	return nil
}

// entryV1 are the keys of one entry of info.files.
type entryV1 struct{ length, path, attr, symlink bencode.Value }

func (e *entryV1) has(attribute byte) bool {
	attr, _ := e.attr.Bytes()
	return bytes.IndexByte(attr, attribute) >= 0
}

// fileV1 reads the n-th entry.
func (p *infoParser) fileV1(n int, v bencode.Value) error {
	at := func(below, fault string) error {
		return &KeyError{fmt.Sprintf("info.files[%d]%s", n, below), fault}
	}
	if v.Kind() != bencode.Dict {
		return at("", wrongKind(v, "a dictionary"))
	}
	e := collectV1(v)
	var f File
	var fault string
	link := e.has('l')
	if !link { // BEP 47: the length of a link is 0 and need not stand there
		if f.Length, fault = asInt(e.length); fault != "" {
			return at(".length", fault)
		}
	}
	if fault := p.info.place(&f, 1); fault != "" {
		return at(".length", fault)
	}
	if e.isPadding() {
		return nil // its path means nothing and may be missing
	}
	var before []string
	if len(p.info.Files) > 0 {
		before = p.info.Files[len(p.info.Files)-1].Path
	}
	if f.Path, fault = p.path(e.path, before, elementFault); fault == "" && len(f.Path) == 0 {
		fault = "it is empty"
	}
	if fault != "" {
		return at(".path", fault)
	}
	if link {
		if f.Symlink, fault = p.path(e.symlink, nil, linkElementFault); fault != "" {
			return at(".symlink path", fault)
		}
	} else {
		f.Exec = e.has('x')
	}
	p.info.Files = append(p.info.Files, f)
	return nil
}

func collectV1(v bencode.Value) (e entryV1) {
	for key, value := range v.Dict() {
		switch string(key) {
		case "length":
			e.length = value
		case "path":
			e.path = value
		case "attr":
			e.attr = value
		case "symlink path":
			e.symlink = value
		}
	}
	return e
}

// isPadding tells padding by its attribute. The path does not matter: a release
// may have a folder of the name that BEP 47 recommends.
func (e *entryV1) isPadding() bool { return e.has('p') }
