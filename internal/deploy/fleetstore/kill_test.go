package fleetstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"shoal/internal/deploy/fleetstore"
)

const writerEnv = "SHOAL_TEST_STORE"

// TestWriter is the process that TestKilled kills: it writes, and says what was
// acknowledged.
func TestWriter(t *testing.T) {
	dir := os.Getenv(writerEnv)
	if dir == "" {
		t.Skip("run by TestKilled")
	}
	s, err := fleetstore.Open(context.Background(), fleetstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Get(t.Context(), fleetstore.Fleet, "n")
	if err != nil && !errors.Is(err, fleetstore.ErrNone) {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(string(e.Value))
	for rev := e.Revision; ; {
		n++
		if _, err := s.Append(t.Context(), strconv.Itoa(n), nil); err != nil && !errors.Is(err, fleetstore.ErrTaken) {
			t.Fatal(err)
		}
		if rev, err = s.Put(t.Context(), fleetstore.Fleet, "n", []byte(strconv.Itoa(n)), rev); err != nil {
			t.Fatal(err)
		}
		fmt.Println("ack", n, rev)
	}
}

// TestKilled kills a process with an embedded engine again and again: what was
// acknowledged is there, the journal has no gap, and revisions go on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	last, lastRev := 0, 0
	for round := range 4 {
		acked, rev := writeAndKill(t, dir, 20+30*round)
		if acked <= last || rev <= lastRev {
			t.Fatalf("it went on at %d, revision %d, after %d, revision %d", acked, rev, last, lastRev)
		}
		last, lastRev = acked, rev
		s := openDir(t, dir)
		e, err := s.Get(t.Context(), fleetstore.Fleet, "n")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(e.Value))
		if err != nil || n != last && n != last+1 { // one more than was said
			t.Errorf("the store has %q, and %d was acknowledged", e.Value, last)
		}
		records, err := s.Read(t.Context(), 0, last+10)
		if err != nil || len(records) < n || len(records) > n+1 {
			t.Errorf("%d records, %d were acknowledged, %v", len(records), n, err)
		}
		for i, r := range records {
			if r.Name != strconv.Itoa(i+1) {
				t.Fatalf("record %d is called %s", i+1, r.Name)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAndKill lets a process write until it has said so many things.
func writeAndKill(t *testing.T, dir string, says int) (acked, rev int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestWriter$")
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &acked, &rev); err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		if n == says {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL; what it said before is still read
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	return acked, rev
}
