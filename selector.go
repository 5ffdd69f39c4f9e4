package shoal

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds on selectors and the labels they speak of.
const (
	MaxLabel        = 63   // characters of a label's key, and of its value
	MaxSelector     = 4096 // bytes of a selector
	MaxRequirements = 32
)

// All is the selector that every host matches; it has to be said, because an
// empty selector is more often a slip of the shell than a wish.
const All = "all"

// Selector says which hosts. All of its requirements have to hold:
//
//	role=web              the label is there and has this value
//	role in (web,api)     ... one of these values
//	dc!=lab               the label has another value, or is not there
//	dc notin (lab,spare)  ... none of these values, or is not there
//	gpu                   the label is there
//	!gpu                  the label is not there
//	all                   every host
//
// Commas separate requirements. These are the words and the meaning of
// Kubernetes' label selectors, except that there is no == and that a selector
// is never empty. The keys host, dc and rack are known of every host.
type Selector struct {
	requirements []requirement
}

type requirement struct {
	key    string
	op     operator
	values []string // sorted, distinct; none for exists and absent
}

type operator uint8

const (
	exists operator = iota
	absent
	in
	notIn
)

// ParseSelector reads a selector.
func ParseSelector(s string) (Selector, error) {
	if len(s) > MaxSelector {
		return Selector{}, fmt.Errorf("selector has %d bytes, more than %d", len(s), MaxSelector)
	}
	p := selectorParser{rest: s}
	if p.skip(); p.rest == "" {
		return Selector{}, fmt.Errorf("the selector is empty: write %q for every host, or something like role=web,dc!=lab", All)
	}
	var sel Selector
	for {
		r, err := p.requirement()
		if err != nil {
			return Selector{}, fmt.Errorf("selector %.80q at byte %d: %w", s, len(s)-len(p.rest)+1, err)
		}
		sel.requirements = append(sel.requirements, r)
		if p.skip(); p.rest == "" {
			break
		}
		if !p.take(",") {
			return Selector{}, fmt.Errorf("selector %.80q at byte %d: requirements are separated by commas", s, len(s)-len(p.rest)+1)
		}
		if len(sel.requirements) == MaxRequirements {
			return Selector{}, fmt.Errorf("selector %.80q...: more than %d requirements", s, MaxRequirements)
		}
	}
	if len(sel.requirements) == 1 && sel.requirements[0].key == All && sel.requirements[0].op == exists {
		return Selector{requirements: []requirement{}}, nil
	}
	for _, r := range sel.requirements {
		if r.key == All {
			return Selector{}, fmt.Errorf("selector %.80q: %q stands alone", s, All)
		}
	}
	return sel, nil
}

type selectorParser struct{ rest string }

func (p *selectorParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take skips blanks and then token, if it is next.
func (p *selectorParser) take(token string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

// word takes the longest run of characters that labels are made of.
func (p *selectorParser) word(extra string) string {
	p.skip()
	n := 0
	for n < len(p.rest) && (alphanumeric(p.rest[n]) || strings.IndexByte(extra, p.rest[n]) >= 0) {
		n++
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *selectorParser) requirement() (requirement, error) {
	if p.take("!") {
		key, err := p.key()
		return requirement{key: key, op: absent}, err
	}
	key, err := p.key()
	if err != nil {
		return requirement{}, err
	}
	switch {
	case p.take("!="):
		v, err := p.value(key)
		return requirement{key, notIn, []string{v}}, err
	case p.take("=="):
		return requirement{}, fmt.Errorf("write %s=..., with one =", key)
	case p.take("="):
		v, err := p.value(key)
		return requirement{key, in, []string{v}}, err
	}
	before := *p
	switch w := p.word("_"); w {
	case "":
		return requirement{key: key, op: exists}, nil
	case "in":
		vs, err := p.set(key)
		return requirement{key, in, vs}, err
	case "notin":
		vs, err := p.set(key)
		return requirement{key, notIn, vs}, err
	default:
		*p = before
		return requirement{}, fmt.Errorf("%q after %s: expected =, !=, in (...) or notin (...)", w, key)
	}
}

func (p *selectorParser) key() (string, error) {
	key := p.word("._-/")
	return key, checkName("label", key, MaxLabel, "._-/")
}

func (p *selectorParser) value(key string) (string, error) {
	v := p.word("._-/:+")
	longest := MaxLabel
	if key == "host" {
		longest = 253
	}
	return v, checkName("value of "+key, v, longest, "._-/:+")
}

func (p *selectorParser) set(key string) ([]string, error) {
	if !p.take("(") {
		return nil, fmt.Errorf("the values of %s stand in parentheses: (a,b)", key)
	}
	var vs []string
	for {
		v, err := p.value(key)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
		if p.take(")") {
			slices.Sort(vs)
			return slices.Compact(vs), nil
		}
		if !p.take(",") {
			return nil, fmt.Errorf("the values of %s are separated by commas and end with )", key)
		}
	}
}

// IsZero tells that the selector was never set; it matches nobody.
func (s Selector) IsZero() bool { return s.requirements == nil }

// Matches tells whether a host meets all requirements.
func (s Selector) Matches(h Host) bool {
	for _, r := range s.requirements {
		v, ok := h.Label(r.key)
		var holds bool
		switch r.op {
		case exists:
			holds = ok
		case absent:
			holds = !ok
		case in:
			holds = ok && slices.Contains(r.values, v)
		case notIn:
			holds = !ok || !slices.Contains(r.values, v)
		}
		if !holds {
			return false
		}
	}
	return s.requirements != nil
}

// String is a form that ParseSelector reads as the same selector.
func (s Selector) String() string {
	if s.requirements == nil {
		return ""
	}
	if len(s.requirements) == 0 {
		return All
	}
	var b strings.Builder
	for i, r := range s.requirements {
		if i > 0 {
			b.WriteByte(',')
		}
		one := len(r.values) == 1
		switch {
		case r.op == exists:
			b.WriteString(r.key)
		case r.op == absent:
			b.WriteString("!" + r.key)
		case r.op == in && one:
			b.WriteString(r.key + "=" + r.values[0])
		case r.op == notIn && one:
			b.WriteString(r.key + "!=" + r.values[0])
		case r.op == in:
			b.WriteString(r.key + " in (" + strings.Join(r.values, ",") + ")")
		default:
			b.WriteString(r.key + " notin (" + strings.Join(r.values, ",") + ")")
		}
	}
	return b.String()
}

// MarshalText is String.
func (s Selector) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSelector; an empty text is the zero Selector.
func (s *Selector) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*s = Selector{}
		return nil
	}
	*s, err = ParseSelector(string(text))
	return err
}
