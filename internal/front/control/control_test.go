package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"shoal/internal/bt/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a Target that notes what it is told.
type told struct {
	mu      sync.Mutex
	calls   []string
	stopped chan struct{}
}

func (t *told) note(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, s)
}

func (t *told) Stats() Stats { return Stats{Pid: 7, Torrents: []Torrent{{Name: "app\x1b"}}} }
func (t *told) SetLimits(changes []limit.Change) error {
	for _, c := range changes {
		if c.Limit.Base == 666 {
			return errors.New("not this one")
		}
		t.note(c.Name.String() + "=" + c.Limit.String())
	}
	return nil
}
func (t *told) Pause(paused bool) { t.note(map[bool]string{true: "pause", false: "resume"}[paused]) }
func (t *told) Stop()             { close(t.stopped) }

func start(t *testing.T) (name string, target *told) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "made", "x.sock")
	target = &told{stopped: make(chan struct{})}
	s, err := Listen(name, target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx, name); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return name, target
}

func TestAsk(t *testing.T) {
	name, target := start(t)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(name)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of its folder: %v, %v", info.Mode(), err)
	}
	st, err := Ask(t.Context(), name, "stats", nil)
	if err != nil || st.Pid != 7 || st.Torrents[0].Name != "app\x1b" {
		t.Errorf("stats: %+v, %v", st, err)
	}
	for _, do := range []string{"pause", "resume"} {
		if _, err := Ask(t.Context(), name, do, nil); err != nil {
			t.Errorf("%s: %v", do, err)
		}
	}
	if _, err := Ask(t.Context(), name, "limit", []string{"up=5MB/s", "down-wan=unlimited"}); err != nil {
		t.Error(err)
	}
	if got := strings.Join(target.calls, " "); got != "pause resume up=5MB/s down-wan=unlimited" {
		t.Errorf("told %q", got)
	}
	for _, c := range []struct{ do, limit, want string }{
		{"dance", "", "there are stats, limit"}, {"limit", "up=5", "no unit"}, {"limit", "up=666B/s", "not this one"},
	} {
		var refused *Refusal
		if _, err := Ask(t.Context(), name, c.do, []string{c.limit}); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.do, c.limit, err, c.want)
		}
	}
	if _, err := Ask(t.Context(), name, "stop", nil); err != nil {
		t.Error(err)
	}
	<-target.stopped
}

// TestNonsense: whatever is sent gets an answer or an end, and the next one is served.
func TestNonsense(t *testing.T) {
	name, _ := start(t)
	for _, text := range []string{"", "\n", "{}\n", "[1]\n", "{\"do\":7}\n", strings.Repeat("x", maxRequest+10), "no newline"} {
		c, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text) // it may have hung up by then
		c.(*net.UnixConn).CloseWrite()
		answer, _ := io.ReadAll(c)
		c.Close()
		var a reply
		if err := json.Unmarshal(answer, &a); len(answer) > 0 && (err != nil || a.Error == "") {
			t.Errorf("%.20q: answered %q, %v", text, answer, err)
		}
	}
	if _, err := Ask(t.Context(), name, "stats", nil); err != nil {
		t.Error(err)
	}
}

func TestListen(t *testing.T) {
	name, _ := start(t)
	if _, err := Listen(name, nil); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a live socket: %v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file.sock")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, nil); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a plain file: %v", err)
	}
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := Listen(dead, &told{})
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close()
	if got, err := Sockets(t.Context(), dir); err != nil || len(got) != 0 {
		t.Errorf("dead sockets are listed: %v, %v", got, err)
	}
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Errorf("a dead socket is left: %v", err)
	}
	if _, err := os.Lstat(file); err != nil {
		t.Errorf("a plain file is gone: %v", err)
	}
	if got, err := Sockets(t.Context(), filepath.Dir(name)); err != nil || len(got) != 1 {
		t.Errorf("Sockets = %v, %v", got, err)
	}
}
