package fleetstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A watch is an ordered consumer: the client notices a gap or a server that is
// gone, and goes on behind the last message that it got.

func (s *jetStream) Watch(ctx context.Context, b Bucket, see func(Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix := s.prefix + ".e." + string(b) + "."
	consumer, err := s.entries.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{prefix + ">"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", b, failed(err))
	}
	// The consumer may be at a server of the cluster that is behind. What the
	// leader of the stream has is what a watch has caught up with.
	var last uint64
	switch m, err := s.newest(ctx, s.entries, prefix+">"); {
	case err == nil:
		last = m.Sequence
	case !errors.Is(err, ErrNone):
		return fmt.Errorf("watch %s: %w", b, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("watch %s: %w", b, failed(err))
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	w := watching{see: see, prefix: prefix, last: last}
	if last == 0 {
		if err := w.catchUp(); err != nil {
			return err
		}
	}
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the consumer is being made anew
		case err != nil:
			return fmt.Errorf("watch %s: %w", b, failed(err))
		}
		if err := w.take(m); err != nil {
			return err
		}
	}
}

// watching is how far a watch has come.
type watching struct {
	see    func(Change) error
	prefix string // of subjects
	last   uint64 // what it has to have seen to be caught up
	caught bool
}

func (w *watching) catchUp() error {
	w.caught = true
	return w.see(Change{Caught: true})
}

func (w *watching) take(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("watch: a message without its number: %w", err)
	}
	key, ok := unescape(strings.TrimPrefix(m.Subject(), w.prefix))
	gone := m.Headers().Get(goneHeader) != ""
	if ok && (!gone || w.caught) {
		e := Entry{Key: key, Revision: meta.Sequence.Stream}
		if !gone {
			e.Value = m.Data()
		}
		if err := w.see(Change{Entry: e, Gone: gone}); err != nil {
			return err
		}
	}
	if !w.caught && meta.Sequence.Stream >= w.last {
		return w.catchUp()
	}
	return nil
}

var errEnough = errors.New("enough")

func (s *jetStream) List(ctx context.Context, b Bucket) ([]Entry, error) {
	newest := map[string]Entry{}
	err := s.Watch(ctx, b, func(c Change) error {
		switch {
		case c.Caught:
			return errEnough
		case c.Gone:
			delete(newest, c.Key)
		default:
			newest[c.Key] = c.Entry
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		return nil, err
	}
	list := make([]Entry, 0, len(newest))
	for _, e := range newest {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}
