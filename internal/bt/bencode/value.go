package bencode

import (
	"bytes"
	"iter"
	"slices"
)

// Kind tells the four forms apart. The zero Kind is that of no value.
type Kind uint8

// The forms of BEP 3.
const (
	Int Kind = 1 + iota
	String
	List
	Dict
)

func (k Kind) String() string {
	return [...]string{"nothing", "an integer", "a string", "a list", "a dictionary"}[min(k, Dict)]
}

// Value is a view of one scanned value. The zero Value is no value: its Kind
// is 0 and every accessor says no. Slices that come out of it share the raw
// bytes: do not write to them.
type Value struct {
	raw   []byte
	nodes []node // own record first; nil for integers and strings
}

// Kind says which form the value has.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return 0
	}
	switch v.raw[0] {
	case 'i':
		return Int
	case 'l':
		return List
	case 'd':
		return Dict
	}
	return String
}

// Raw is the encoding of the value as it was read.
func (v Value) Raw() []byte { return v.raw }

// Len is the number of elements of a list or pairs of a dictionary, else 0.
func (v Value) Len() int {
	if len(v.nodes) == 0 {
		return 0
	}
	return int(v.nodes[0].count)
}

// Containers is the number of lists and dictionaries in the value, itself
// included.
func (v Value) Containers() int { return len(v.nodes) }

// Bytes is the content of a string.
func (v Value) Bytes() ([]byte, bool) {
	if v.Kind() != String {
		return nil, false
	}
	b, _ := cutString(v.raw)
	return b, true
}

// Text is the content of a string, copied.
func (v Value) Text() (string, bool) {
	b, ok := v.Bytes()
	return string(b), ok
}

// Int is the number of an integer.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Int {
		return 0, false
	}
	digits := v.raw[1 : len(v.raw)-1]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	return toInt(digits, negative)
}

// List walks the elements of a list; none for any other kind.
func (v Value) List() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != List {
			return
		}
		for w := v.walk(); w.more(); {
			if !yield(w.value()) {
				return
			}
		}
	}
}

// Dict walks the pairs of a dictionary in the order in which they stand; none
// for any other kind.
func (v Value) Dict() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.Kind() != Dict {
			return
		}
		for w := v.walk(); w.more(); {
			key := w.key()
			if !yield(key, w.value()) {
				return
			}
		}
	}
}

// Get is the value of a key, the zero Value if v has no such key. It walks: for
// one look at many keys use Dict.
func (v Value) Get(key string) Value {
	for k, value := range v.Dict() {
		if string(k) == key {
			return value
		}
	}
	return Value{}
}

// AppendCanonical appends the value with sorted keys and shortest integers.
func (v Value) AppendCanonical(dst []byte) []byte {
	switch v.Kind() {
	case Int:
		n, _ := v.Int()
		return AppendInt(dst, n)
	case List:
		dst = append(dst, 'l')
		for e := range v.List() {
			dst = e.AppendCanonical(dst)
		}
		return append(dst, 'e')
	case Dict:
		type pair struct {
			key   []byte
			value Value
		}
		pairs := make([]pair, 0, v.Len())
		for k, e := range v.Dict() {
			pairs = append(pairs, pair{k, e})
		}
		byKey := func(a, b pair) int { return bytes.Compare(a.key, b.key) }
		if !slices.IsSortedFunc(pairs, byKey) {
			slices.SortFunc(pairs, byKey)
		}
		dst = append(dst, 'd')
		for _, p := range pairs {
			dst = AppendString(dst, p.key)
			dst = p.value.AppendCanonical(dst)
		}
		return append(dst, 'e')
	}
	return append(dst, v.raw...)
}

// walker steps through the insides of a container, which Scan has checked.
type walker struct {
	raw   []byte
	pos   int
	nodes []node // of the containers that come next
}

func (v Value) walk() walker { return walker{raw: v.raw, pos: 1, nodes: v.nodes[1:]} }

func (w *walker) more() bool { return w.raw[w.pos] != 'e' }

func (w *walker) key() []byte {
	key, size := cutString(w.raw[w.pos:])
	w.pos += size
	return key
}

func (w *walker) value() Value {
	rest := w.raw[w.pos:]
	size, inside := 0, 0
	switch rest[0] {
	case 'i':
		size = bytes.IndexByte(rest, 'e') + 1
	case 'l', 'd':
		size, inside = int(w.nodes[0].size), int(w.nodes[0].nodes)
	default:
		_, size = cutString(rest)
	}
	v := Value{raw: rest[:size:size]}
	if inside > 0 {
		v.nodes, w.nodes = w.nodes[:inside:inside], w.nodes[inside:]
	}
	w.pos += size
	return v
}

// cutString reads the string at the start of checked input and says how many
// bytes its encoding takes.
func cutString(raw []byte) (content []byte, size int) {
	n, i := 0, 0
	for ; raw[i] != ':'; i++ {
		n = n*10 + int(raw[i]-'0')
	}
	size = i + 1 + n
	return raw[i+1 : size : size], size
}
