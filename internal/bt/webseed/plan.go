// Package webseed fetches content of a release from plain web servers (BEP 19),
// as one more source beside the peers or as the only one.
//
// It never verifies, stores or picks anything: bytes go to the caller's sink in
// order, and whether they are right is for the piece hashes to say.
package webseed

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"shoal/internal/bt/metainfo"
)

// ErrURL says that a URL cannot be a web seed: not http or https, or not a URL.
var ErrURL = errors.New("webseed: not an http or https URL")

// Part is a run of bytes of one file on the server, or of padding (File < 0), which
// is zeros and is not fetched.
type Part struct {
	File   int    // index into Info.Files
	URL    string // of the file; "" for padding
	Off    int64  // byte in the file
	Length int64  // bytes, at least 1
}

// Plan maps piece space to files on one web server. It is a value without I/O.
type Plan struct {
	info   *metainfo.Info
	prefix string // URL up to where a file's path is added
	suffix string // query
}

// NewPlan reads a web seed's URL (an entry of url-list). BEP 19: a multi-file
// release lies in a folder of its name below the URL; the URL of a single file is
// the file's own unless it ends in a slash.
func NewPlan(info *metainfo.Info, rawURL string) (Plan, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return Plan{}, fmt.Errorf("%w: %q", ErrURL, u.Redacted())
	}
	p := Plan{info: info}
	if u.RawQuery != "" {
		p.suffix = "?" + u.RawQuery
	}
	u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = "", "", "", false
	p.prefix = u.String()
	if info.SingleFile && !strings.HasSuffix(p.prefix, "/") && u.EscapedPath() != "" {
		return p, nil
	}
	p.prefix = strings.TrimSuffix(p.prefix, "/") + "/" + escape(info.Name)
	return p, nil
}

// FileURL is where a file lies.
func (p Plan) FileURL(file int) string {
	var b strings.Builder
	b.WriteString(p.prefix)
	for _, name := range p.info.Files[file].Path {
		b.WriteByte('/')
		b.WriteString(escape(name))
	}
	b.WriteString(p.suffix)
	return b.String()
}

// Parts walks the n bytes of piece space at off, in order.
func (p Plan) Parts(off, n int64) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for seg := range p.info.Segments(off, n) {
			part := Part{File: seg.File, Off: seg.FileOffset, Length: seg.Length}
			if seg.File >= 0 {
				part.URL = p.FileURL(seg.File)
			}
			if !yield(part) {
				return
			}
		}
	}
}

// escape writes a raw name as one path segment: every byte that RFC 3986 does not
// call unreserved is escaped, so that a name can neither end the path nor, being
// checked by metainfo, leave its folder.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
