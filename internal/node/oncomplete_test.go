package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHook(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "a script")
	out := filepath.Join(dir, "out")
	text := "#!/bin/sh\necho \"$SHOAL_NAME|$SHOAL_PATH|$SHOAL_INFO_HASH\" >>'" + out + "'\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	h := hook{Name: "app $HOME", Path: "/srv/app", InfoHash: "0123"}
	for _, command := range []string{"'" + script + "'", "exec \"" + script + "\" && exit 1"} {
		h.Command = command
		if err := h.run(t.Context()); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	got, err := os.ReadFile(out)
	if want := strings.Repeat("app $HOME|/srv/app|0123\n", 2); err != nil || string(got) != want {
		t.Errorf("the commands saw %q, %v; want %q", got, err, want)
	}
	h.Command = "exit 7"
	if err := h.run(t.Context()); err == nil || !strings.Contains(err.Error(), "exit 7") {
		t.Errorf("a failed command: %v", err)
	}
}

// TestHookStops asks the process to stop while the command hangs.
func TestHookStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if err := (hook{Command: "trap : TERM; sleep 100 & wait; wait"}).run(ctx); err == nil {
		t.Error("no error from a command that was stopped")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}
