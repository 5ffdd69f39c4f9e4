package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// screen is stdout or stderr as several goroutines share it: messages, log
// lines and a progress bar do not write into each other.
type screen struct {
	file io.Writer

	mu sync.Mutex
	to io.Writer // the file, or the bar that owns it for now
}

func newScreen(w io.Writer) *screen { return &screen{file: w, to: w} }

// Write prints whole lines, above the bar if there is one.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(p)
}

// lend lets w own the screen until the returned function is called.
func (s *screen) lend(w io.Writer) (giveBack func()) {
	s.set(w)
	return func() { s.set(s.file) }
}

func (s *screen) set(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = w
}

// isTerminal tells whether someone is looking at the screen.
func (s *screen) isTerminal() bool {
	f, ok := s.file.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// print writes one document on a line of its own to stdout.
func (s *shell) print(doc any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a magnet link stays one
	if err := enc.Encode(doc); err != nil {
		fmt.Fprintf(s.screen, "shoal: cannot print a document: %v\n", err)
		return
	}
	s.out.Write(b.Bytes())
}

// printf writes text to stdout; with --json there is none.
func (s *shell) printf(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.out, format, args...)
	}
}

// newLogger logs to w: text for people, JSON beside --json.
func newLogger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: shortTime}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// shortTime keeps log lines narrow: the second is enough for a reader, and the
// service manager's journal has the rest.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(slog.TimeKey, a.Value.Time().Format("2006-01-02T15:04:05Z07:00"))
	}
	return a
}
