package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal"
)

// Command is a program that gets each notice as JSON on its standard input.
type Command struct {
	Args   []string // the program, by its whole path, and what it is given
	Filter Filter
}

const (
	commandTimeout = 25 * time.Second
	maxOutput      = 4 << 10 // bytes of what it says that are kept
)

func (c *Command) filter() Filter { return c.Filter }
func (c *Command) String() string {
	if len(c.Args) == 0 {
		return "a command"
	}
	return "command " + c.Args[0]
}

func (c *Command) check() error {
	if len(c.Args) == 0 || !filepath.IsAbs(c.Args[0]) {
		return errors.New("name the program by its whole path")
	}
	return nil
}

func (c *Command) send(ctx context.Context, n shoal.Notice) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), "SHOAL_NOTICE="+n.ID, "SHOAL_KIND="+n.Kind, "SHOAL_TEXT="+n.Text, "SHOAL_LINK="+n.Link)
	cmd.Stdin = bytes.NewReader(data)
	cmd.WaitDelay = time.Second // for what it left behind with our pipes
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it took longer than %s", commandTimeout)
		}
		return fmt.Errorf("%w: %s", err, oneLine(string(out.kept)))
	}
	return nil
}

// tail keeps the end of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxOutput; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}
