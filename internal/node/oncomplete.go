package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// hookGrace is how long an on-complete command may live on after the process
// was asked to stop.
const hookGrace = time.Second

// hook is what an on-complete command is told about the content.
type hook struct {
	Command  string // for sh -c: a path to a script, or a command line
	Name     string // of the release
	Path     string // of its content, absolute
	InfoHash string // hex: v1's if there is one, else v2's
	Forward  bool   // we are a background process, and it is not
}

// run runs the command and waits for it. Its output goes to ours.
func (h hook) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", h.Command)
	cmd.Env = append(os.Environ(), "SHOAL_NAME="+h.Name, "SHOAL_PATH="+h.Path, "SHOAL_INFO_HASH="+h.InfoHash)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // stdout holds our own documents
	// A group of its own, so that what the shell started is stopped with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = hookGrace
	err := cmd.Start()
	if err == nil {
		if h.Forward {
			_ = stepForward(cmd.Process.Pid) // not permitted: it is as idle as we are
		}
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("--on-complete command %q: %w", h.Command, err)
	}
	return nil
}
