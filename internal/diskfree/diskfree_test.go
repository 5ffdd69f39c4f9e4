package diskfree

import (
	"os"
	"testing"
)

func TestOf(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	free, err := Of(int(dir.Fd()))
	if err != nil || free <= 0 {
		t.Errorf("of the folder for tests: %d, %v", free, err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := Of(-1); err == nil || free != 0 {
		t.Errorf("of no file: %d, %v", free, err)
	}
}
