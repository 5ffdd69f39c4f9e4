package storage

import (
	"fmt"
	"io/fs"
)

// wanted is what the torrent has under a name.
type wanted struct {
	link   bool
	text   string // of the link
	length int64  // of the file
}

// verdict says what to do with an entry that may be in the way.
type verdict uint8

const (
	fine     verdict = iota // absent, or usable as it is, or to be completed in place
	unproven                // a file that somebody else made: its content decides
	trim                    // longer than the torrent's: to be cut (Overwrite)
	replace                 // to be removed (Overwrite)
	conflict                // not to be touched
)

// judgeName decides by what a stat tells. ours: the record says that we made
// it. The rules are those of the package comment.
func judgeName(f fact, w wanted, ours, overwrite bool) (verdict, string) {
	switch {
	case !f.there:
		return fine, ""
	case f.kind.IsDir():
		return conflict, fmt.Sprintf("is a folder where the torrent has a %s", w.kind())
	case w.link && f.kind&fs.ModeSymlink != 0 && f.text == w.text:
		return fine, ""
	case w.link && f.kind&fs.ModeSymlink != 0:
		return unless(overwrite, replace, fmt.Sprintf("is a symbolic link to %q, the torrent's is to %q", f.text, w.text))
	case w.link || !f.kind.IsRegular():
		return unless(overwrite, replace, fmt.Sprintf("is a %s where the torrent has a %s", typeName(f.kind), w.kind()))
	case f.size > w.length:
		return unless(overwrite, trim, fmt.Sprintf("has %d bytes, the torrent's has %d", f.size, w.length))
	case ours || f.size == 0 || f.allocated == 0:
		return fine, ""
	case f.size < w.length && !overwrite:
		return conflict, fmt.Sprintf("has %d bytes, the torrent's has %d, and shoal did not make it", f.size, w.length)
	}
	return unproven, ""
}

// judgeContent decides about a regular file of fitting size once its pieces
// were hashed: good and bad are how many. hollow: it holds no data at all.
func judgeContent(f fact, ours, hollow, overwrite bool, good, bad int) (verdict, string) {
	switch {
	case !f.there || bad == 0:
		return fine, ""
	case f.links > 1:
		return unless(overwrite, replace, fmt.Sprintf("is incomplete and has %d names (hard links); completing it would change them all", f.links))
	case ours || good > 0 || hollow || overwrite:
		return fine, ""
	}
	return conflict, "has the right size but other content, and shoal did not make it"
}

func unless(overwrite bool, then verdict, reason string) (verdict, string) {
	if overwrite {
		return then, ""
	}
	return conflict, reason
}

func (w wanted) kind() string {
	if w.link {
		return "symbolic link"
	}
	return "file"
}
