package announce

import (
	"errors"
	"strings"
)

// cursor reads bencode from front to back without building a tree. Every step either moves forward inside the
// body or fails, so the work is bounded by its length, and nothing is allocated.
type cursor struct {
	b   []byte
	err error
}

var errBencode = errors.New("not bencoded")

const maxDepth = 16 // of values that are skipped

func (c *cursor) fail() {
	c.err, c.b = errBencode, nil
}

// peek is the next byte, 0 at the end or after a failure.
func (c *cursor) peek() byte {
	if len(c.b) == 0 {
		return 0
	}
	return c.b[0]
}

// open enters a dictionary ('d') or a list ('l').
func (c *cursor) open(kind byte) bool {
	if c.peek() != kind {
		c.fail()
		return false
	}
	c.b = c.b[1:]
	return true
}

// more tells whether another element follows; it steps over the end mark.
func (c *cursor) more() bool {
	switch c.peek() {
	case 0:
		c.fail()
		return false
	case 'e':
		c.b = c.b[1:]
		return false
	}
	return true
}

// bytes reads a string, as a piece of the body.
func (c *cursor) bytes() []byte {
	n, i := 0, 0
	for ; i < len(c.b) && '0' <= c.b[i] && c.b[i] <= '9'; i++ {
		if n = n*10 + int(c.b[i]-'0'); n > len(c.b) {
			c.fail()
			return nil
		}
	}
	if i == 0 || i >= len(c.b) || c.b[i] != ':' || n > len(c.b)-i-1 {
		c.fail()
		return nil
	}
	s := c.b[i+1 : i+1+n]
	c.b = c.b[i+1+n:]
	return s
}

// int reads an integer; one that does not fit is clamped to 64 bits' half, for trackers that send wrapped -1.
func (c *cursor) int() int64 {
	if !c.open('i') {
		return 0
	}
	neg := c.peek() == '-'
	if neg {
		c.b = c.b[1:]
	}
	const limit = 1 << 62
	var n int64
	i := 0
	for ; i < len(c.b) && '0' <= c.b[i] && c.b[i] <= '9'; i++ {
		if n < limit/16 {
			n = n*10 + int64(c.b[i]-'0')
		} else {
			n = limit
		}
	}
	if i == 0 || i >= len(c.b) || c.b[i] != 'e' {
		c.fail()
		return 0
	}
	c.b = c.b[i+1:]
	if neg {
		return -n
	}
	return n
}

// skip steps over one value of any kind.
func (c *cursor) skip(depth int) {
	switch k := c.peek(); {
	case depth > maxDepth:
		c.fail()
	case k == 'i':
		c.int()
	case k == 'l' || k == 'd':
		c.b = c.b[1:]
		for c.more() {
			if k == 'd' {
				c.bytes()
			}
			c.skip(depth + 1)
		}
	default:
		c.bytes()
	}
}

// text reads a string for humans, or steps over a value of another kind.
func (c *cursor) text() string {
	if k := c.peek(); k < '0' || k > '9' {
		c.skip(0)
		return ""
	}
	return printable(c.bytes())
}

// number reads an integer, or steps over a value of another kind; below zero becomes zero.
func (c *cursor) number() int64 {
	if c.peek() != 'i' {
		c.skip(0)
		return 0
	}
	return max(c.int(), 0)
}

// printable makes text from outside safe to show: bounded, no control characters, valid UTF-8.
func printable(b []byte) string {
	s := strings.ToValidUTF8(cut(string(b)), "\ufffd")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
