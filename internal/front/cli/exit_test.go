package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

func TestCodeOf(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("do a thing: %w", err) }
	for _, c := range []struct {
		err  error
		want Code
		hint bool
	}{
		{nil, CodeOK, false},
		{errors.New("anything"), CodeFailed, false},
		{wrap(usagef("try this", "wrong")), CodeUsage, true},
		{wrap(coded{fs.ErrNotExist, CodeDamaged, ""}), CodeDamaged, false},
		{wrap(&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}), CodeNotFound, false},
		{wrap(&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}), CodePermission, true},
		{wrap(&fs.PathError{Op: "open", Path: "x", Err: syscall.EEXIST}), CodeRefused, false},
		{wrap(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), CodeNoSpace, true},
		{wrap(&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOTDIR}), CodeRefused, true},
		{wrap(&fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}), CodeFailed, false},
		{wrap(os.NewSyscallError("bind", syscall.EADDRINUSE)), CodeNetwork, true},
		{wrap(&net.OpError{Op: "listen", Net: "tcp", Err: &net.AddrError{Err: "missing port in address", Addr: "9444"}}), CodeUsage, true},
		{wrap(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}), CodeNetwork, false},
		{wrap(context.Canceled), CodeInterrupted, false},
		{wrap(interrupted{syscall.SIGTERM}), CodeInterrupted, false},
	} {
		code, hint := codeOf(c.err)
		if code != c.want || (hint != "") != c.hint {
			t.Errorf("codeOf(%v) = %d, %q; want %d, with a hint: %v", c.err, code, hint, c.want, c.hint)
		}
	}
}

// TestExitCodesDocumented holds docs/exit-codes.md to the table.
func TestExitCodesDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(string(text), -1)
	table := Codes()
	if len(rows) != len(table) {
		t.Fatalf("docs/exit-codes.md has %d rows, the table %d", len(rows), len(table))
	}
	for i, row := range rows {
		if row[1] != strconv.Itoa(int(table[i].Code)) || row[2] != table[i].Meaning {
			t.Errorf("row %d is %q, want %d %q", i, row[1:], table[i].Code, table[i].Meaning)
		}
	}
}

// TestReadmeNamesVerbs: the table of commands in the README has all of them.
func TestReadmeNamesVerbs(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`shoal .*?) \\| ").FindAllStringSubmatch(string(readme), -1) {
		for _, word := range regexp.MustCompile(`[a-z][a-z-]*`).FindAllString(row[1], -1) {
			named[word] = true
		}
	}
	for _, verb := range (&shell{}).command().Commands() {
		if name := verb.Name(); verb.IsAvailableCommand() && !named[name] && name != "help" && name != "version" {
			t.Errorf("README.md does not name shoal %s", name)
		}
	}
}
