package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// rolloutArgs parses a command line of push or plan.
func rolloutArgs(t *testing.T, now time.Time, args ...string) (string, error) {
	t.Helper()
	f := &rolloutFlags{}
	cmd := &cobra.Command{Use: "x"}
	f.add(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	r, err := f.rollout(now)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(r)
	return string(text), err
}

func TestRolloutFlags(t *testing.T) {
	now := time.Date(2026, 11, 26, 14, 30, 0, 0, time.UTC)
	base := []string{"--app", "web", "--version", "1", "--to", "role=web"}
	got, err := rolloutArgs(t, now, append(base,
		"--waves", "canary=2, 10% soak=3m, 100%", "--soak", "1m", "--parallel", "20%", "--approve", "--gate", "95%", "--stage-deadline", "1h",
		"--stragglers", "5", "--max-failed", "1", "--max-failed-dc", "2%", "--max-failed-fleet", "3", "--on-breach", "rollback",
		"--start-at", "+1h", "--activate-at", "2026-11-26T20:00:00Z", "--switch-deadline", "5m", "--stage-only", "--supersede", "--ignore-freeze")...)
	want := `{"id":0,"app":"web","version":"1","to":"role=web","gate":{"share":"95%","deadline":3600000000000,"stragglers":"5"},` +
		`"waves":"canary=2 soak=1m0s parallel=20% approve, 10% soak=3m0s parallel=20% approve, 100% soak=1m0s parallel=20% approve",` +
		`"limits":{"wave":"1","datacenter":"2%","fleet":"3","on_breach":"rollback"},"start_at":"2026-11-26T15:30:00Z","activate_at":"2026-11-26T20:00:00Z",` +
		`"switch_deadline":300000000000,"stage_only":true,"supersede":true,"ignore_freeze":true}`
	if err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if got, err := rolloutArgs(t, now, base...); err != nil || !strings.Contains(got, `"waves":"canary=1 soak=1m0s, 10% soak=1m0s, 50% soak=1m0s, 100%"`) {
		t.Errorf("defaults: %s %v", got, err)
	}
	for _, c := range []struct{ flag, value, want string }{
		{"--app", "../x", `app "../x"`}, {"--version", "..", `version ".."`}, {"--to", "role==web", "--to: "}, {"--to", "", "what is to run where"},
		{"--waves", "50%", "--waves: "}, {"--gate", "0", "a gate of 0"}, {"--gate", "x", "--gate: "}, {"--on-breach", "cry", "on a breach"},
		{"--switch-deadline", "-1m", "negative"}, {"--activate-at", "soon", "--activate-at: "}, {"--max-failed", "101%", "--max-failed: "},
	} {
		_, err := rolloutArgs(t, now, append(base, c.flag, c.value)...)
		if code, _ := codeOf(err); err == nil || code != CodeUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v (code %d), want %q", c.flag, c.value, err, code, c.want)
		}
	}
}
