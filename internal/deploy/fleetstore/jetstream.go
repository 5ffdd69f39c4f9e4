package fleetstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shoal"
)

// jetStream is the engine that keeps state: three streams, whose subjects are
//
//	PREFIX.e.BUCKET.KEY   entries: the newest message of each subject counts
//	PREFIX.j.NAME         the journal: one message a subject
//	PREFIX.b.NAME.N       blobs, in chunks
//
// A revision is a message's number in its stream. Compare-and-swap is the
// header Nats-Expected-Last-Subject-Sequence (NATS ADR-8), so it holds whoever
// writes, and for a record of the journal and a chunk of a blob it is "none".
type jetStream struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	embedded *embedded // nil when the engine is elsewhere
	prefix   string
	patience time.Duration // for one call
	entries  jetstream.Stream
	journal  jetstream.Stream
	blobs    jetstream.Stream
	closing  sync.Once
	closed   error
}

const (
	goneHeader = "Shoal-Gone" // on the message that says that an entry was removed
	// goneFor is how long that message stays: every watch has seen it by then, or
	// begins anew.
	goneFor      = 24 * time.Hour
	callFor      = 5 * time.Second  // for one call, to a server elsewhere
	callOwn      = 30 * time.Second // to the one in this process: its answers are late on a busy machine, and never lost
	setUpFor     = 30 * time.Second
	journalBytes = 2 << 30 // about ten million orders; the oldest go first
	chunkBytes   = 512 << 10
)

func newJetStream(ctx context.Context, conn *nats.Conn, o Options) (*jetStream, error) {
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(callFor))
	if err != nil {
		return nil, err
	}
	s := &jetStream{conn: conn, js: js, prefix: o.Prefix, patience: callFor}
	if o.URL == "" {
		s.patience = callOwn
	}
	base := jetstream.StreamConfig{Storage: jetstream.FileStorage, Replicas: o.Replicas, Duplicates: time.Second}
	for _, want := range []struct {
		stream *jetstream.Stream
		name   string
		config func(*jetstream.StreamConfig)
	}{
		{&s.entries, "e", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.AllowMsgTTL = 1, true }},
		{&s.journal, "j", func(c *jetstream.StreamConfig) { c.MaxBytes = journalBytes }},
		{&s.blobs, "b", func(c *jetstream.StreamConfig) {}},
	} {
		c := base
		c.Name, c.Subjects = o.Prefix+"-"+want.name, []string{o.Prefix + "." + want.name + ".>"}
		want.config(&c)
		if *want.stream, err = s.setUp(ctx, c); err != nil {
			return nil, fmt.Errorf("stream %s of %d replicas: %w: see that JetStream is on, and that as many servers have it", c.Name, o.Replicas, err)
		}
	}
	return s, nil
}

// setUp makes a stream. A cluster that is still electing its leader gets time.
func (s *jetStream) setUp(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpFor)
	defer cancel()
	for {
		stream, err := s.createOrUpdate(ctx, c)
		if err == nil || !passing(err) {
			return stream, failed(err)
		}
		select {
		case <-ctx.Done():
			return nil, failed(err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *jetStream) createOrUpdate(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := s.oneCall(ctx)
	defer cancel()
	return s.js.CreateOrUpdateStream(ctx, c)
}

// oneCall bounds a call: with a connection that breaks its answer may be lost, and
// it would be waited for as long as the caller has patience for all that it does.
func (s *jetStream) oneCall(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.patience)
}

// passing tells of an error that may be over soon.
func passing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrJetStreamNotEnabled)
}

// failed gives an error of the engine its kind; nil stays nil.
func failed(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", err, shoal.ErrUnavailable)
}

// Codes of the server for "not the sequence that was expected": of a stream
// with one replica, and with several.
const (
	codeWrongSequence        = 10071
	codeWrongSequenceCluster = 10164
)

func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeWrongSequence || api.ErrorCode == codeWrongSequenceCluster)
}

func (s *jetStream) subject(b Bucket, key string) string {
	return s.prefix + ".e." + string(b) + "." + escape(key)
}

// publish stores a message, if the newest one of its subject is after.
func (s *jetStream) publish(ctx context.Context, subject string, header nats.Header, data []byte, after uint64) (uint64, error) {
	if limit := s.conn.MaxPayload(); limit > 0 && int64(len(data)) > limit-4<<10 {
		return 0, fmt.Errorf("%d bytes for %.200s, and the NATS server takes %d: raise its max_payload: %w", len(data), subject, limit, ErrSize)
	}
	var options []jetstream.PublishOpt
	if after != Any {
		options = append(options, jetstream.WithExpectLastSequencePerSubject(after))
	}
	ctx, cancel := s.oneCall(ctx)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: data}, options...)
	switch {
	case wrongSequence(err):
		return 0, ErrStale
	case err != nil:
		return 0, failed(err)
	}
	return ack.Sequence, nil
}

// newest is the newest message of a subject; ErrNone.
func (s *jetStream) newest(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := s.oneCall(ctx)
	defer cancel()
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNone
	}
	return m, failed(err)
}

func (s *jetStream) Get(ctx context.Context, b Bucket, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, err
	}
	m, err := s.newest(ctx, s.entries, s.subject(b, key))
	if err == nil && m.Header.Get(goneHeader) != "" {
		err = ErrNone
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s/%.80s: %w", b, key, err)
	}
	return Entry{key, m.Data, m.Sequence}, nil
}

func (s *jetStream) Put(ctx context.Context, b Bucket, key string, value []byte, after uint64) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	subject := s.subject(b, key)
	seq, err := s.publish(ctx, subject, nil, value, after)
	if after == 0 && errors.Is(err, ErrStale) {
		// What is there may be the mark of an entry that was removed.
		if m, _ := s.newest(ctx, s.entries, subject); m != nil && m.Header.Get(goneHeader) != "" {
			seq, err = s.publish(ctx, subject, nil, value, m.Sequence)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s/%.80s: %w", b, key, err)
	}
	return seq, nil
}

func (s *jetStream) Delete(ctx context.Context, b Bucket, key string, after uint64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	switch _, err := s.Get(ctx, b, key); {
	case errors.Is(err, ErrNone) && (after == Any || after == 0):
		return nil
	case errors.Is(err, ErrNone):
		return fmt.Errorf("%s/%.80s: %w", b, key, ErrStale)
	case err != nil:
		return err
	}
	header := nats.Header{goneHeader: {"1"}, jetstream.MsgTTLHeader: {goneFor.String()}}
	if _, err := s.publish(ctx, s.subject(b, key), header, nil, after); err != nil {
		return fmt.Errorf("remove %s/%.80s: %w", b, key, err)
	}
	return nil
}

func (s *jetStream) Close() error {
	s.closing.Do(func() {
		s.conn.Close()
		if s.embedded != nil {
			s.closed = s.embedded.stop()
		}
	})
	return s.closed
}

// escape makes one token of a subject out of any text, and distinct ones of
// distinct texts.
func escape(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape is its reverse; false for what escape does not make.
func unescape(token string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '=' {
			b.WriteByte(token[i])
			continue
		}
		if i+3 > len(token) {
			return "", false
		}
		c, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), escape(b.String()) == token
}

// redact leaves passwords out of URLs.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		if u, err := url.Parse(p); err == nil {
			parts[i] = u.Redacted()
		}
	}
	return strings.Join(parts, ",")
}
