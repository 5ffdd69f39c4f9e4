package wire

import (
	"net/netip"

	"shoal/internal/bt/bencode"
)

// extLimits bound the bencoded part of an extension message.
func extLimits() bencode.Limits {
	return bencode.Limits{Size: MaxExtended, Depth: 16, Values: 8192}
}

// parseDict reads a body that is one dictionary and nothing else.
func parseDict(body []byte, what string) (bencode.Value, error) {
	root, err := bencode.Parse(body, extLimits())
	if err != nil {
		return root, malformed(what, "%v", err)
	}
	if root.Kind() != bencode.Dict {
		return root, malformed(what, "%v, want a dictionary", root.Kind())
	}
	return root, nil
}

// finish returns what e wrote. Its keys are constants in order or sorted, so that
// an error is a mistake in this package.
func finish(e *bencode.Encoder) []byte {
	b, err := e.Finish()
	if err != nil {
		panic("wire: cannot happen: " + err.Error())
	}
	return b
}

func intField(e *bencode.Encoder, key string, n int64) {
	if n > 0 {
		e.Key(key)
		e.Int(n)
	}
}

func textField(e *bencode.Encoder, key, s string) {
	if s != "" {
		e.Key(key)
		e.String(s)
	}
}

func addrField(e *bencode.Encoder, key string, a netip.Addr) {
	if a.IsValid() {
		e.Key(key)
		e.Bytes(a.AsSlice())
	}
}

// bounded is v's number if it is from 0 to most, else 0.
func bounded(v bencode.Value, most int64) int64 {
	if n, ok := v.Int(); ok && n >= 0 && n <= most {
		return n
	}
	return 0
}

// text is v's string, cut to most bytes.
func text(v bencode.Value, most int) string {
	b, _ := v.Bytes()
	return string(b[:min(len(b), most)])
}

// addrOf is v's address if it has size bytes (0: either size), else the zero Addr.
func addrOf(v bencode.Value, size int) netip.Addr {
	b, _ := v.Bytes()
	if size != 0 && len(b) != size {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
