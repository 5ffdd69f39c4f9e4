package node

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/fleetstore/storetest"
)

const serverVar = "SHOAL_NODE_TEST_SERVER" // ServerOptions of a process, in JSON

// serverRole is what a process of TestClusterKilled is told.
type serverRole struct {
	Name, Data, API, NATS string
	URLs                  []string
}

// TestRoleServer is the process that is killed: a server of the control plane.
func TestRoleServer(t *testing.T) {
	text := os.Getenv(serverVar)
	if text == "" {
		t.Skip("this is a process of TestClusterKilled")
	}
	var r serverRole
	must(t, json.Unmarshal([]byte(text), &r))
	go func() { // ends with the test that started it, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	must(t, Server(t.Context(), ServerOptions{
		Options: quiet("127.0.0.1:0", nil), Data: r.Data, API: r.API, Name: r.Name, Servers: r.URLs, Store: fleetstore.Options{URL: r.NATS},
		Ready: func(s Started) {
			doc, err := json.Marshal(s)
			must(t, err)
			fmt.Printf("ready %s\n", doc)
		},
	}))
}

// trio is a fleet of three servers, which are processes of their own, over a
// real cluster of three NATS servers.
type trio struct {
	fleet
	t     *testing.T
	roles map[string]serverRole
	runs  map[string]*exec.Cmd
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	nats := storetest.NewCluster(t).URL()
	r := &trio{t: t, roles: map[string]serverRole{}, runs: map[string]*exec.Cmd{}}
	var listeners []net.Listener
	for range 3 { // the servers come back where they were
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		listeners = append(listeners, l)
		r.urls = append(r.urls, "https://"+l.Addr().String())
	}
	for i, l := range listeners {
		name := fmt.Sprint("s", i+1)
		r.roles[name] = serverRole{Name: name, Data: filepath.Join(t.TempDir(), name), API: l.Addr().String(), NATS: nats, URLs: r.urls}
		must(t, l.Close())
	}
	t.Cleanup(func() { r.kill(slices.Collect(maps.Keys(r.runs))...) })
	r.Started, r.dir = r.start("s1"), r.roles["s1"].Data // the first one makes the fleet
	r.start("s2")
	r.start("s3")
	r.enter(t)
	return r
}

// start starts a server and waits until it serves.
func (r *trio) start(name string) (s Started) {
	r.t.Helper()
	role, err := json.Marshal(r.roles[name])
	must(r.t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestRoleServer$", "-test.count=1")
	cmd.Env = append(os.Environ(), serverVar+"="+string(role), "GORACE=atexit_sleep_ms=0")
	_, err = cmd.StdinPipe() // is closed when this process ends
	must(r.t, err)
	out, err := cmd.StdoutPipe()
	must(r.t, err)
	must(r.t, cmd.Start())
	r.runs[name] = cmd
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if doc, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			must(r.t, json.Unmarshal([]byte(doc), &s))
			return s
		}
		r.t.Logf("%s: %s", name, lines.Text())
	}
	r.t.Fatalf("server %s has not started", name)
	return s
}

// kill ends servers as a loss of power does.
func (r *trio) kill(names ...string) {
	for _, name := range names {
		must(r.t, r.runs[name].Process.Kill())
	}
	for _, name := range names {
		_ = r.runs[name].Wait() // it was killed
		delete(r.runs, name)
	}
}

// killLeader kills the server that runs the rollouts and wants another one to do
// so within ten seconds. Those that were killed before are started again first.
func (r *trio) killLeader(when string) {
	r.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(r.roles)) {
		if r.runs[name] == nil {
			r.start(name)
		}
	}
	leader := ""
	wait(r.t, func() bool { leader = r.leader(); return leader != "" })
	r.kill(leader)
	a, now := newAwake(), ""
	for now = r.leader(); now == "" || now == leader; now = r.leader() {
		time.Sleep(20 * time.Millisecond)
		if a.so() > 10*time.Second {
			r.t.Fatalf("%s: nobody has taken over from %s within ten seconds", when, leader)
		}
	}
	r.t.Logf("%s: %s was killed, and %s runs the rollouts after %s", when, leader, now, a.so().Round(time.Millisecond))
}

func (r *trio) leader() string {
	s, err := r.admin.Situation(r.t.Context())
	must(r.t, err)
	return s.Leader
}

// waits waits until the line of status says something.
func (r *trio) waits(id uint64, text string) {
	r.t.Helper()
	last := ""
	for a := newAwake(); !strings.Contains(last, text); time.Sleep(20 * time.Millisecond) {
		p, err := r.admin.Rollout(r.t.Context(), id)
		must(r.t, err)
		if last = fmt.Sprintf("%s: %s (%s) %v", p.Phase, p.Waits.What, p.Waits.Evidence, p.Counts); a.so() > 2*patience {
			r.t.Fatalf("rollout %d never said %q, but %s", id, text, last)
		}
	}
}

// audit holds the audit log of a rollout to its actions: each is there once, they
// are numbered without a gap, and there are no others.
func (r *trio) audit(id uint64, want ...string) {
	r.t.Helper()
	var entries []shoal.AuditEntry
	wait(r.t, func() (ended bool) {
		var err error
		entries, err = r.admin.Audit(r.t.Context(), shoal.AuditQuery{Rollout: id})
		must(r.t, err)
		return len(entries) > 0 && entries[len(entries)-1].Do == "end"
	})
	last, actions := uint64(0), []string{}
	for _, e := range entries {
		if e.Action == 0 {
			continue // of a person
		}
		if e.Action != last+1 {
			r.t.Errorf("rollout %d: action %d after %d: %+v", id, e.Action, last, e)
		}
		last = e.Action
		_, host, _ := strings.Cut(e.What, " ")
		if e.Do != "recall" { // of those that had failed when that was looked at
			actions = append(actions, strings.TrimSpace(e.Do+" "+host))
		}
	}
	slices.Sort(actions)
	if slices.Sort(want); !slices.Equal(actions, want) {
		r.t.Errorf("rollout %d did %q, want %q", id, actions, want)
	}
}

// machines are the hosts of a trio. What they switch to is kept in a file each;
// a switch waits, live and not yet well, for as long as there is a file HOST.VERSION.
type machines struct {
	t     *testing.T
	dir   string
	names []string
	roots []string
	peers []string // where they listen
}

const hostScript = `#!/bin/sh
here=${0%/*} host=${0##*/}
case $1 in
after)
	echo "$SHOAL_VERSION" >>"$here/$host.log"
	while [ -e "$here/$host.$SHOAL_VERSION" ]; do sleep 0.05; done ;;
well) [ ! -e "$here/$host.sick.$SHOAL_VERSION" ] ;;
esac
`

func (r *trio) machines(n int, down int64) *machines {
	r.t.Helper()
	m := &machines{t: r.t, dir: r.t.TempDir()}
	none, started := 0, make(chan string, 1)
	for i := range n {
		name, root := fmt.Sprint("web-", i), r.t.TempDir()
		script := filepath.Join(m.dir, name)
		must(r.t, os.WriteFile(script, []byte(hostScript), 0o755))
		r.host(r.t, name, root, func(o *AgentOptions) {
			o.TorrentDown = down
			o.Ready = func(at netip.AddrPort) { started <- at.String() }
			o.Config.Apps = map[string]agent.AppConfig{"web": {
				PostActivate: agent.Hook{Command: []string{script, "after"}},
				Health:       agent.Health{Hook: agent.Hook{Command: []string{script, "well"}}, Retries: &none},
			}}
		})
		m.names, m.roots, m.peers = append(m.names, name), append(m.roots, root), append(m.peers, <-started)
	}
	r.online(r.t, n)
	return m
}

// set makes a file for each of these hosts, unset removes it.
func (m *machines) set(mark string, hosts ...string) {
	for _, h := range hosts {
		must(m.t, os.WriteFile(filepath.Join(m.dir, h+"."+mark), nil, 0o644))
	}
}

func (m *machines) unset(mark string, hosts ...string) {
	for _, h := range hosts {
		must(m.t, os.Remove(filepath.Join(m.dir, h+"."+mark)))
	}
}

// each are actions of all hosts.
func (m *machines) each(verbs ...string) (all []string) {
	for _, v := range verbs {
		for _, h := range m.names {
			all = append(all, v+" "+h)
		}
	}
	return all
}

// ran wants every host to have switched to these versions, once each.
func (m *machines) ran(versions ...string) {
	m.t.Helper()
	want := strings.Join(versions, "\n") + "\n"
	for _, h := range m.names {
		if b, err := os.ReadFile(filepath.Join(m.dir, h+".log")); err != nil || string(b) != want {
			m.t.Errorf("%s switched to %q, %v, want %q", h, b, err, want)
		}
	}
}

// TestClusterKilled runs two rollouts through all their phases, one that ends
// well and one that goes back, and kills the server that runs them in each, and
// once all three. No step is lost or taken twice, by the audit log and by what
// happened on the hosts.
func TestClusterKilled(t *testing.T) {
	r := newTrio(t)
	first := newRelease(t, metainfo.Hybrid)
	m := r.machines(3, first.meta.Info.ContentLength()/15)
	leave := r.register(t, first, "1")
	member := r.member(t)
	count := func(id uint64, status string, n int) {
		t.Helper()
		wait(t, func() bool {
			p, err := r.admin.Rollout(t.Context(), id)
			must(t, err)
			return p.Counts[status] == n
		})
	}
	// What a host is at, servers tell each other only every five seconds.
	fetching := func(id uint64, peers int) {
		t.Helper()
		begun := map[string]bool{}
		wait(t, func() bool {
			p, err := r.admin.Rollout(t.Context(), id)
			must(t, err)
			for _, m := range p.Members {
				if w := m.Work; m.Status == "staged" || w != nil && w.Step == shoal.StepFetch && w.Peers >= peers {
					begun[m.Host] = true
				}
			}
			return len(begun) == 3
		})
	}

	id := r.push(t, "1", func(w *shoal.Rollout) {
		w.StageOnly = true
		var err error
		w.Waves, err = shoal.ParseWaves("canary=1 soak=4s, 100%", shoal.Wave{})
		must(t, err)
	})
	fetching(id, 6) // each other, the servers and who pushed
	r.kill("s1", "s2", "s3")
	for _, root := range m.roots {
		waitFor(t, 6*patience, func() bool { _, err := os.Stat(filepath.Join(root, "web/releases/1")); return err == nil })
		if _, err := os.Lstat(filepath.Join(root, "web/current")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("nobody ordered it, and it is live: %v", err)
		}
	}
	must(t, leave())
	for _, peer := range m.peers {
		dir, _, err := getFrom(t, first.file, peer, func(o *GetOptions) {
			_, err := o.JoinFleet(member.Certificate, member.Authorities, func(*x509.Certificate) error { return nil })
			must(t, err)
		})
		must(t, err)
		same(t, dir)
	}
	r.start("s3")
	r.start("s1")
	r.start("s2")
	r.reaches(t, id, "ready")
	r.killLeader("ready")

	m.set("1", m.names...)
	_, err := r.admin.Command(t.Context(), id, shoal.Command{Do: "activate"})
	must(t, err)
	count(id, "switching", 1)
	r.killLeader("the first wave switches")
	m.unset("1", m.names...)
	r.waits(id, "soaks")
	m.set("1", m.names...)
	r.killLeader("the first wave soaks")
	count(id, "switching", 2)
	r.killLeader("the last wave switches")
	m.unset("1", m.names...)
	r.reaches(t, id, "done")
	r.killLeader("done")
	m.ran("1")
	for _, root := range m.roots {
		sameTree(t, filepath.Join(root, "web/current"))
	}

	second := newRelease(t, metainfo.Hybrid, func(app string) {
		big := filepath.Join(app, "data/big")
		b, err := os.ReadFile(big)
		must(t, err)
		slices.Reverse(b)
		must(t, os.WriteFile(big, b, 0o644))
	})
	r.register(t, second, "2")
	m.set("sick.2", "web-0", "web-1")
	m.set("2", "web-0", "web-1")
	m.set("1", "web-2")
	id = r.push(t, "2", func(w *shoal.Rollout) {
		w.StartAt, w.Limits.OnBreach = time.Now().Add(3*time.Second), shoal.BreachRollback
		var err error
		w.Waves, err = shoal.ParseWaves("100%", shoal.Wave{})
		must(t, err)
	})
	r.reaches(t, id, "queued")
	r.killLeader("queued")
	fetching(id, 1)
	r.killLeader("staging")
	count(id, "live", 1)
	r.killLeader("some switch, and one is live")
	m.unset("2", "web-0", "web-1")
	r.reaches(t, id, "rolling-back")
	r.killLeader("rolling back")
	m.unset("1", "web-2")
	r.reaches(t, id, "rolled-back")
	m.ran("1", "2", "1")
	for _, root := range m.roots {
		sameTree(t, filepath.Join(root, "web/current"))
	}
	r.audit(1, append(m.each("stage", "switch"), "start", "ready", "wave", "wave", "end")...)
	r.audit(2, append(m.each("stage", "switch", "restore"), "start", "ready", "wave", "rollback", "end")...)
}
