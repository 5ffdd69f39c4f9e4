package fleetstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// agreeFor is about as long as a cluster takes to agree on a message.
const agreeFor = 5 * time.Millisecond

func (s *jetStream) Append(ctx context.Context, name string, data []byte) (Record, error) {
	if err := checkRecord(name, data); err != nil {
		return Record{}, err
	}
	subject := s.prefix + ".j." + escape(name)
	seq, err := s.publish(ctx, subject, nil, data, 0)
	for errors.Is(err, ErrStale) {
		m, refusal := s.newest(ctx, s.journal, subject)
		if refusal == nil {
			return Record{m.Sequence, name, m.Data}, fmt.Errorf("record %.80q: %w", name, ErrTaken)
		}
		if !errors.Is(refusal, ErrNone) {
			return Record{}, fmt.Errorf("record %.80q: %w", name, refusal)
		}
		// It was refused for one that the cluster has not agreed on yet: either
		// that one will be there in a moment, or there is room for this one.
		select {
		case <-ctx.Done():
			return Record{}, ctx.Err()
		case <-time.After(agreeFor):
		}
		seq, err = s.publish(ctx, subject, nil, data, 0)
	}
	if err != nil {
		return Record{}, fmt.Errorf("record %.80q: %w", name, err)
	}
	return Record{seq, name, data}, nil
}

// record is the first message of the journal from a sequence on that has a subject.
func (s *jetStream) record(ctx context.Context, from uint64, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := s.oneCall(ctx)
	defer cancel()
	return s.journal.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
}

func (s *jetStream) Read(ctx context.Context, after uint64, limit int) ([]Record, error) {
	var records []Record
	prefix := s.prefix + ".j."
	for len(records) < limit {
		m, err := s.record(ctx, after+1, prefix+">")
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("journal after %d: %w", after, failed(err))
		}
		after = m.Sequence
		if name, ok := unescape(strings.TrimPrefix(m.Subject, prefix)); ok {
			records = append(records, Record{m.Sequence, name, m.Data})
		}
	}
	return records, nil
}

const sizeHeader = "Shoal-Size" // of the whole blob, on its first chunk

func (s *jetStream) chunk(name string, n int) string {
	return s.prefix + ".b." + escape(name) + "." + strconv.Itoa(n)
}

// PutBlob writes the first chunk last: where it is, all of them are.
func (s *jetStream) PutBlob(ctx context.Context, data []byte) (string, error) {
	if len(data) > MaxBlob {
		return "", fmt.Errorf("a blob of %d bytes, more than %d: %w", len(data), MaxBlob, ErrSize)
	}
	name := nameOf(data)
	chunks := slices.Collect(slices.Chunk(data, chunkBytes))
	if len(chunks) == 0 {
		chunks = [][]byte{nil}
	}
	for n := len(chunks) - 1; n >= 0; n-- {
		var header nats.Header
		if n == 0 {
			header = nats.Header{sizeHeader: {strconv.Itoa(len(data))}}
		}
		if _, err := s.publish(ctx, s.chunk(name, n), header, chunks[n], 0); err != nil && !errors.Is(err, ErrStale) {
			return "", fmt.Errorf("blob %s: %w", name, err)
		}
	}
	return name, nil
}

func (s *jetStream) Blob(ctx context.Context, name string) ([]byte, error) {
	if err := checkKey(name); err != nil {
		return nil, err
	}
	var data []byte
	for n, size := 0, 1; len(data) < size; n++ {
		m, err := s.newest(ctx, s.blobs, s.chunk(name, n))
		if err != nil {
			return nil, fmt.Errorf("blob %.80s: %w", name, err)
		}
		if n == 0 {
			if size, err = strconv.Atoi(m.Header.Get(sizeHeader)); err != nil || size < 0 || size > MaxBlob {
				return nil, fmt.Errorf("blob %.80s: its first chunk says not how large it is: %w", name, ErrNone)
			}
			data = make([]byte, 0, size)
		}
		if len(m.Data) == 0 && size > 0 {
			break
		}
		data = append(data, m.Data...)
	}
	if nameOf(data) != name {
		return nil, fmt.Errorf("blob %.80s: what is there is something else: register the release again: %w", name, ErrNone)
	}
	return data, nil
}

// DeleteBlob removes the first chunk first, for the same reason.
func (s *jetStream) DeleteBlob(ctx context.Context, name string) error {
	if err := checkKey(name); err != nil {
		return err
	}
	for _, subject := range []string{s.chunk(name, 0), s.prefix + ".b." + escape(name) + ".>"} {
		if err := s.purge(ctx, subject); err != nil {
			return fmt.Errorf("remove blob %.80s: %w", name, failed(err))
		}
	}
	return nil
}

func (s *jetStream) purge(ctx context.Context, subject string) error {
	ctx, cancel := s.oneCall(ctx)
	defer cancel()
	return s.blobs.Purge(ctx, jetstream.WithPurgeSubject(subject))
}
