package metainfo

import (
	"encoding/binary"
	"fmt"
	"strings"

	"shoal/internal/bt/bencode"
)

// noMode stands in posix.modes for an entry without a mode.
const noMode = 0xffff

// posix reads the additional key that docs/metafile.md specifies: permission
// bits, exact link texts and directories.
func (p *infoParser) posix() error {
	v := p.keys.posix
	if v.Kind() == 0 {
		return nil
	}
	if v.Kind() != bencode.Dict {
		return &KeyError{"info.posix", wrongKind(v, "a dictionary")}
	}
	for key, value := range v.Dict() {
		var err error
		switch string(key) {
		case "modes":
			err = p.posixModes(value)
		case "links":
			err = p.posixLinks(value)
		case "dirs":
			err = p.posixDirs(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *infoParser) posixModes(v bencode.Value) error {
	modes, fault := asBytes(v)
	if fault == "" && len(modes) != 2*len(p.info.Files) {
		fault = fmt.Sprintf("%d bytes, want 2 for each of %d files", len(modes), len(p.info.Files))
	}
	if fault != "" {
		return &KeyError{"info.posix.modes", fault}
	}
	for n := range p.info.Files {
		f, mode := &p.info.Files[n], binary.BigEndian.Uint16(modes[2*n:])
		switch {
		case mode == noMode:
		case mode > 0o7777:
			return &KeyError{"info.posix.modes", fmt.Sprintf("%#o of %q are no permission bits", mode, DisplayPath(f.Path))}
		case f.IsLink():
			return &KeyError{"info.posix.modes", fmt.Sprintf("%q is a link and has no mode", DisplayPath(f.Path))}
		default:
			f.Mode, f.HasMode = uint32(mode), true
		}
	}
	return nil
}

func (p *infoParser) posixLinks(v bencode.Value) error {
	if v.Kind() != bencode.List {
		return &KeyError{"info.posix.links", wrongKind(v, "a list")}
	}
	var links []*File
	for n := range p.info.Files {
		if p.info.Files[n].IsLink() {
			links = append(links, &p.info.Files[n])
		}
	}
	if v.Len() != len(links) {
		return &KeyError{"info.posix.links", fmt.Sprintf("%d texts for %d links", v.Len(), len(links))}
	}
	n := 0
	for e := range v.List() {
		text, fault := asBytes(e)
		if fault == "" {
			fault = linkTextFault(string(text))
		}
		if fault != "" {
			return &KeyError{fmt.Sprintf("info.posix.links[%d]", n), fault}
		}
		links[n].LinkText = string(text)
		n++
	}
	return nil
}

// linkTextFault says why text can be no link's; "" means that none is given.
func linkTextFault(text string) string {
	switch {
	case strings.Contains(text, "\x00"):
		return "it contains a NUL byte"
	case len(text) > MaxPath:
		return fmt.Sprintf("%d bytes are more than the limit of %d", len(text), MaxPath)
	}
	return ""
}

func (p *infoParser) posixDirs(v bencode.Value) error {
	if v.Kind() != bencode.List {
		return &KeyError{"info.posix.dirs", wrongKind(v, "a list")}
	}
	if v.Len() > MaxFiles {
		return &KeyError{"info.posix.dirs", fmt.Sprintf("%d entries are more than the limit of %d", v.Len(), MaxFiles)}
	}
	if p.info.SingleFile && v.Len() > 0 {
		return &KeyError{"info.posix.dirs", "directories beside a single file"}
	}
	n := 0
	var before []string
	for e := range v.List() {
		at := func(below, fault string) error {
			return &KeyError{fmt.Sprintf("info.posix.dirs[%d]%s", n, below), fault}
		}
		if e.Kind() != bencode.Dict {
			return at("", wrongKind(e, "a dictionary"))
		}
		var d Dir
		var fault string
		if d.Path, fault = p.path(e.Get("path"), before, elementFault); fault != "" {
			return at(".path", fault)
		}
		before = d.Path
		if len(d.Path) == 0 {
			d.Path = nil
		}
		if v := e.Get("mode"); v.Kind() != 0 {
			mode, fault := asInt(v)
			if fault == "" && (mode < 0 || mode > 0o7777) {
				fault = fmt.Sprintf("%d are no permission bits", mode)
			}
			if fault != "" {
				return at(".mode", fault)
			}
			d.Mode, d.HasMode = uint32(mode), true
		}
		p.info.Dirs = append(p.info.Dirs, d)
		n++
	}
	return nil
}

// posixListsRoot reports whether the root of the tree is one of posix.dirs,
// which only a folder can be.
func posixListsRoot(posix bencode.Value) bool {
	for e := range posix.Get("dirs").List() {
		if path := e.Get("path"); path.Kind() == bencode.List && path.Len() == 0 {
			return true
		}
	}
	return false
}
