package httpfront

import "bytes"

// head is the head of a plain request: GET of /announce or /scrape without a body and without anything that
// changes how it must be read. What a head does not fit into is left to net/http, so this parser may be as narrow
// as it likes, but whatever it accepts it must understand as net/http does. It allocates nothing; the slices are
// of the buffer.
type head struct {
	size      int // bytes, with the empty line
	scrape    bool
	old       bool // HTTP/1.0
	last      bool // no other request comes on this connection
	query     []byte
	forwarded [maxForwarded][]byte // values of X-Forwarded-For
	hops      int
}

const maxForwarded = 4 // lines of X-Forwarded-For that are read here

// verdict is what to do with the bytes of a connection.
type verdict uint8

const (
	more  verdict = iota // not a whole head yet
	plain                // a head
	other                // for net/http
)

var (
	getAnnounce = []byte("GET /announce")
	getScrape   = []byte("GET /scrape")
)

// parseHead reads the head at the start of b.
func parseHead(b []byte, h *head) verdict {
	if !begins(b, getAnnounce) && !begins(b, getScrape) {
		return other
	}
	// Lines that end without a carriage return are net/http's, and it must get to see them at once.
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		switch {
		case n < 0:
			return more
		case n == 0 || b[at+n-1] != '\r':
			return other
		case n == 1:
			return h.parse(b[:at+2])
		}
		at += n + 1
	}
}

// begins tells that b starts with the prefix, as far as it goes.
func begins(b, prefix []byte) bool {
	n := min(len(b), len(prefix))
	return bytes.Equal(b[:n], prefix[:n])
}

// parse reads a whole head, all of whose lines end with CRLF.
func (h *head) parse(b []byte) verdict {
	*h = head{size: len(b)}
	line, rest := cutLine(b)
	if !h.parseRequestLine(line) {
		return other
	}
	hosts := 0
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !all(line[:colon], isToken) || !all(line[colon+1:], isValue) {
			return other
		}
		name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
		if is(name, "host") {
			hosts++
			if !all(value, isHost) {
				return other
			}
		} else if !h.header(name, value) {
			return other
		}
	}
	if hosts != 1 && !(hosts == 0 && h.old) {
		return other
	}
	return plain
}

// cutLine gives the first line without its CRLF, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	n := bytes.IndexByte(b, '\n')
	return b[:n-1], b[n+1:]
}

// parseRequestLine reads "GET /announce?query HTTP/1.1".
func (h *head) parseRequestLine(line []byte) bool {
	line = line[len("GET "):]
	space := bytes.IndexByte(line, ' ')
	if space < 0 {
		return false
	}
	target, version := line[:space], line[space+1:]
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.old, h.last = true, true
	default:
		return false
	}
	path, query, _ := bytes.Cut(target, []byte("?"))
	switch string(path) {
	case "/announce":
	case "/scrape":
		h.scrape = true
	default:
		return false
	}
	h.query = query
	return all(query, isQuery)
}

// header takes one header other than Host; false when it is one that net/http must judge.
func (h *head) header(name, value []byte) bool {
	switch {
	case is(name, "content-length"), is(name, "transfer-encoding"), is(name, "expect"), is(name, "trailer"), is(name, "upgrade"):
		return false
	case is(name, "connection"):
		switch {
		case is(value, "close"):
			h.last = true
		case !is(value, "keep-alive"), h.old:
			return false
		}
	case is(name, "x-forwarded-for"):
		if h.hops == maxForwarded {
			return false
		}
		h.forwarded[h.hops] = value
		h.hops++
	}
	return true
}

// is compares a name in any case with one in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Bytes by what they may be part of.
const (
	isToken = 1 << iota // of a header's name (RFC 9110, section 5.6.2)
	isValue             // of a header's value
	isHost              // of a host as we read it
	isQuery             // of a query
)

var classes = func() (t [256]byte) {
	for i := range t {
		c := byte(i)
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if letter || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0 {
			t[i] |= isToken
		}
		if c == '\t' || ' ' <= c && c != 0x7f {
			t[i] |= isValue
		}
		if letter || bytes.IndexByte([]byte("-._:[]"), c) >= 0 {
			t[i] |= isHost
		}
		if ' ' < c && c != 0x7f {
			t[i] |= isQuery
		}
	}
	return t
}()

func all(b []byte, class byte) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}
