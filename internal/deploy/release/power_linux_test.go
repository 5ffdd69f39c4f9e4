package release_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"shoal/internal/killpoint"
)

// TestPowerLoss takes the power away before every change of the disk: at that
// moment the image of a file system is copied, mounted elsewhere, and looked at.
// Unlike a killed process this loses everything that was not synced.
func TestPowerLoss(t *testing.T) {
	d := newDepot(t, "1", "2")
	image, disk := newDisk(t)
	mount(t, image, disk)
	h := host{disk, d}
	must(t, h.deed(t, "stage 1"), h.deed(t, "activate 1"))
	lost := 0
	for _, c := range []struct {
		do  string
		see []string
	}{
		{"stage 2", []string{"1"}},
		{"activate 2", []string{"1", "2"}},
		{"rollback", []string{"1", "2"}},
		{"gc", []string{"1"}},
	} {
		h.run(t, c.do, func(n int, s killpoint.Step) bool {
			lost++
			h.afterPowerLoss(t, image, fmt.Sprintf("%s, power lost before step %d, %s", c.do, n, s), c.see)
			return t.Failed()
		})
	}
	t.Logf("lost power %d times", lost)
	h.check(t)
}

// afterPowerLoss looks at what the disk would hold.
func (h host) afterPowerLoss(t *testing.T, image, what string, see []string) {
	copied, at := filepath.Join(t.TempDir(), "copy"), t.TempDir()
	b, err := os.ReadFile(image)
	must(t, err, os.WriteFile(copied, b, 0o600))
	mount(t, copied, at)
	after := host{at, h.depot}
	if now := after.check(t); !slices.Contains(see, now) {
		t.Errorf("%s: current is %q, want one of %q", what, now, see)
	}
	for _, name := range []string{"activate 1", "stage 2", "activate 2"} {
		if err := after.deed(t, name); err != nil {
			t.Errorf("%s: then %s: %v", what, name, err)
		}
	}
	after.check(t)
	must(t, syscall.Unmount(at, 0), os.Remove(copied))
}

// newDisk makes an empty file system in an image file, and a folder to mount it.
func newDisk(t *testing.T) (image, dir string) {
	image, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("no ext4: %v %s", err, out)
	}
	return image, dir
}

// mount mounts an image until the test ends.
func mount(t *testing.T, image, dir string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mounting needs root and a loop device: %v %s", err, out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) }) // it may be unmounted already
}
