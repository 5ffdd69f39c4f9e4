package faketime_test

import (
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/simnet/faketime"
)

func TestRun(t *testing.T) {
	start := time.Now()
	var inside time.Duration
	faketime.Run(func() {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { time.Sleep(time.Hour) })
		wg.Wait()
		inside = time.Since(start)
	})
	if inside != time.Hour {
		t.Errorf("an hour took %v", inside)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("an hour of fake time took %v", d)
	}
}

// TestProgram does the same in a program that is no test.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program")
	}
	out, err := exec.Command("go", "run", "./testdata/hour").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "1h0m0s" {
		t.Errorf("a program slept for %q, %v", got, err)
	}
}
