//go:build linux

package interop_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	peerPort         = "6881"
	python           = "/usr/bin/python3"   // Debian's, for which python3-libtorrent is packaged
	pythonLibtorrent = "python3-libtorrent" // as a need
)

// job is what a client is asked to do: hold dir complete, by seeding what is there or by fetching the rest. All
// clients do both in the same way; none is told which one it is.
type job struct {
	addr   string // its own address
	source string // a metafile, or a magnet link
	dir    string // the folder that holds the content under its name
	home   string // for configuration, and where marker appears
	marker string // appears when the client says that it is complete
	up     int    // bytes/s that shoal, aria2 and libtorrent may send; 0: no limit
}

// client knows how to run one BitTorrent client without a terminal, on one address, with nothing but trackers to
// find peers: no DHT to the world, no local discovery, no port mapping.
type client struct {
	name  string
	needs []string
	v2    bool // understands v2: needs no pad files on disk, and joins v2-only swarms
	args  func(t *testing.T, j job) []string

	// refuses tells why the client cannot take a metafile, whoever made it; "" if it can. nil: it takes all.
	refuses func(t *testing.T, metafile string) string
	// noEmpty: it never makes files of length 0.
	noEmpty bool
}

func (c client) String() string { return c.name }

var (
	shoalClient  = client{name: "shoal", v2: true, args: shoalArgs}
	aria2        = client{name: "aria2", needs: []string{"aria2c"}, args: aria2Args("aria2c"), refuses: aria2Refuses}
	libtorrent   = client{name: "libtorrent", needs: []string{pythonLibtorrent}, v2: true, args: libtorrentArgs}
	transmission = client{name: "transmission", needs: []string{"transmission-daemon", "transmission-show"},
		args: transmissionArgs("transmission-daemon"), refuses: transmissionRefuses, noEmpty: true}
	rtorrent = client{name: "rtorrent", needs: []string{"rtorrent"}, args: rtorrentArgs}

	// What Debian 12 has of aria2 and transmission, above, reads no hybrid of anybody; users meet both. These do.
	newerAria2        = client{name: "newer-aria2", needs: []string{newer("aria2c")}, args: aria2Args(newer("aria2c"))}
	newerTransmission = client{name: "newer-transmission", needs: []string{newer("transmission-daemon")},
		args: transmissionArgs(newer("transmission-daemon")), noEmpty: true}

	stockClients = []client{aria2, newerAria2, libtorrent, transmission, newerTransmission, rtorrent}

	newerTransmissionShow = newer("transmission-show")
)

// newer is the path of a program that .ci/newer-clients fetches.
func newer(program string) string {
	dir := os.Getenv("SHOAL_NEWER_CLIENTS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil { // no home: nobody can have fetched anything
			cache = "/nonexistent"
		}
		dir = filepath.Join(cache, "shoal", "newer-clients")
	}
	return filepath.Join(dir, "bin", program)
}

// peer is a client at work.
type peer struct {
	*process
	job
}

// join starts a client on source with its content in dir.
func join(t *testing.T, c client, source, dir string) *peer {
	t.Helper()
	return joinAt(t, c, source, dir, 0)
}

// joinAt is join with a limit of what the client sends, in bytes/s.
func joinAt(t *testing.T, c client, source, dir string, up int) *peer {
	t.Helper()
	need(t, c.needs...)
	home := t.TempDir()
	j := job{addr: newAddr(), source: source, dir: dir, home: home, marker: filepath.Join(home, "complete"), up: up}
	writeFile(t, filepath.Join(home, "mark"), "#!/bin/sh\n: > "+j.marker+"\n", 0o755)
	return &peer{start(t, c.name, home, c.args(t, j)...), j}
}

// intact fails the test unless every regular file of the tree arrived with its bytes.
func (c client) intact(t *testing.T, content tree, dir string) {
	t.Helper()
	if c.noEmpty {
		content = content.without(func(e entry) bool { return len(e.data) == 0 })
	}
	if bad := content.wrong(dir); len(bad) > 0 {
		t.Errorf("%s: %d of %d files wrong:\n  %s", c.name, len(bad), len(content), strings.Join(bad[:min(5, len(bad))], "\n  "))
	}
}

// complete tells whether the client has said so; with rtorrent and others a script of ours, run by them, says it.
func (p *peer) complete() bool { return exists(p.marker) }

func shoalArgs(_ *testing.T, j job) []string {
	args := []string{shoalBinary, "get", j.source, "--dir", j.dir, "--listen", j.addr + ":" + peerPort, "--seed",
		"--on-complete", filepath.Join(j.home, "mark")}
	if j.up > 0 {
		args = append(args, "--up", strconv.Itoa(j.up)+"B/s")
	}
	return args
}

// aria2 speaks to UDP trackers only with DHT on; alone in its network namespace it finds no DHT node.
func aria2Args(program string) func(*testing.T, job) []string {
	return func(_ *testing.T, j job) []string {
		return []string{program, "--no-conf", "--interface=" + j.addr, "--listen-port=" + peerPort,
			"--enable-dht=true", "--dht-listen-port=" + peerPort, "--dht-file-path=" + j.home + "/dht.dat",
			"--enable-dht6=false", "--disable-ipv6=true", "--bt-enable-lpd=false", "--seed-ratio=0.0",
			"--file-allocation=none", "--check-integrity=true", "--allow-overwrite=true", "--auto-save-interval=0",
			"--summary-interval=0", "--show-console-readout=false", "--enable-color=false", "--log=-", "--log-level=notice", "--bt-tracker-connect-timeout=5", "--bt-tracker-timeout=5",
			"--max-overall-upload-limit=" + strconv.Itoa(j.up), "--on-bt-download-complete=" + j.home + "/mark", "-d", j.dir, j.source}
	}
}

// aria2Refuses: aria2 1.36 drops the empty keys that BEP 52's file tree is made of and hashes what is left, so it looks
// for the peers of a hybrid in a swarm that nobody else knows.
func aria2Refuses(t *testing.T, path string) string {
	want := hex.EncodeToString([]byte(readMetafile(t, path).v1))
	out := string(run(t, "aria2c", "--no-conf", "--show-files", path))
	if want != "" && strings.Contains(out, "Info Hash: "+want) {
		return ""
	}
	return "aria2 takes it for another swarm"
}

func libtorrentArgs(t *testing.T, j job) []string {
	return []string{python, script(t), "swarm", j.source, j.dir, j.addr + ":" + peerPort, j.marker, strconv.Itoa(j.up)}
}

func transmissionArgs(program string) func(*testing.T, job) []string {
	return func(t *testing.T, j job) []string {
		settings, err := json.Marshal(map[string]any{
			"bind-address-ipv4": j.addr, "peer-port": 6881, "port-forwarding-enabled": false, "rpc-enabled": false,
			"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "encryption": 0,
			"download-dir": j.dir, "watch-dir": j.home + "/watch", "watch-dir-enabled": true, "preallocation": 0,
			"script-torrent-done-enabled": true, "script-torrent-done-filename": j.home + "/mark",
			"start-added-torrents": true, "trash-original-torrent-files": false, "umask": 18,
		})
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, j.home+"/settings.json", string(settings), 0o644)
		raw, err := os.ReadFile(j.source)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, j.home+"/watch/x.torrent", string(raw), 0o644)
		return []string{program, "-f", "-g", j.home}
	}
}

// transmissionRefuses: transmission 3.00 cannot parse a dictionary with an empty key, and so no file tree of BEP 52.
func transmissionRefuses(t *testing.T, path string) string {
	if _, _, code := try(t, "transmission-show", path); code != 0 {
		return "transmission cannot parse it"
	}
	return ""
}

func rtorrentArgs(t *testing.T, j job) []string {
	session := filepath.Join(j.home, "session")
	if err := os.Mkdir(session, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := writeFile(t, j.home+"/rc", `
session.path.set = `+session+`
directory.default.set = `+j.dir+`
network.bind_address.set = `+j.addr+`
network.port_range.set = `+peerPort+`-`+peerPort+`
network.port_random.set = no
dht.mode.set = off
trackers.use_udp.set = yes
protocol.pex.set = no
protocol.encryption.set = none
pieces.hash.on_completion.set = no
system.daemon.set = true
log.open_file = "log", /dev/stderr
log.add_output = "info", "log"
log.add_output = "tracker_debug", "log"
log.add_output = "connection_debug", "log"
log.add_output = "peer_debug", "log"
method.set_key = event.download.finished,mark,"execute.nothrow=`+j.home+`/mark"
load.start = `+j.source+`
`, 0o644)
	return []string{"rtorrent", "-n", "-o", "import=" + conf}
}

// script is the libtorrent client, by its absolute path: clients run in a home of their own.
func script(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("testdata/lt.py")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var hasLibtorrent = sync.OnceValue(func() bool { return exec.Command(python, "-c", "import libtorrent").Run() == nil })
