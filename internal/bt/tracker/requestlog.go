package tracker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"shoal/internal/bt/announce"
)

// requestLog writes one line a request. A nil one, or one without a file, writes nothing.
type requestLog struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
	line []byte
	sick bool // a write failed and it was told
}

const (
	logBuffer = 64 << 10
	logFlush  = time.Second
)

func openRequestLog(path string, log *slog.Logger) (*requestLog, error) {
	l := &requestLog{path: path, log: log}
	return l, l.reopen()
}

// reopen opens the file anew under its name. When that fails the old one stays.
func (l *requestLog) reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("request log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.closeLocked()
	l.file, l.w, l.sick = f, bufio.NewWriterSize(f, logBuffer), false
	if old != nil {
		return fmt.Errorf("request log: %w", old)
	}
	return nil
}

func (l *requestLog) closeLocked() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.w.Flush(), l.file.Close())
	l.file, l.w = nil, nil
	return err
}

func (l *requestLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.closeLocked(); err != nil {
		return fmt.Errorf("request log: %w", err)
	}
	return nil
}

// run writes out what is buffered now and then, until ctx ends.
func (l *requestLog) run(ctx context.Context) error {
	if l.path == "" {
		return nil
	}
	ticker := time.NewTicker(logFlush)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			l.flush()
		}
	}
}

func (l *requestLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return
	}
	if err := l.w.Flush(); err != nil && !l.sick {
		l.sick = true
		l.log.Error("cannot write the request log", "file", l.path, "err", err)
	}
}

// announced writes the line of an announce:
//
//	2026-01-02T15:04:05.000Z http announce 10.0.0.1 HASH peer=-SH0100-2d53... port=6881 event=started
//	up=0 down=0 left=0 seeds=1 leeches=2 given=3
//
// and for a refusal refused="reason" in place of the last three.
func (l *requestLog) announced(now time.Time, p proto, from netip.Addr, r *announce.Request, out *announce.Response, f *announce.Failure) {
	if l.path == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.start(now, p, " announce ", from)
	b = appendHex(append(b, ' '), r.InfoHash[:])
	b = appendHex(append(b, " peer="...), r.PeerID[:])
	b = strconv.AppendUint(append(b, " port="...), uint64(r.Port), 10)
	if r.Event != announce.None {
		b = append(append(b, " event="...), r.Event.String()...)
	}
	b = strconv.AppendInt(append(b, " up="...), r.Uploaded, 10)
	b = strconv.AppendInt(append(b, " down="...), r.Downloaded, 10)
	b = strconv.AppendInt(append(b, " left="...), r.Left, 10)
	if f == nil {
		b = strconv.AppendInt(append(b, " seeds="...), int64(out.Seeds), 10)
		b = strconv.AppendInt(append(b, " leeches="...), int64(out.Leeches), 10)
		b = strconv.AppendInt(append(b, " given="...), int64(len(out.V4)/announce.Size4+len(out.V6)/announce.Size6), 10)
	}
	l.finish(b, f)
}

// scraped writes the line of a scrape; hashes is 0 for one of all swarms.
func (l *requestLog) scraped(now time.Time, p proto, from netip.Addr, hashes int, f *announce.Failure) {
	if l.path == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.start(now, p, " scrape ", from)
	if hashes == 0 {
		b = append(b, " all"...)
	} else {
		b = strconv.AppendInt(append(b, " swarms="...), int64(hashes), 10)
	}
	l.finish(b, f)
}

func (l *requestLog) start(now time.Time, p proto, what string, from netip.Addr) []byte {
	b := now.UTC().AppendFormat(l.line[:0], "2006-01-02T15:04:05.000Z ")
	b = append(append(b, p.String()...), what...)
	return from.AppendTo(b)
}

// finish ends a line and hands it to the buffer. A write that fails is told by flush.
func (l *requestLog) finish(b []byte, f *announce.Failure) {
	if f != nil {
		b = strconv.AppendQuote(append(b, " refused="...), f.Reason)
	}
	l.line = append(b, '\n')
	if l.w != nil {
		_, _ = l.w.Write(l.line)
	}
}

func appendHex(dst, src []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range src {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}
