package bencode

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// Document is the outcome of a Scan.
type Document struct {
	Root      Value
	Size      int      // bytes of input that Root takes; what lies behind is the caller's
	Canonical bool     // encoding Root again gives the same bytes
	Warnings  []string // leniencies that were needed, at most maxWarnings of them
}

const (
	maxWarnings = 16
	maxDigits   = 24 // of an integer, leading zeros included
)

// Scan checks the value at the start of raw against the limits. The Document
// keeps raw: do not change it as long as a Value of it is in use. Errors are
// *SyntaxError.
func Scan(raw []byte, lim Limits) (Document, error) {
	s := scanner{raw: raw, lim: lim.withDefaults(), canonical: true}
	if len(raw) > s.lim.Size {
		return Document{}, &SyntaxError{Reason: fmt.Sprintf("%d bytes are more than the limit of %d", len(raw), s.lim.Size)}
	}
	for first := true; first || len(s.stack) > 0; first = false {
		if reason := s.step(); reason != "" {
			return Document{}, &SyntaxError{Offset: s.pos, Path: s.path(), Reason: reason}
		}
	}
	return Document{
		Root:      Value{raw: raw[:s.pos:s.pos], nodes: s.nodes},
		Size:      s.pos,
		Canonical: s.canonical,
		Warnings:  s.warnings,
	}, nil
}

// Parse is Scan for a caller who needs one value, with nothing behind it, and
// does not mind leniencies.
func Parse(raw []byte, lim Limits) (Value, error) {
	d, err := Scan(raw, lim)
	if err == nil && d.Size < len(raw) {
		err = &SyntaxError{Offset: d.Size, Reason: fmt.Sprintf("%d bytes behind the end of the value", len(raw)-d.Size)}
	}
	if err != nil {
		return Value{}, err
	}
	return d.Root, nil
}

// node is the record of one list or dictionary. The records of a document
// stand in order of their starts, so those of a container's insides follow its
// own; with the counts a walk can step over any value without reading it.
type node struct {
	size  uint32 // bytes of the encoding
	nodes uint32 // containers inside, itself included
	count uint32 // elements of a list, pairs of a dictionary
}

// frame is one list or dictionary that is still open.
type frame struct {
	node     int
	start    int
	count    uint32
	dict     bool
	keyed    bool // the key has been read and its value comes next
	unsorted bool
	key      []byte // last key that was read
}

type scanner struct {
	raw       []byte
	pos       int
	values    int
	lim       Limits
	nodes     []node
	stack     []frame
	canonical bool
	warnings  []string
}

// step reads one key, scalar, opening or end. It returns the reason why it
// could not, and leaves pos at the place that is to blame.
func (s *scanner) step() string {
	if s.pos >= len(s.raw) {
		return "the input ends in the middle"
	}
	c := s.raw[s.pos]
	if c == 'e' && len(s.stack) > 0 {
		return s.close(&s.stack[len(s.stack)-1])
	}
	if s.values++; s.values > s.lim.Values {
		return fmt.Sprintf("more than %d values", s.lim.Values)
	}
	if len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		if top.dict && !top.keyed {
			return s.key(top)
		}
	}
	switch {
	case c == 'l' || c == 'd':
		return s.open(c == 'd')
	case c == 'i':
		return s.integer()
	case c >= '0' && c <= '9':
		if _, reason := s.str(); reason != "" {
			return reason
		}
		s.placed()
		return ""
	}
	return fmt.Sprintf("%q begins no value", c)
}

// placed counts a value into the container that it stands in.
func (s *scanner) placed() {
	if len(s.stack) > 0 {
		top := &s.stack[len(s.stack)-1]
		top.count++
		top.keyed = false
	}
}

func (s *scanner) open(dict bool) string {
	if len(s.stack) >= s.lim.Depth {
		return fmt.Sprintf("nested more than %d deep", s.lim.Depth)
	}
	if len(s.nodes) >= s.lim.Containers {
		return fmt.Sprintf("more than %d lists and dictionaries", s.lim.Containers)
	}
	s.placed()
	s.stack = append(s.stack, frame{node: len(s.nodes), start: s.pos, dict: dict})
	s.nodes = append(s.nodes, node{})
	s.pos++
	return ""
}

func (s *scanner) close(top *frame) string {
	if top.keyed {
		return "a key without a value"
	}
	s.pos++
	s.nodes[top.node] = node{
		size:  uint32(s.pos - top.start),
		nodes: uint32(len(s.nodes) - top.node),
		count: top.count,
	}
	if top.unsorted {
		if dup, found := s.duplicate(top); found {
			return fmt.Sprintf("the key %q stands there twice", clip(dup))
		}
	}
	s.stack = s.stack[:len(s.stack)-1]
	return ""
}

func (s *scanner) key(top *frame) string {
	if c := s.raw[s.pos]; c < '0' || c > '9' {
		return fmt.Sprintf("%q begins no key: keys are strings", c)
	}
	start := s.pos
	key, reason := s.str()
	if reason != "" {
		return reason
	}
	if top.count > 0 {
		switch order := bytes.Compare(top.key, key); {
		case order == 0:
			s.pos = start
			return fmt.Sprintf("the key %q stands there twice", clip(key))
		case order > 0 && !top.unsorted:
			top.unsorted, s.canonical = true, false
			s.warn(s.containerPath(), fmt.Sprintf("keys are not sorted (%q after %q)", clip(key), clip(top.key)))
		}
	}
	top.key, top.keyed = key, true
	return ""
}

// duplicate looks for a key that stands twice in a closed, unsorted
// dictionary. It keeps 4 bytes a key.
func (s *scanner) duplicate(top *frame) ([]byte, bool) {
	raw := s.raw[top.start:s.pos]
	v := Value{raw: raw, nodes: s.nodes[top.node:]}
	starts := make([]uint32, 0, top.count)
	for w := v.walk(); w.more(); w.value() {
		starts = append(starts, uint32(w.pos))
		w.key()
	}
	keyAt := func(at uint32) []byte { key, _ := cutString(raw[at:]); return key }
	slices.SortFunc(starts, func(a, b uint32) int { return bytes.Compare(keyAt(a), keyAt(b)) })
	for i := 1; i < len(starts); i++ {
		if key := keyAt(starts[i]); bytes.Equal(keyAt(starts[i-1]), key) {
			return key, true
		}
	}
	return nil, false
}

// str reads a string. Its length has no leading zeros: nobody writes them, and
// a length is no place for leniency.
func (s *scanner) str() ([]byte, string) {
	n, i := 0, s.pos
	for ; i < len(s.raw) && s.raw[i] >= '0' && s.raw[i] <= '9'; i++ {
		if n = n*10 + int(s.raw[i]-'0'); n > len(s.raw) {
			return nil, "a string reaches behind the end of the input"
		}
	}
	switch {
	case i >= len(s.raw):
		return nil, "the input ends in the middle"
	case s.raw[i] != ':':
		return nil, "a string's length without a colon behind it"
	case s.raw[s.pos] == '0' && i-s.pos > 1:
		return nil, "a string's length has leading zeros"
	case n > len(s.raw)-i-1:
		return nil, "a string reaches behind the end of the input"
	}
	s.pos = i + 1 + n
	return s.raw[i+1 : s.pos], ""
}

func (s *scanner) integer() string {
	i := s.pos + 1
	negative := i < len(s.raw) && s.raw[i] == '-'
	if negative {
		i++
	}
	digits := i
	for i < len(s.raw) && s.raw[i] >= '0' && s.raw[i] <= '9' && i-digits <= maxDigits {
		i++
	}
	switch {
	case i >= len(s.raw):
		return "the input ends in the middle"
	case i == digits || s.raw[i] != 'e':
		return "an integer that is not digits up to an e"
	}
	if _, ok := toInt(s.raw[digits:i], negative); !ok {
		return "an integer that does not fit into 64 bits"
	}
	if s.raw[digits] == '0' && (negative || i-digits > 1) {
		s.canonical = false
		s.warn(s.path(), fmt.Sprintf("integer written as %s", s.raw[s.pos+1:i]))
	}
	s.pos = i + 1
	s.placed()
	return ""
}

func toInt(digits []byte, negative bool) (int64, bool) {
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	var n uint64
	for _, d := range digits {
		d := uint64(d - '0')
		if n > (limit-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if negative {
		return -int64(n), true // -1<<63 wraps onto itself
	}
	return int64(n), true
}

func (s *scanner) warn(path, text string) {
	if len(s.warnings) < maxWarnings {
		if path != "" {
			text = path + ": " + text
		}
		s.warnings = append(s.warnings, text)
	}
}

// path names the value that is being read.
func (s *scanner) path() string {
	path := s.containerPath()
	if len(s.stack) == 0 {
		return path
	}
	switch top := &s.stack[len(s.stack)-1]; {
	case !top.dict:
		return fmt.Sprintf("%s[%d]", path, top.count)
	case top.keyed:
		return PathKey(path, top.key)
	}
	return path
}

// containerPath names the innermost container that is open.
func (s *scanner) containerPath() string {
	path := ""
	for i := range max(len(s.stack)-1, 0) {
		if f := &s.stack[i]; f.dict {
			path = PathKey(path, f.key)
		} else {
			path = fmt.Sprintf("%s[%d]", path, f.count-1)
		}
	}
	return path
}

func clip(b []byte) []byte { return b[:min(len(b), 48)] }
