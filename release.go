package shoal

import (
	"fmt"
	"strings"
	"time"
)

// Bounds on names. An app and a version are each one component of a path on
// every host, so they are held to characters that every file system, shell and
// URL leaves alone.
const (
	MaxAppName = 63
	MaxVersion = 128
)

// Release is one immutable tree of files that has been registered under a name.
type Release struct {
	App      string    `json:"app"`
	Version  string    `json:"version"`
	InfoHash string    `json:"infohash"` // of its metafile, lower-case hex
	Bytes    int64     `json:"bytes"`    // of content
	Files    int       `json:"files"`
	Serial   uint64    `json:"serial,omitempty"` // of the Statement
	By       string    `json:"by,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	// Held says that the server which answers holds all of its content: whoever
	// pushed it need not serve it any more.
	Held bool `json:"held,omitempty"`
	// Pending says that no server takes a copy yet: whoever runs the links has
	// not been told, or has not had the time that was promised.
	Pending bool `json:"pending,omitempty"`
}

// Name is the release's name in the form app@version.
func (r Release) Name() string { return r.App + "@" + r.Version }

// ParseRelease splits app@version and checks both halves.
func ParseRelease(s string) (app, version string, err error) {
	app, version, ok := strings.Cut(s, "@")
	if !ok {
		return "", "", fmt.Errorf("release %.80q: write it as app@version, such as web@1.2.3", s)
	}
	if err := CheckApp(app); err != nil {
		return "", "", err
	}
	return app, version, CheckVersion(version)
}

// CheckApp tells why a name is no good for an app; nil when it is.
func CheckApp(name string) error { return checkName("app", name, MaxAppName, "._-") }

// CheckVersion tells why a text is no good as a version; nil when it is. What
// semver.org allows is allowed; no order of versions is read into it.
func CheckVersion(version string) error { return checkName("version", version, MaxVersion, "._-+~") }

// checkName holds a name to letters, digits and the characters of extra; the
// first one is a letter or a digit, which also keeps out dot, dot-dot, hidden
// files and what looks like an option.
func checkName(what, name string, longest int, extra string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is missing", what)
	case len(name) > longest:
		return fmt.Errorf("%s %.20q... is longer than %d characters", what, name, longest)
	}
	for i, c := range []byte(name) {
		if !alphanumeric(c) && (i == 0 || strings.IndexByte(extra, c) < 0) {
			return fmt.Errorf("%s %q: use letters, digits and %s, and a letter or digit first", what, name, strings.Join(strings.Split(extra, ""), " "))
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
