package bencode

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Raw is a value that is encoded already; Append takes it as it is.
type Raw []byte

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	dst = append(dst, 'i')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, 'e')
}

// AppendString appends a byte string.
func AppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	return append(dst, s...)
}

// AppendStrings appends a list of byte strings.
func AppendStrings(dst []byte, list []string) []byte {
	dst = append(dst, 'l')
	for _, s := range list {
		dst = AppendString(dst, s)
	}
	return append(dst, 'e')
}

// Append appends the canonical encoding of v, which is a string, []byte, int,
// int64, uint32, []string, []any, map[string]any, Raw or Value.
func Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return AppendString(dst, v), nil
	case []byte:
		return AppendString(dst, v), nil
	case int:
		return AppendInt(dst, int64(v)), nil
	case int64:
		return AppendInt(dst, v), nil
	case uint32:
		return AppendInt(dst, int64(v)), nil
	case Raw:
		return append(dst, v...), nil
	case Value:
		return v.AppendCanonical(dst), nil
	case []string:
		return AppendStrings(dst, v), nil
	case []any:
		return appendList(dst, v)
	case map[string]any:
		return appendDict(dst, v)
	}
	return dst, fmt.Errorf("bencode: no encoding for %T", v)
}

func appendList(dst []byte, list []any) (_ []byte, err error) {
	dst = append(dst, 'l')
	for _, e := range list {
		if dst, err = Append(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, 'e'), nil
}

func appendDict(dst []byte, dict map[string]any) (_ []byte, err error) {
	dst = append(dst, 'd')
	for _, k := range slices.Sorted(maps.Keys(dict)) {
		dst = AppendString(dst, k)
		if dst, err = Append(dst, dict[k]); err != nil {
			return dst, fmt.Errorf("%s: %w", k, err)
		}
	}
	return append(dst, 'e'), nil
}

// Encoder writes one document piece by piece into memory. The caller brings
// keys in order; the first misuse is kept and told by Finish. The zero Encoder
// is ready.
type Encoder struct {
	buf   []byte
	stack []level
	done  bool
	err   error
}

type level struct {
	dict  bool
	any   bool // a key came before
	keyed bool // the value of a key comes next
	start int  // of the last key's content in buf
	end   int
}

// Grow makes room for n more bytes.
func (e *Encoder) Grow(n int) { e.buf = slices.Grow(e.buf, n) }

// Dict opens a dictionary: Key and a value in turns, then End.
func (e *Encoder) Dict() { e.begin('d') }

// List opens a list: values, then End.
func (e *Encoder) List() { e.begin('l') }

func (e *Encoder) begin(c byte) {
	e.place()
	e.buf = append(e.buf, c)
	e.stack = append(e.stack, level{dict: c == 'd'})
	e.done = false
}

// End closes what was opened last.
func (e *Encoder) End() {
	if len(e.stack) == 0 {
		e.fail("End without Dict or List")
		return
	}
	if e.stack[len(e.stack)-1].keyed {
		e.fail("End behind a key")
	}
	e.stack = e.stack[:len(e.stack)-1]
	e.buf = append(e.buf, 'e')
	e.done = len(e.stack) == 0
}

// Key writes a key, which sorts behind the one before it.
func (e *Encoder) Key(key string) {
	if len(e.stack) == 0 || !e.stack[len(e.stack)-1].dict || e.stack[len(e.stack)-1].keyed {
		e.fail("key %q where no key can stand", key)
		return
	}
	top := &e.stack[len(e.stack)-1]
	if top.any && string(e.buf[top.start:top.end]) >= key {
		e.fail("key %q behind key %q", key, e.buf[top.start:top.end])
	}
	e.buf = AppendString(e.buf, key)
	top.any, top.keyed = true, true
	top.start, top.end = len(e.buf)-len(key), len(e.buf)
}

// Int writes an integer.
func (e *Encoder) Int(n int64) { e.place(); e.buf = AppendInt(e.buf, n) }

// String writes a byte string.
func (e *Encoder) String(s string) { e.place(); e.buf = AppendString(e.buf, s) }

// Bytes writes a byte string.
func (e *Encoder) Bytes(b []byte) { e.place(); e.buf = AppendString(e.buf, b) }

// Raw writes a value that is encoded already.
func (e *Encoder) Raw(value []byte) { e.place(); e.buf = append(e.buf, value...) }

// place checks that a value may stand here.
func (e *Encoder) place() {
	if len(e.stack) == 0 {
		if e.done {
			e.fail("a second value behind the first")
		}
		e.done = true
		return
	}
	top := &e.stack[len(e.stack)-1]
	if top.dict && !top.keyed {
		e.fail("a value without a key")
	}
	top.keyed = false
}

func (e *Encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("bencode: "+format, args...)
	}
}

// Finish returns the document.
func (e *Encoder) Finish() ([]byte, error) {
	if e.err == nil && !e.done {
		e.err = errors.New("bencode: the document is not finished")
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.buf, nil
}
