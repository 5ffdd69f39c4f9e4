package announce

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/bt/multihome"
)

// Bounds of a ledger.
const (
	MaxMoved = 64      // data centres that one names
	MaxBytes = 1 << 60 // of one of its counters; more makes no sense
)

// Slow is why a peer that lacks something is not faster, as it sees itself.
type Slow string

// Reasons. None is the empty one: it does not know, or is fast.
const (
	SlowLimit       Slow = "limit"       // one of its own limits
	SlowDisk        Slow = "disk"        // it waits for its disk, or that is full
	SlowCPU         Slow = "cpu"         // tasks on it wait for a CPU
	SlowUnreachable Slow = "unreachable" // it is connected to nobody
	SlowNobody      Slow = "nobody"      // it is connected, and nobody sends: no peer has what it lacks, or has room
)

// Ledger is what a shoal peer tells a tracker of shoal of the bytes that it has moved since its start (HTTP only;
// docs/protocol.md, "What a peer tells of its bytes"). The zero value tells nothing.
type Ledger struct {
	DC    string // where it takes itself to be; empty: it does not know
	Size  int64  // bytes of the whole content; 0: nothing is told
	Slow  Slow
	Moved []Moved // by data centre of the other side, each once
}

// Moved is payload to and from the peers of one data centre; an empty name is those of unknown place.
type Moved struct {
	DC       string
	Up, Down int64
}

// appendQuery adds the parameters. Of more data centres than fit, those with the fewest bytes count as unknown.
func (l *Ledger) appendQuery(dst []byte) []byte {
	if l == nil || l.Size <= 0 {
		return dst
	}
	dst = appendInt(dst, "&size=", l.Size)
	if isName(l.DC) {
		dst = append(append(dst, "&dc="...), l.DC...)
	}
	if l.Slow != "" {
		dst = append(append(dst, "&slow="...), l.Slow...)
	}
	dst = append(dst, "&moved="...)
	for i, m := range bound(l.Moved) {
		if i > 0 {
			dst = append(dst, '~')
		}
		dst = append(append(dst, m.DC...), '~')
		dst = append(strconv.AppendInt(dst, m.Up, 10), '~')
		dst = strconv.AppendInt(dst, m.Down, 10)
	}
	return dst
}

func bound(all []Moved) []Moved {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Moved) int { return cmp.Or(cmp.Compare(b.Up+b.Down, a.Up+a.Down), cmp.Compare(a.DC, b.DC)) })
	var rest Moved
	kept := all[:0]
	for _, m := range all {
		if len(kept) < MaxMoved-1 && isName(m.DC) {
			kept = append(kept, m)
			continue
		}
		rest.Up += m.Up
		rest.Down += m.Down
	}
	if rest != (Moved{}) {
		kept = append(kept, rest)
	}
	return kept
}

// param takes one parameter of a query. What makes no sense counts as not sent.
func (l *Ledger) param(key, val string) {
	switch key {
	case "dc":
		if isName(val) {
			l.DC = val
		}
	case "size":
		l.Size, _ = byteCount(val)
	case "slow":
		switch s := Slow(val); s {
		case SlowLimit, SlowDisk, SlowCPU, SlowUnreachable, SlowNobody:
			l.Slow = s
		}
	case "moved":
		l.Moved = parseMoved(val)
	}
}

// parseMoved reads NAME~UP~DOWN~NAME~UP~DOWN...; all or nothing.
func parseMoved(val string) []Moved {
	n := (strings.Count(val, "~") + 1) / 3
	if val == "" || n > MaxMoved {
		return nil
	}
	out := make([]Moved, 0, n)
	for rest, more := val, true; more; {
		var m Moved
		var up, down string
		m.DC, rest, _ = strings.Cut(rest, "~")
		up, rest, _ = strings.Cut(rest, "~")
		down, rest, more = strings.Cut(rest, "~")
		var ok1, ok2 bool
		m.Up, ok1 = byteCount(up)
		m.Down, ok2 = byteCount(down)
		if !ok1 || !ok2 || m.DC != "" && !isName(m.DC) || slices.ContainsFunc(out, func(o Moved) bool { return o.DC == m.DC }) {
			return nil
		}
		out = append(out, m)
	}
	return out
}

func byteCount(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > MaxBytes {
		return 0, false
	}
	return int64(n), true
}

// isName tells whether a text can be the name of a data centre: letters, digits, dot, dash and underscore; what is
// unknown has none.
func isName(s string) bool {
	return s != "" && len(s) <= MaxDC && !strings.EqualFold(s, "unknown") && multihome.Plain(s)
}
