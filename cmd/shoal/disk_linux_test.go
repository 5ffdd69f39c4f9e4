package main

import (
	"errors"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// canMount tells whether this process may make file systems.
func canMount(t *testing.T) bool {
	dir := t.TempDir()
	return unix.Mount("none", dir, "tmpfs", 0, "size=64k") == nil && unix.Unmount(dir, 0) == nil
}

func disk(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: disk DIR SIZE")
	}
	dir, options := ts.MkAbs(args[0]), "mode=755,size="+args[1]
	if unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, options) == nil {
		return
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("none", dir, "tmpfs", 0, options))
	ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	for size := 1 << 16; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	ts.Check(f.Close())
	if !errors.Is(err, unix.ENOSPC) {
		ts.Fatalf("%v, and not a full disk", err)
	}
}
