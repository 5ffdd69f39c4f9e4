package release

import (
	"context"
	"path/filepath"

	"shoal/internal/bt/metainfo"
)

// Place is where the content of a metafile lies: at Dir/Name, the folder or,
// for a metafile of one file, the file. State is a folder for what is
// remembered about it; nobody else writes there.
type Place struct {
	Dir, Name, State string
}

// Content is how bytes get to this host and are checked here.
type Content interface {
	// Fetch brings the files that pick picks (all if it is nil) to a place that
	// nobody reads, and goes on from what is there. It returns nil only when
	// every one of them is verified against the metafile and on disk, with its
	// mode, and the folders and links too if all were wanted.
	Fetch(ctx context.Context, to Place, meta *metainfo.Metafile, pick func(file int) bool) error
	// Verify reads every byte, compares it with the metafile and tells what
	// differs. It changes nothing.
	Verify(ctx context.Context, at Place, meta *metainfo.Metafile) ([]Problem, error)
}

// Remedy is what mends a Problem.
type Remedy string

// The remedies.
const (
	Refetch Remedy = "refetch" // the file's bytes are to be had again
	Chmod   Remedy = "chmod"   // its mode is to be set
	Relink  Remedy = "relink"  // the symbolic link is to be made anew
	Mkdir   Remedy = "mkdir"   // the folder is to be made
	NoCure  Remedy = ""        // an operator has to look: something is there that is not ours
)

// Problem is one difference between a release on disk and its metafile.
type Problem struct {
	Path   string `json:"path"` // below the release
	Kind   string `json:"kind"` // "damaged", "missing", "wrong mode", ...
	Detail string `json:"detail,omitempty"`
	Remedy Remedy `json:"remedy,omitempty"`
	Mended bool   `json:"mended"`
	File   int    `json:"-"` // index in Info.Files; -1: a folder, or nothing of the release
}

const stagingMark = ".staging"

// Names of an app's folders while a release comes and goes.
func stagingPath(version string) string { return filepath.Join(releaseDir, "."+version+stagingMark) }
func releasePath(version string) string { return filepath.Join(releaseDir, version) }
func notesPath(version string) string   { return filepath.Join(versionDir, version) }
func repairPath(version string) string  { return filepath.Join(notesPath(version), "repair") }
func metafilePath(version string) string {
	return filepath.Join(notesPath(version), "metafile.torrent")
}

// place is the content of info in a folder of the app: that folder itself, or a
// file in it if the release consists of one file.
func (a *App) place(info *metainfo.Info, folder, version string) Place {
	p := Place{State: filepath.Join(a.dir, notesPath(version))}
	p.Dir, p.Name = filepath.Split(filepath.Join(a.dir, folder))
	if info.SingleFile {
		p.Dir, p.Name = filepath.Join(a.dir, folder), info.Name
	}
	return p
}
