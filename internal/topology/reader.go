package topology

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"shoal/internal/quantity"
)

// reader walks a YAML document and notes what is wrong with it, by line: the
// decoder's own messages would speak of Go types.
type reader struct {
	errs []error
	bad  map[*yaml.Node]bool
}

// keys are what a mapping may have, and what to do with each.
type keys map[string]func(v *yaml.Node)

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if r.bad == nil {
		r.bad = map[*yaml.Node]bool{}
	}
	r.bad[n] = true
	r.failLine(n.Line, format, args...)
}

func (r *reader) failLine(line int, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("topology: line %d: %s", line, fmt.Sprintf(format, args...)))
}

// failed tells whether a node or something in it is wrong already, so that one
// mistake is told once.
func (r *reader) failed(n *yaml.Node) bool {
	if r.bad[n] {
		return true
	}
	for _, c := range n.Content {
		if r.failed(c) {
			return true
		}
	}
	return false
}

// mapping hands each value of a mapping to its key's function.
func (r *reader) mapping(n *yaml.Node, what string, known keys) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s is no mapping; write `key: value` lines", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		read := known[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || read == nil:
			r.fail(key, "%s has no key %q; its keys are %s", what, key.Value, strings.Join(known.sorted(), ", "))
		case seen[key.Value]:
			r.fail(key, "%s has the key %q twice", what, key.Value)
		default:
			read(v)
		}
		seen[key.Value] = true
	}
}

// list returns the items of a sequence, of which there may be so many.
func (r *reader) list(n *yaml.Node, key string, most int) []*yaml.Node {
	switch {
	case n.Kind != yaml.SequenceNode:
		r.fail(n, "%s is no list; write [a, b] or lines that begin with a dash", key)
		return nil
	case len(n.Content) > most:
		r.fail(n, "%s has %d entries, more than %d", key, len(n.Content), most)
		return nil
	}
	return n.Content
}

// text returns a scalar as it was written. Aliases are not followed: a file of
// names and rates has no need of them.
func (r *reader) text(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "%s is no single value", key)
		return ""
	}
	return n.Value
}

func (r *reader) rate(n *yaml.Node, key string) int64 {
	v, err := quantity.ParseRate(r.text(n, key))
	if err != nil && !r.failed(n) {
		r.fail(n, "%s: %v", key, err)
	}
	return v
}
