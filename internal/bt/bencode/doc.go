// Package bencode reads and writes the encoding of BEP 3: integers, byte
// strings, lists and dictionaries.
//
// Reading is one pass without recursion over bytes that stay where they are:
// Scan checks everything against Limits first, and the Value that it returns
// is a view, so that the raw bytes of any part (the info dictionary, whose
// hash names the torrent) are at hand. What the wild gets wrong without harm
// (unsorted keys, integers with leading zeros) is accepted and told as a
// warning; what could be read in two ways (duplicate keys) is refused.
//
// Writing is canonical: Append for values at hand, Encoder for big documents
// that are written piece by piece.
//
// The package never does I/O, never copies string contents while reading and
// never panics on input.
package bencode

import (
	"fmt"
	"strings"
)

// Limits bound what Scan accepts. A zero field means its default.
type Limits struct {
	Size   int // bytes of input; default 1 MiB, at most 2 GiB
	Depth  int // lists and dictionaries inside one another; default 32
	Values int // integers, strings (keys too), lists and dictionaries in all; default 64 Ki
	// Containers bounds lists and dictionaries alone, each of which costs 12
	// bytes of memory while scalars cost none; default Values.
	Containers int
}

func (l Limits) withDefaults() Limits {
	if l.Size <= 0 {
		l.Size = 1 << 20
	}
	l.Size = min(l.Size, 1<<31-1)
	if l.Depth <= 0 {
		l.Depth = 32
	}
	if l.Values <= 0 {
		l.Values = 64 << 10
	}
	if l.Containers <= 0 {
		l.Containers = l.Values
	}
	return l
}

// SyntaxError says where input stopped being acceptable bencode.
type SyntaxError struct {
	Offset int    // of the byte that was not acceptable
	Path   string // of the value there, like info.files[3].length; "" for the outermost value
	Reason string
}

func (e *SyntaxError) Error() string {
	where := ""
	if e.Path != "" {
		where = e.Path + ": "
		if n := len(e.Path); n > 160 { // nested absurdly deep: both ends will do
			where = e.Path[:80] + "..." + e.Path[n-40:] + ": "
		}
	}
	return fmt.Sprintf("%s%s (byte %d)", where, e.Reason, e.Offset)
}

// PathKey appends key to a path like info.files[3], quoted and cut when it
// would not read well. Errors of every parser above this one use the form.
func PathKey(path string, key []byte) string {
	text := string(key[:min(len(key), 48)])
	if len(key) > 48 || strings.ContainsFunc(text, oddInPath) || text == "" {
		text = fmt.Sprintf("%q", text)
	}
	if path == "" {
		return text
	}
	return path + "." + text
}

func oddInPath(r rune) bool {
	return r < ' ' || r > '~' || r == '.' || r == '"' || r == '[' || r == ']'
}
