// Package notify tells operators what a fleet does: by webhook, by mail, by a
// command of their own. What is told, and when, is the controller's; this
// package carries it, says in plain words what could not be carried, and does
// not tell an outlet twice what it has taken. docs/notices.md has the formats.
package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"shoal"
)

// Options are the outlets.
type Options struct {
	Webhooks []Webhook
	Mails    []Mail
	Commands []Command
}

// Filter says which notices an outlet gets.
type Filter struct {
	Sites []string // those that touch one of these data centres, and those of the whole fleet; none is all
	Kinds []string // of these kinds; none is all
}

func (f Filter) wants(n shoal.Notice) bool {
	touches := len(f.Sites) == 0 || len(n.Sites) == 0 || slices.ContainsFunc(n.Sites, func(s string) bool { return slices.Contains(f.Sites, s) })
	return touches && (len(f.Kinds) == 0 || slices.Contains(f.Kinds, n.Kind))
}

// outlet is a way to tell somebody.
type outlet interface {
	send(ctx context.Context, n shoal.Notice) error
	filter() Filter
	String() string // what it is, without a secret
	check() error
}

// Notifier tells all outlets.
type Notifier struct {
	outlets []outlet

	mu    sync.Mutex
	taken map[string]map[int]bool // ID of a notice that some took and some did not, to which
	order []string                // IDs in taken, the oldest first
}

// remembered bounds the notices that are kept in mind.
const remembered = 1000

// New checks the options.
func New(o Options) (*Notifier, error) {
	n := &Notifier{taken: map[string]map[int]bool{}}
	for i := range o.Webhooks {
		n.outlets = append(n.outlets, &o.Webhooks[i])
	}
	for i := range o.Mails {
		n.outlets = append(n.outlets, &o.Mails[i])
	}
	for i := range o.Commands {
		n.outlets = append(n.outlets, &o.Commands[i])
	}
	var errs []error
	for _, out := range n.outlets {
		if err := out.check(); err != nil {
			errs = append(errs, fmt.Errorf("notices by %s: %w", out, err))
		}
	}
	return n, errors.Join(errs...)
}

// Empty tells that nobody is told.
func (n *Notifier) Empty() bool { return len(n.outlets) == 0 }

// Send tells all outlets that want the notice at the same time. After an error
// it can be called again, and tells only those that have not taken it yet.
func (n *Notifier) Send(ctx context.Context, notice shoal.Notice) error {
	notice.Text = oneLine(notice.Text)
	errs := make([]error, len(n.outlets))
	var group errgroup.Group
	for i, out := range n.outlets {
		if !out.filter().wants(notice) || n.has(notice.ID, i) {
			continue
		}
		group.Go(func() error {
			if err := out.send(ctx, notice); err != nil {
				errs[i] = fmt.Errorf("notice %s by %s: %w", notice.ID, out, err)
			} else {
				n.took(notice.ID, i)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in errs
	return errors.Join(errs...)
}

func (n *Notifier) has(id string, i int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken[id][i]
}

func (n *Notifier) took(id string, i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken[id] == nil {
		n.taken[id] = map[int]bool{}
		if n.order = append(n.order, id); len(n.order) > remembered {
			delete(n.taken, n.order[0])
			n.order = n.order[1:]
		}
	}
	n.taken[id][i] = true
}

// oneLine takes out what would break a line, a header or a terminal.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
}
