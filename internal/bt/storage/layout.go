package storage

import (
	"io/fs"
	"strings"

	"shoal/internal/bt/metainfo"
)

// layout is where the torrent's entries lie below the destination folder. It is
// made once and does not change.
type layout struct {
	info    *metainfo.Info
	folders []folder // 0 is the destination folder itself
	files   []place  // as Info.Files, and one more: the part file
	listed  []int32  // folders of Info.Dirs, in their order
	modes   map[int32]fs.FileMode
	posix   bool // the torrent carries modes, so folders without one have 0755
}

// folder is one directory. Its parent comes before it.
type folder struct {
	parent int32
	name   string
}

// place is one file: its name in a folder.
type place struct {
	folder int32
	name   string
}

// step is one way from a folder to a folder in it.
type step folder

// newLayout lays the entries of info out under the name as; parts is the name of
// the part file.
func newLayout(info *metainfo.Info, as, parts string) *layout {
	l := &layout{info: info, folders: []folder{{parent: -1}}, modes: map[int32]fs.FileMode{}}
	known := map[step]int32{}
	top := int32(0)
	if !info.SingleFile {
		top = l.enter(known, 0, as)
	}
	l.files = make([]place, 0, len(info.Files)+1)
	for i := range info.Files {
		f := &info.Files[i]
		l.posix = l.posix || f.HasMode
		if info.SingleFile {
			l.files = append(l.files, place{folder: 0, name: as})
			continue
		}
		last := len(f.Path) - 1
		l.files = append(l.files, place{folder: l.walk(known, top, f.Path[:last]), name: f.Path[last]})
	}
	for i := range info.Dirs {
		dir := &info.Dirs[i]
		n := l.walk(known, top, dir.Path)
		l.listed = append(l.listed, n)
		if dir.HasMode {
			l.posix = true
			l.modes[n] = fileMode(dir.Mode)
		}
	}
	l.files = append(l.files, place{folder: 0, name: parts})
	return l
}

func (l *layout) walk(known map[step]int32, from int32, path []string) int32 {
	for _, name := range path {
		from = l.enter(known, from, name)
	}
	return from
}

func (l *layout) enter(known map[step]int32, from int32, name string) int32 {
	s := step{from, name}
	to, ok := known[s]
	if !ok {
		to = int32(len(l.folders))
		known[s] = to
		l.folders = append(l.folders, folder{parent: from, name: name})
	}
	return to
}

// parts is the index of the part file among files.
func (l *layout) parts() int { return len(l.files) - 1 }

// depth is the number of folders between i and the destination folder.
func (l *layout) depth(i int32) int {
	n := 0
	for ; i > 0; i = l.folders[i].parent {
		n++
	}
	return n
}

// folderPath is the path of a folder below the destination folder; "." is that
// folder itself.
func (l *layout) folderPath(i int32) string {
	if i == 0 {
		return "."
	}
	names := make([]string, l.depth(i))
	for n := len(names) - 1; n >= 0; n-- {
		names[n] = l.folders[i].name
		i = l.folders[i].parent
	}
	return strings.Join(names, "/")
}

// path is the path of a file below the destination folder.
func (l *layout) path(file int) string {
	p := l.files[file]
	if p.folder == 0 {
		return p.name
	}
	return l.folderPath(p.folder) + "/" + p.name
}

// folderMode is the mode that a folder should have if the torrent carries modes.
func (l *layout) folderMode(i int32) fs.FileMode {
	if m, ok := l.modes[i]; ok {
		return m
	}
	return 0o755
}

// children are the names that each folder should hold.
func (l *layout) children() map[step]bool {
	names := make(map[step]bool, len(l.files)+len(l.folders))
	for _, f := range l.folders {
		names[step(f)] = true
	}
	for _, p := range l.files {
		names[step{p.folder, p.name}] = true
	}
	return names
}
