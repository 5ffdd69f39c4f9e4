package metainfo

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"strings"
)

const (
	maxHops      = 40      // links followed for one target, as Linux has it
	maxLinkSteps = 1 << 22 // path elements looked at for all links of a torrent
)

// linkResolver follows links as a kernel would, on the names of a tree alone.
// A look at each text by itself is not enough: "a/../.." may stay inside by its
// letters and leave the tree when a is itself a link to a folder further up.
//
// Links are found by a hash of their path, since a few bytes of a v2 file tree
// can make a long path, which would be costly to keep joined for every link.
type linkResolver struct {
	files []File
	seed  maphash.Seed
	links map[uint64]int32 // hash of a link's path to its index in files
	at    []place          // where the walk stands: the folders from the root down
	steps int
}

// place is one element of a path, with the hash of the path up to it.
type place struct {
	name string
	hash uint64
}

func newLinkResolver(files []File) *linkResolver {
	r := &linkResolver{files: files, seed: maphash.MakeSeed(), links: map[uint64]int32{}}
	for n := range files {
		if !files[n].IsLink() || r.steps > maxLinkSteps {
			continue
		}
		r.enter(files[n].Path)
		r.links[r.here()] = int32(n)
	}
	return r
}

// enter sets the walk to a path.
func (r *linkResolver) enter(path []string) {
	r.at = r.at[:0]
	for _, name := range path {
		r.push(name)
	}
}

func (r *linkResolver) push(name string) {
	r.steps++
	r.at = append(r.at, place{name, maphash.String(r.seed, name) + 31*bits.RotateLeft64(r.here(), 23)})
}

func (r *linkResolver) here() uint64 {
	if len(r.at) == 0 {
		return 0
	}
	return r.at[len(r.at)-1].hash
}

// link is the link at which the walk stands.
func (r *linkResolver) link() (*File, bool) {
	n, ok := r.links[r.here()]
	if !ok || len(r.files[n].Path) != len(r.at) {
		return nil, false
	}
	f := &r.files[n]
	for i, p := range r.at {
		if f.Path[i] != p.name {
			return nil, false
		}
	}
	return f, true
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
	r := newLinkResolver(files)
	for n := range files {
		if f := &files[n]; f.IsLink() {
			f.Outside = r.leaves(f)
		}
		if r.steps > maxLinkSteps {
			return &KeyError{"info", "the symbolic links are too many and too tangled to be followed"}
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
	r.enter(f.Path[:len(f.Path)-1])
	r.steps += len(f.Symlink)    // what it takes to make the text
	todo := []string{f.Target()} // texts still to walk, the next one last
	for hops := 0; len(todo) > 0; {
		text := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if strings.HasPrefix(text, "/") {
			return true
		}
		rest, target, outside := r.follow(text)
		if outside || r.steps > maxLinkSteps {
			return true
		}
		if target == nil {
			continue
		}
		if hops++; hops > maxHops {
			return false
		}
		r.steps += len(target.Symlink)
		todo = append(todo, strings.TrimLeft(rest, "/"), target.Target())
	}
	return false
}

// follow walks along text up to its end, or to a link: then it stands in the
// folder of that link, and rest is what comes behind it.
func (r *linkResolver) follow(text string) (rest string, link *File, outside bool) {
	for text != "" && r.steps <= maxLinkSteps {
		var name string
		name, text, _ = strings.Cut(text, "/")
		switch name {
		case "", ".":
			r.steps++
		case "..":
			r.steps++
			if len(r.at) == 0 {
				return "", nil, true
			}
			r.at = r.at[:len(r.at)-1]
		default:
			r.push(name)
			if f, ok := r.link(); ok {
				r.at = r.at[:len(r.at)-1]
				return text, f, false
			}
		}
	}
	return "", nil, false
}
