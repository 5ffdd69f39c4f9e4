package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// Call is a command of the host's configuration and what it is about.
type Call struct {
	Name     string // pre-activate, post-activate, health
	Hook     Hook
	App      string
	Version  string // that is about to be live, or is
	Previous string // live before; "" if none was
	Dir      string // of the version
	Current  string // the link
}

// Hooks runs what the host's configuration says. The error is nil only if the
// command ended by itself with exit code 0; output is its end, of both streams.
type Hooks interface {
	Run(ctx context.Context, c Call) (output string, err error)
}

// Commands are the hooks of a real host.
type Commands struct{}

const (
	hookTimeout = 5 * time.Minute
	hookGrace   = 2 * time.Second // between SIGTERM and SIGKILL
	maxOutput   = 64 << 10        // bytes that are kept, the last ones
)

// Run starts the executable itself, without a shell, in the folder of the
// release and in a process group of its own, which is stopped with it.
func (Commands) Run(parent context.Context, c Call) (string, error) {
	limit := c.Hook.Timeout.orDefault(hookTimeout)
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Hook.Command[0], c.Hook.Command[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(environment(), "SHOAL_HOOK="+c.Name, "SHOAL_APP="+c.App, "SHOAL_VERSION="+c.Version,
		"SHOAL_PREVIOUS="+c.Previous, "SHOAL_DIR="+c.Dir, "SHOAL_CURRENT="+c.Current)
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = hookGrace
	err := cmd.Start()
	if err == nil {
		// What it has started goes on only if it ended well: it may be the app.
		if err = cmd.Wait(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody may be left
		}
	}
	switch {
	case parent.Err() != nil:
		return out.String(), context.Cause(parent)
	case ctx.Err() != nil:
		return out.String(), fmt.Errorf("%s has not ended within %s", c.Hook.Command[0], limit)
	case errors.Is(err, exec.ErrWaitDelay): // it ended well, but a child of its holds the output
		return out.String(), nil
	case err != nil:
		if start := (*fs.PathError)(nil); errors.As(err, &start) {
			err = start.Err // the path is said
		}
		return out.String(), fmt.Errorf("%s: %w", c.Hook.Command[0], err)
	}
	return out.String(), nil
}

// environment is ours without what only we may tell the service manager.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "WATCHDOG_")
	})
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - maxOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// reason is an error as one line for a report, with the last line of output.
func reason(err error, output string) string {
	text := err.Error()
	lines := strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if last := strings.TrimSpace(lines[i]); last != "" {
			text += ": " + last
			break
		}
	}
	return oneLine(text)
}

// maxReason bounds the text of a report.
const maxReason = 500

// oneLine makes a text fit for a report: printable, and not long.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > maxReason {
		s = string(r[:maxReason-3]) + "..."
	}
	return s
}
