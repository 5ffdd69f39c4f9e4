package node

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/release"
	"shoal/internal/killpoint"
)

const (
	stageVar = "SHOAL_NODE_TEST_STAGE" // metafile
	rootVar  = "SHOAL_NODE_TEST_ROOT"
	peerVar  = "SHOAL_NODE_TEST_PEER"
)

// TestRoleStage is the process that is killed.
func TestRoleStage(t *testing.T) {
	file := os.Getenv(stageVar)
	if file == "" {
		t.Skip("this is a process of TestStageKilled")
	}
	must(t, stageByHand(t, file, os.Getenv(rootVar), os.Getenv(peerVar)))
}

func stageByHand(t *testing.T, file, root, peer string) error {
	rel := NewReleases(ReleaseOptions{Options: quiet("127.0.0.1:0", nil), Root: root, Content: ContentOptions{Peers: []string{peer}}})
	_, err := rel.Stage(t.Context(), "web", "2", file)
	return err
}

// TestStageKilled kills a process with the real engine, which fetches from a
// real seed, before every change of the disk, always in the same root: each run
// goes on where the last one was killed, until one comes to the end.
func TestStageKilled(t *testing.T) {
	r, root := newRelease(t, metainfo.Hybrid), t.TempDir()
	peer, _ := seed(t, r)
	rel, app := staged(t, r, root, peer, "1")
	before := maps.Collect(namesOf(t, filepath.Join(root, "web/current")))
	kills := 0
	for {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRoleStage$", "-test.count=1")
		cmd.Env = append(os.Environ(), stageVar+"="+r.file, rootVar+"="+root, peerVar+"="+peer, "GORACE=atexit_sleep_ms=0")
		res, err := killpoint.Run(t.Context(), cmd, root, killpoint.At(kills+1))
		must(t, err)
		if res.Err != nil && !res.Killed {
			t.Fatal(res.Err)
		}
		if after := maps.Collect(namesOf(t, filepath.Join(root, "web/current"))); !maps.Equal(before, after) {
			t.Fatalf("killed before %v: the release in use holds %v, want %v", res.Steps[len(res.Steps)-1], after, before)
		}
		if _, err := os.Stat(filepath.Join(root, "web/releases/2")); err == nil {
			sameTree(t, filepath.Join(root, "web/releases/2"))
		}
		if !res.Killed {
			break
		}
		kills++
	}
	t.Logf("killed %d times", kills)
	_, err := app.Activate(t.Context(), "2", release.Good, false)
	must(t, err)
	sameTree(t, filepath.Join(root, "web/current")+"/")
	found, err := app.Scrub(t.Context(), "2", rel, false)
	if err != nil || len(found.Problems) != 0 {
		t.Errorf("scrub: %+v, %v", found, err)
	}
	_, err = app.GC(t.Context(), release.Policy{Keep: 9}, false)
	must(t, err)
	entries, err := os.ReadDir(filepath.Join(root, "web/releases"))
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

// namesOf yields the files of a release with their content.
func namesOf(t *testing.T, top string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for name := range testTree() {
			b, err := os.ReadFile(filepath.Join(top, name))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !yield(name, string(b)) {
				return
			}
		}
	}
}
