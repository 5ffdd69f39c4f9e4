// Package reuse plans which files of a new release need not be fetched, because
// a release that is installed has the same ones. It never touches a disk: a plan
// is a value that says where to look, whoever executes it copies, and a copy is
// verified like everything else before it counts.
package reuse

import "shoal/internal/bt/metainfo"

// Installed is a release whose files can be copied.
type Installed struct {
	Version string
	Info    *metainfo.Info
}

// Copy is a file of the new release that an installed one has too.
type Copy struct {
	File    int    // index in the new release's Info.Files
	Version string // of the installed release
	From    int    // index in that one's Info.Files
}

// Plan is what need not be fetched.
type Plan struct {
	Copies []Copy // in the order of the new release's files
	Bytes  int64
}

// content is what makes two files the same: length and root of the v2 hash tree
// (BEP 52), whatever their names and wherever pieces begin.
type content struct {
	length int64
	root   [32]byte
}

// Make plans for a new release. Of several installed releases that have a file
// the first one is taken. A v1 metafile says nothing about single files.
func Make(info *metainfo.Info, have []Installed) Plan {
	var p Plan
	if !info.HasV2() {
		return p
	}
	where := map[content]Copy{}
	for _, old := range have {
		if !old.Info.HasV2() {
			continue
		}
		for i := range old.Info.Files {
			c := contentOf(&old.Info.Files[i])
			if _, known := where[c]; !known && c.length > 0 {
				where[c] = Copy{Version: old.Version, From: i}
			}
		}
	}
	for i := range info.Files {
		c := contentOf(&info.Files[i])
		if from, ok := where[c]; ok {
			from.File = i
			p.Copies = append(p.Copies, from)
			p.Bytes += c.length
		}
	}
	return p
}

func contentOf(f *metainfo.File) content { return content{f.Length, f.Root} }
