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
	if err := markOutside(p.info.Files); err != nil {
		return err
	}
	if !p.AllowOutsideLinks {
		return refuseOutside(p.info.Files)
	}
	return nil
}

// markOutside sets Outside where it is due.
func markOutside(files []File) error {
	r := linkResolver{files: files, links: map[string]int{}}
	for n := range files {
		if files[n].IsLink() {
			r.links[DisplayPath(files[n].Path)] = n
		}
	}
	for n := range files {
		if f := &files[n]; f.IsLink() {
			f.Outside = r.leaves(f)
		}
		if r.steps > maxLinkSteps {
			return &KeyError{"info", "the symbolic links are too tangled to be followed"}
		}
	}
	return nil
}

func refuseOutside(files []File) error {
	for n := range files {
		if f := &files[n]; f.Outside {
			return &KeyError{"info", fmt.Sprintf("the symbolic link %q leads to %q, out of the tree (allow outside links to accept it)",
				DisplayPath(f.Path), clip(f.Target()))}
		}
	}
	return nil
}

// linkElements is the target of a link as BEP 47 has it, made from its text by
// its letters alone. A target that cannot be said that way (absolute, above the
// root, odd) becomes the link itself, which other clients make nothing of.
func linkElements(path []string, text string) []string {
	if strings.HasPrefix(text, "/") {
		return path
	}
	target := append([]string{}, path[:len(path)-1]...)
	for name := range strings.SplitSeq(text, "/") {
		switch {
		case name == "" || name == ".":
		case name == "..":
			if len(target) == 0 {
				return path
			}
			target = target[:len(target)-1]
		case len(name) > MaxName:
			return path
		default:
			target = append(target, name)
		}
	}
	if len(target) == 0 || len(target) > MaxDepth {
		return path // the root itself has no path in BEP 47
	}
	return target
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
