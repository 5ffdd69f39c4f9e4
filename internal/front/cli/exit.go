package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/bt/storage"
	"shoal/internal/deploy/release"
	"shoal/internal/filelock"
	"shoal/internal/front/control"
	"shoal/internal/node"
	"shoal/internal/trust"
)

// Code is what the process returns to its caller.
type Code int

// The codes, as scripts may rely on them. Codes is the table of what they mean.
const (
	CodeOK          Code = 0
	CodeFailed      Code = 1
	CodeUsage       Code = 2
	CodeDamaged     Code = 3
	CodeNotFound    Code = 4
	CodeMalformed   Code = 5
	CodePermission  Code = 6
	CodeNoSpace     Code = 7
	CodeRefused     Code = 8
	CodeNetwork     Code = 9
	CodeInterrupted Code = 130
)

// Codes describes every exit code, in order. docs/exit-codes.md, `shoal help
// exit-codes` and the man pages show this table and nothing else.
func Codes() []struct {
	Code    Code
	Meaning string
} {
	return []struct {
		Code    Code
		Meaning string
	}{
		{CodeOK, "done; for get: every byte is verified and on disk"},
		{CodeFailed, "failed for a reason without a code of its own"},
		{CodeUsage, "the command line or a configuration file is wrong"},
		{CodeDamaged, "content is damaged, incomplete or changed while it was read"},
		{CodeNotFound, "a file, folder or URL that was named does not exist"},
		{CodeMalformed, "a metafile or magnet link cannot be understood or is unsafe"},
		{CodePermission, "the system or the fleet does not permit it: permissions, a read-only file system, or a role"},
		{CodeNoSpace, "no space left for the content"},
		{CodeRefused, "refused, because it would overwrite something or leave the tree"},
		{CodeNetwork, "an address cannot be listened on, or a server cannot be reached"},
		{CodeInterrupted, "stopped by SIGINT, SIGTERM or shoal ctl before the work was done"},
	}
}

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesText()}
}

func exitCodesText() string {
	var b strings.Builder
	b.WriteString("Every verb ends with one of these exit codes:\n")
	for _, c := range Codes() {
		fmt.Fprintf(&b, "\n    %3d  %s", c.Code, c.Meaning)
	}
	return b.String()
}

// coded is an error that knows its exit code, for causes that no other package
// has a type for.
type coded struct {
	error
	code Code
	hint string
}

func (c coded) Unwrap() error { return c.error }

// Hint is what the operator can do.
func (c coded) Hint() string { return c.hint }

// usagef makes the error of a wrong command line.
func usagef(hint, format string, args ...any) error {
	return coded{fmt.Errorf(format, args...), CodeUsage, hint}
}

// asUsage marks an error of cobra's own parsing.
func asUsage(err error, verb string) error {
	var c coded
	if errors.As(err, &c) {
		return err
	}
	return coded{err, CodeUsage, "`" + strings.TrimSpace(cmp.Or(verb, "shoal")+" --help`") + " shows what it takes"}
}

// cause is one row of the mapping from errors to codes.
type cause struct {
	matches func(error) bool
	code    Code
	hint    string
}

// is matches an error value anywhere in the chain.
func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// as matches a type of error anywhere in the chain.
func as[T error]() func(error) bool {
	return func(err error) bool {
		var t T
		return errors.As(err, &t)
	}
}

// fromNetwork matches what went wrong between hosts. A bare system call's error
// counts as none: it has the methods of a net.Error whatever failed.
func fromNetwork(err error) bool {
	var n net.Error
	if !errors.As(err, &n) {
		return false
	}
	_, bare := n.(syscall.Errno)
	return !bare
}

// causes are looked through in order, so the narrow ones stand first.
func causes() []cause {
	return []cause{
		{as[interrupted](), CodeInterrupted, ""},
		{is(release.ErrName), CodeUsage, ""},
		{is(release.ErrNotFound), CodeNotFound, ""},
		{is(release.ErrBusy), CodeRefused, ""},
		{is(release.ErrRefused), CodeRefused, ""},
		{is(release.ErrDamaged), CodeDamaged, ""},
		{is(shoal.ErrInvalid), CodeUsage, ""},
		{is(shoal.ErrDenied), CodePermission, ""},
		{is(shoal.ErrNotFound), CodeNotFound, ""},
		{is(shoal.ErrConflict), CodeRefused, ""},
		{is(shoal.ErrUnavailable), CodeNetwork, ""},
		{is(trust.ErrPassword), CodePermission, "the password goes into " + envSignPassword},
		{as[*node.ConfigError](), CodeUsage, ""},
		{as[*node.SelectError](), CodeUsage, "`shoal inspect` lists the files of a metafile"},
		{as[*node.MetafileError](), CodeMalformed, ""},
		{as[*node.IncompleteError](), CodeDamaged, ""},
		{as[*storage.ConflictError](), CodeRefused, ""},
		{as[*filelock.Held](), CodeRefused, "stop that one, or give each a folder of its own"},
		{is(build.ErrChanged), CodeDamaged, "make the metafile of a tree that nobody writes to"},
		{is(storage.ErrNoSpace), CodeNoSpace, "make room on that file system; what was fetched is kept and a new start goes on from there"},
		{is(syscall.ENOSPC), CodeNoSpace, "make room on that file system"},
		{is(syscall.EDQUOT), CodeNoSpace, "the quota of this user is used up on that file system"},
		{as[*net.AddrError](), CodeUsage, "write an address as HOST:PORT or :PORT, one of IPv6 in [brackets]"},
		{is(syscall.EADDRINUSE), CodeNetwork, "another program listens there; choose another address"},
		{is(syscall.EADDRNOTAVAIL), CodeNetwork, "no interface of this machine has that address"},
		{is(syscall.ECONNREFUSED), CodeNetwork, "nothing listens there"},
		{is(syscall.ENOTDIR), CodeRefused, "a file is where a folder has to be"},
		{is(syscall.EROFS), CodePermission, "the file system is mounted read-only"},
		{is(fs.ErrPermission), CodePermission, "run as a user that may, or change the owner or mode"},
		{is(fs.ErrNotExist), CodeNotFound, ""},
		{is(fs.ErrExist), CodeRefused, ""},
		{as[*build.FileError](), CodeRefused, "--exclude leaves it out"},
		{fromNetwork, CodeNetwork, ""},
		{is(context.Canceled), CodeInterrupted, ""},
		{is(node.ErrStopped), CodeInterrupted, ""},
		{as[*control.Refusal](), CodeUsage, ""},
	}
}

// codeOf maps any error to its exit code and hint: the one place that does.
// A hint that an error carries itself goes before a general one.
func codeOf(err error) (Code, string) {
	if err == nil {
		return CodeOK, ""
	}
	code, hint := CodeFailed, ""
	var c coded
	if errors.As(err, &c) {
		code, hint = c.code, c.hint
	} else {
		for _, row := range causes() {
			if row.matches(err) {
				code, hint = row.code, row.hint
				break
			}
		}
	}
	var own interface{ Hint() string }
	if errors.As(err, &own) && own.Hint() != "" {
		hint = own.Hint()
	}
	return code, hint
}

// report prints how a command ended and gives its exit code.
func (s *shell) report(err error) Code {
	code, hint := codeOf(err)
	if code == CodeOK {
		return code
	}
	if s.json {
		s.print(struct {
			Event string `json:"event"`
			Error string `json:"error"`
			Hint  string `json:"hint,omitempty"`
			Code  Code   `json:"code"`
		}{"error", err.Error(), hint, code})
	}
	fmt.Fprintf(s.screen, "shoal: %v\n", err)
	if hint != "" {
		fmt.Fprintf(s.screen, "hint: %s\n", hint)
	}
	return code
}
