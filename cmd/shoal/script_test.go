package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"shoal/internal/bt/peertls/testca"
)

// TestMain lets the scripts run this test binary under the name shoal.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"shoal": main})
}

// TestScripts runs every script of testdata against the real command line, in
// the language of testscript plus:
//
//	code N PROGRAM ARGS...   runs the program, which must end with exit code N
//	freeport NAME...         sets each NAME to a free TCP port of 127.0.0.1
//	await URL TEXT           waits until the page at URL holds TEXT
//	await-file FILE TEXT     waits until the file holds TEXT
//	await-socket SOCKET      waits until somebody answers at a Unix socket
//	await-ctl RE ARGS...     waits until shoal ctl stats prints RE
//	certify DIR...           makes a CA, and in each DIR a certificate of it with key.pem and ca.pem
//	await-shoal RE ARGS...   waits until `shoal ARGS` prints RE
//	signal HUP|TERM VERB     sends a signal to the background `shoal VERB`s
//	notify-socket SOCKET     is the service manager's end of sd_notify(3); what it is told is in SOCKET.log, a line each
//	disk DIR SIZE            makes DIR a file system of that size (512k, 20m) in memory, or changes its size;
//	                         the condition [disks] tells whether that can be
//	fill FILE                writes FILE until the disk is full to its last byte
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	disks := canMount(t)
	testscript.Run(t, testscript.Params{
		Condition: func(name string) (bool, error) {
			if name != "disks" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return disks, nil
		},
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", examples)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each of a hundred processes sleeps for a second at its end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": exitCode, "freeport": freePort, "await": awaitPage, "await-file": awaitFile, "signal": sendSignal,
			"certify": certify, "await-socket": awaitSocket, "await-ctl": awaitCtl,
			"await-shoal": awaitShoal, "disk": disk, "fill": fill, "notify-socket": notifySocket,
		},
	})
}

// patience bounds every wait of a script; a wait ends as soon as it can. A machine
// that measures something else freezes tests.
const patience = 2 * time.Minute

func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func freePort(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // after all are found, so that they differ
		ts.Setenv(name, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	}
}

// await polls until found says so.
func await(ts *testscript.TestScript, what string, found func() (string, bool)) {
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got, ok := found()
		if ok {
			return
		}
		last = got
	}
	ts.Fatalf("waited for %s in vain; last seen:\n%s", what, last)
}

func awaitPage(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, args[0]+" with "+args[1], func() (string, bool) {
		res, err := http.Get(args[0])
		if err != nil {
			return err.Error(), false
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err == nil && strings.Contains(string(body), args[1])
	})
}

func awaitFile(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, args[0]+" with "+args[1], func() (string, bool) {
		text, err := os.ReadFile(ts.MkAbs(args[0])) // ts.ReadFile fails the script while there is none
		return string(text), err == nil && strings.Contains(string(text), args[1])
	})
}

func certify(ts *testscript.TestScript, _ bool, dirs []string) {
	ca, err := testca.New()
	ts.Check(err)
	for _, dir := range dirs {
		cert, err := ca.Issue(dir)
		ts.Check(err)
		ts.Check(os.MkdirAll(ts.MkAbs(dir), 0o755))
		_, _, _, err = ca.Write(ts.MkAbs(dir), cert)
		ts.Check(err)
	}
}

func awaitSocket(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, args[0], func() (string, bool) {
		c, err := net.Dial("unix", ts.MkAbs(args[0]))
		if err != nil {
			return err.Error(), false
		}
		c.Close()
		return "", true
	})
}

func awaitCtl(ts *testscript.TestScript, neg bool, args []string) {
	awaitShoal(ts, neg, append([]string{args[0], "ctl", "stats"}, args[1:]...))
}

func awaitShoal(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	await(ts, fmt.Sprintf("shoal %q with %s", args[1:], args[0]), func() (string, bool) {
		if err := ts.Exec("shoal", args[1:]...); err != nil {
			return err.Error(), false
		}
		text := ts.ReadFile("stdout")
		return text, want.MatchString(text)
	})
}

func notifySocket(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	log, err := os.Create(name + ".log")
	ts.Check(err)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			fmt.Fprintf(log, "%s\n", b[:n])
		}
	}()
	ts.Defer(func() { c.Close(); <-done; log.Close() })
}

func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	sent := false
	for _, cmd := range ts.BackgroundCmds() {
		if slices.Contains(cmd.Args, args[1]) && cmd.ProcessState == nil {
			ts.Check(cmd.Process.Signal(signals[args[0]]))
			sent = true
		}
	}
	if !sent {
		ts.Fatalf("no `shoal %s` is running", args[1])
	}
}
