//go:build linux

package interop_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const trackerPort = "6969"

// tracker is a running tracker that serves the swarms it was started for.
type tracker struct {
	*process
	addr string
}

// trackerKind is one tracker program. Both speak HTTP and UDP on the same port.
type trackerKind struct {
	name  string
	start func(t *testing.T, addr string, swarms func() []string) *process
}

var (
	ownTracker  = trackerKind{"shoal-tracker", startOwnTracker}
	openTracker = trackerKind{"opentracker", startOpentracker}
	trackers    = []trackerKind{ownTracker, openTracker}
)

func startOwnTracker(t *testing.T, addr string, _ func() []string) *process {
	return start(t, "tracker", t.TempDir(), shoalBinary, "tracker", "--listen", addr+":"+trackerPort)
}

// startOpentracker starts Debian's build, which serves only the info-hashes on its whitelist, and refuses to run as
// root. It cannot become another user where there is only one, so it starts as one: nobody, in a namespace of users.
func startOpentracker(t *testing.T, addr string, swarms func() []string) *process {
	need(t, "opentracker")
	home := t.TempDir()
	var list []byte
	for _, s := range swarms() {
		list = append(list, s+"\n"...)
	}
	allowed := writeFile(t, home+"/whitelist", string(list), 0o644)
	conf := writeFile(t, home+"/conf", "listen.tcp_udp "+addr+":"+trackerPort+"\naccess.whitelist "+allowed+"\n", 0o644)
	nobody := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: 0, Size: 1}},
	}
	return startAttr(t, "opentracker", home, nobody, "opentracker", "-f", conf)
}

// announceURL is the address to write in a metafile; the tracker itself is started later, when the hash is known.
func announceURL(scheme, addr string) string {
	if scheme == "udp" {
		return "udp://" + addr + ":" + trackerPort
	}
	return "http://" + addr + ":" + trackerPort + "/announce"
}

// startTracker starts a tracker for the swarms of these metafiles and waits until it answers.
func startTracker(t *testing.T, kind trackerKind, addr string, metafiles ...string) *tracker {
	t.Helper()
	swarms := func() []string {
		var all []string
		for _, m := range metafiles {
			all = append(all, readMetafile(t, m).swarms()...)
		}
		return all
	}
	tr := &tracker{kind.start(t, addr, swarms), addr}
	waitFor(t, kind.name+" listens", func() bool {
		c, err := net.DialTimeout("tcp", addr+":"+trackerPort, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, tr.process)
	return tr
}

// seeds asks the tracker, by an HTTP scrape (BEP 48), how many complete peers it knows in the metafile's swarms.
func (tr *tracker) seeds(t *testing.T, m metafile) int64 {
	t.Helper()
	var most int64
	for _, s := range m.rawSwarms() {
		resp, err := http.Get("http://" + tr.addr + ":" + trackerPort + "/scrape?info_hash=" + url.QueryEscape(s))
		if err != nil {
			t.Fatalf("scrape: %v", err)
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil {
			t.Fatalf("scrape: %v", err)
		}
		_, rest, found := bytes.Cut(body, []byte("8:completei"))
		digits, _, _ := bytes.Cut(rest, []byte("e"))
		if n, err := strconv.ParseInt(string(digits), 10, 64); found && err == nil {
			most = max(most, n)
		}
	}
	return most
}

// waitSeeds waits until the tracker knows n seeds, so that no leech has to wait for its next announce.
func (tr *tracker) waitSeeds(t *testing.T, m metafile, n int64, alive ...*process) {
	t.Helper()
	waitFor(t, "the tracker knows "+strconv.FormatInt(n, 10)+" seed(s)", func() bool { return tr.seeds(t, m) >= n }, alive...)
}
