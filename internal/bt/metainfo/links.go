package metainfo

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	maxHops      = 40      // links followed for one target, as Linux has it
	maxLinkSteps = 1 << 24 // path elements looked at for all links of a torrent
)

// linkResolver follows links as a kernel would, on the names of a tree alone.
// A look at each text by itself is not enough: "a/../.." may stay inside by its
// letters and leave the tree when a is itself a link to a folder further up.
type linkResolver struct {
	files []File
	links map[string]int // path of a link to its index in files
	steps int
}

// links finds the links that leave the tree, and refuses them unless they are
// allowed.
func (p *infoParser) links() error {
	r := linkResolver{files: p.info.Files, links: map[string]int{}}
	for n := range p.info.Files {
		if f := &p.info.Files[n]; f.IsLink() {
			r.links[DisplayPath(f.Path)] = n
		}
	}
	for n := range p.info.Files {
		f := &p.info.Files[n]
		if !f.IsLink() {
			continue
		}
		f.Outside = r.leaves(f)
		if r.steps > maxLinkSteps {
			return &KeyError{"info", "the symbolic links are too tangled to be followed"}
		}
		if f.Outside && !p.AllowOutsideLinks {
			return &KeyError{"info", fmt.Sprintf("the symbolic link %q leads to %q, out of the tree (allow outside links to accept it)",
				DisplayPath(f.Path), clip(f.Target()))}
		}
	}
	return nil
}

// leaves reports whether following the link leads above the root of the tree.
// A chain that never ends leads nowhere, and so does a name that is not there.
func (r *linkResolver) leaves(f *File) bool {
	at := []byte(DisplayPath(f.Path[:len(f.Path)-1]))
	todo := []string{f.Target()} // texts still to walk, the next one last
	for hops := 0; len(todo) > 0; {
		rest := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if strings.HasPrefix(rest, "/") {
			return true
		}
		for rest != "" {
			var name string
			name, rest, _ = strings.Cut(rest, "/")
			if r.steps++; r.steps > maxLinkSteps {
				return true
			}
			if name == "" || name == "." {
				continue
			}
			parent := max(bytes.LastIndexByte(at, '/'), 0)
			if name == ".." {
				if len(at) == 0 {
					return true
				}
				at = at[:parent]
				continue
			}
			end := len(at)
			if end > 0 {
				at = append(at, '/')
			}
			at = append(at, name...)
			if n, ok := r.links[string(at)]; ok {
				if hops++; hops > maxHops {
					return false
				}
				at = at[:end]
				todo = append(todo, strings.TrimLeft(rest, "/"), r.files[n].Target())
				break
			}
		}
	}
	return false
}
