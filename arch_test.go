package shoal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rule is one line of the layer table: no package under from may reach a
// package under to, but for those under except, because of why.
//
// Names are paths below the module ("" is the root package alone, "*" every
// package) or, in to and except, packages of the standard library and of other
// modules. A name ending in a slash means everything below it, another the
// package itself and everything below it.
type rule struct {
	from, to, except string
	direct           bool // look only at what a package imports itself, not at what that imports
	why              string
}

// Names that several rules share. Codecs and decisions are the two kinds of
// package that must run without a machine.
const (
	sockets   = "net net/http net/rpc golang.org/x/net"
	files     = "os os/exec syscall golang.org/x/sys io/ioutil"
	formats   = "internal/bt/bencode internal/bt/bitfield internal/bt/metainfo internal/bt/wire internal/bt/announce internal/bt/multihome"
	decisions = "internal/bt/swarm/picker internal/bt/swarm/choker internal/bt/swarm/peers internal/bt/swarm/inflight internal/bt/swarm/owner " +
		"internal/bt/tracker/handout internal/deploy/rollout internal/deploy/plan internal/deploy/release/reuse"
)

var layers = []rule{
	{from: "", to: "internal/ " + sockets + " " + files, except: "internal/topology internal/schedule internal/quantity net/netip",
		why: "the root holds nouns: everything may import it, so it may import nothing"},
	{from: "internal/topology", to: "internal/ " + sockets, except: "net/netip internal/schedule internal/quantity",
		why: "a leaf that all may use; places are a pure calculation"},
	{from: "internal/bt/limit internal/pressure", to: sockets + " " + files + " log/slog", except: "net/netip",
		why: "what a limit is and how far a governor yields are decisions: testable by a table"},
	{from: "internal/schedule internal/quantity", to: "internal/ " + sockets + " " + files, except: "internal/quantity",
		why: "leaves that all may use; when a limit holds and how it is written are pure calculations"},
	{from: "internal/strictyaml", to: "internal/ " + sockets + " " + files,
		why: "a leaf that all may use: it reads bytes"},
	{from: "internal/atomicfile internal/filelock internal/diskfree", to: "internal/ " + sockets,
		why: "a leaf that all may use"},
	{from: "internal/trust", to: "internal/ net/http", except: "internal/topology internal/schedule internal/quantity internal/atomicfile",
		why: "who is who must not depend on how anybody asks: it decides and calculates, others listen and dial"},
	{from: "internal/bt/", to: "internal/trust",
		why: "bt takes a TLS configuration and an answer to who may; whose they are is the fleet's matter"},
	{from: "internal/bt/", to: "internal/deploy/ internal/front/ internal/node",
		why: "bt must make sense to someone who never deploys"},
	{from: "internal/deploy/", to: "internal/bt/ internal/front/ internal/node", except: "internal/bt/metainfo internal/bt/bencode internal/bt/bitfield",
		why: "deploying must not care how bytes travel; the metafile is all both sides share, with what it is written in"},
	{from: "*", to: "internal/node", except: "from:internal/front/cli from:cmd/shoal from:internal/node from:internal/interop", direct: true,
		why: "one place wires, and only the commands start it"},
	{from: "*", to: "internal/front/", except: "from:internal/front/ from:cmd/shoal from:internal/node from:bench/", direct: true,
		why: "front ends parse, call and print; nothing depends on them but loads that play their callers"},
	{from: formats, to: sockets + " " + files, except: "net/netip net/url from:internal/bt/metainfo/build",
		why: "a format is bytes to values and back, so that it can be fuzzed and used anywhere"},
	{from: formats, to: "internal/", except: formats + " internal/atomicfile from:internal/bt/metainfo/build",
		why: "formats stand below everything else"},
	{from: "internal/bt/metainfo/build", to: sockets, except: "net/netip net/url",
		why: "making a metafile needs a tree and nothing else"},
	{from: decisions, to: sockets + " " + files + " log/slog", except: "net/netip net/url",
		why: "decisions are pure functions of values and now: testable by a table, usable in a simulation"},
	{from: "internal/bt/storage", to: "internal/bt/ " + sockets, except: "net/netip net/url internal/bt/storage internal/bt/metainfo internal/bt/bitfield internal/bt/bencode",
		why: "storage maps pieces to files and knows no peers"},
	{from: "internal/bt/peerconn", to: "internal/bt/swarm internal/bt/storage internal/bt/tracker internal/bt/announcer",
		why: "a connection knows neither torrents nor picking"},
	{from: "internal/bt/swarm internal/bt/announcer", to: "internal/bt/tracker",
		why: "a peer talks to trackers by their protocol only"},
	{from: "internal/bt/tracker", to: "internal/bt/swarm internal/bt/storage internal/bt/peerconn internal/bt/announcer",
		why: "a tracker introduces peers and never touches content"},
	{from: "internal/deploy/release", to: sockets, except: "net/netip net/url",
		why: "switching versions on a host must work with the network down"},
	{from: "internal/deploy/fleetstore", to: "internal/", except: "internal/deploy/fleetstore internal/filelock internal/topology internal/schedule internal/quantity",
		why: "the store keeps bytes under names, and knows nothing of rollouts"},
	{from: "internal/deploy/controller", to: "net/http html/template",
		why: "the controller runs rollouts; how they are asked for and shown is the front's"},
	{from: "internal/front/api", to: "internal/", except: "internal/trust internal/topology internal/schedule internal/quantity internal/atomicfile",
		why: "the API asks the root's interfaces: what stands behind them is given to it"},
	{from: "internal/front/web", to: "internal/", except: "internal/front/ internal/topology internal/schedule internal/quantity",
		why: "pages know the root's interfaces only"},
	{from: "*", to: "internal/killpoint", direct: true,
		why: "only tests kill processes"},
	{from: "*", to: "testing testing/iotest", except: "from:internal/bt/storage/storagetest from:internal/deploy/fleetstore/storetest from:internal/simnet/faketime", direct: true,
		why: "tests stay in tests; fake time, which Go has in testing/synctest only, is borrowed in one place"},
	{from: "*", to: "internal/simnet", except: "from:internal/simnet from:internal/simulate", direct: true,
		why: "a network in memory and fake time are for tests and for simulate: no role of a host may run on them"},
	{from: "*", to: "io/ioutil math/rand", except: "math/rand/v2", direct: true,
		why: "both have a better successor in the standard library"},
}

// TestLayers holds the layer table of the house: orders go down, reports go
// up, bytes go sideways.
func TestLayers(t *testing.T) {
	house := loadHouse(t)
	for _, r := range layers {
		except, exempt := splitExcept(r.except)
		for _, pkg := range house.packages() {
			if !matches(r.from, pkg, true) || matches(exempt, pkg, true) {
				continue
			}
			for _, target := range house.reach(pkg, r.direct) {
				if target == pkg || !matches(r.to, target, false) || matches(except, target, false) {
					continue
				}
				t.Errorf("%s must not reach %s: %s\n\tpath: %s", nameOf(pkg), target, r.why,
					strings.Join(house.route(pkg, target), " -> "))
			}
		}
	}
}

// TestLayerRules checks that the table itself bites, on a made-up house.
func TestLayerRules(t *testing.T) {
	h := house{
		"internal/bt/swarm/picker": {"internal/bt/metainfo"},
		"internal/bt/metainfo":     {"net"},
	}
	if got := h.reach("internal/bt/swarm/picker", false); !slices.Equal(got, []string{"internal/bt/metainfo", "net"}) {
		t.Errorf("reach: got %q", got)
	}
	if got := h.reach("internal/bt/swarm/picker", true); !slices.Equal(got, []string{"internal/bt/metainfo"}) {
		t.Errorf("direct reach: got %q", got)
	}
	for _, c := range []struct {
		patterns, name string
		ours, want     bool
	}{
		{"internal/bt/", "internal/bt/wire", true, true},
		{"internal/bt/", "internal/bt", true, false},
		{"net", "net", false, true},
		{"net", "net/http", false, true},
		{"net", "netip", false, false},
		{"a internal/bt/wire", "internal/bt/wire/x", true, true},
		{"*", "anything", true, true},
		{"", "", true, true},
		{"", "internal/node", true, false},
	} {
		if got := matches(c.patterns, c.name, c.ours); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.patterns, c.name, got, c.want)
		}
	}
}

// house is what each package of the module imports outside its tests, on any
// platform. Names of our own packages are relative to the module.
type house map[string][]string

// loadHouse parses the imports of every Go file below the root. It does not
// ask the go command, so that files for other platforms count too.
func loadHouse(t *testing.T) house {
	h := house{}
	for name, file := range goFiles(t, parser.ImportsOnly) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		pkg := packageOf(name)
		h[pkg] = append(h[pkg], nil...)
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: import %s: %v", name, spec.Path.Value, err)
			}
			h[pkg] = append(h[pkg], strings.TrimPrefix(target, "shoal/"))
		}
	}
	if len(h) < 3 {
		t.Fatalf("found only %d packages: is the test run in the root of the module?", len(h))
	}
	return h
}

func (h house) packages() []string { return slices.Sorted(maps.Keys(h)) }

// reach lists, sorted, what pkg imports, and what our packages among those
// import in turn unless direct.
func (h house) reach(pkg string, direct bool) []string {
	seen := map[string]bool{}
	todo := []string{pkg}
	for len(todo) > 0 {
		var next []string
		for _, p := range todo {
			for _, target := range h[p] {
				if !seen[target] {
					seen[target] = true
					next = append(next, target)
				}
			}
		}
		if todo = next; direct {
			break
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// route is a shortest chain of imports from pkg to target, for the message.
func (h house) route(pkg, target string) []string {
	routes := [][]string{{nameOf(pkg)}}
	at := []string{pkg}
	seen := map[string]bool{pkg: true}
	for len(at) > 0 {
		p, way := at[0], routes[0]
		at, routes = at[1:], routes[1:]
		for _, next := range h[p] {
			if next == target {
				return append(way, next)
			}
			if !seen[next] {
				seen[next] = true
				at, routes = append(at, next), append(routes, append(slices.Clone(way), next))
			}
		}
	}
	return nil
}

// matches reports whether a name is under one of the patterns. ours says that
// the name is a package of this module, where "" is the root.
func matches(patterns, name string, ours bool) bool {
	if ours && patterns == "" {
		return name == ""
	}
	for _, p := range strings.Fields(patterns) {
		switch {
		case p == "*" && ours, p == name:
			return true
		case strings.HasSuffix(p, "/") && strings.HasPrefix(name, p):
			return true
		case strings.HasPrefix(name, p+"/"):
			return true
		}
	}
	return false
}

// splitExcept parts an except list into targets and, spelled "from:NAME",
// packages that the rule does not bind.
func splitExcept(except string) (targets, exempt string) {
	var to, from []string
	for _, f := range strings.Fields(except) {
		if name, ok := strings.CutPrefix(f, "from:"); ok {
			from = append(from, name)
		} else {
			to = append(to, f)
		}
	}
	if len(from) == 0 {
		return strings.Join(to, " "), "-" // no package is called that
	}
	return strings.Join(to, " "), strings.Join(from, " ")
}

func nameOf(pkg string) string {
	if pkg == "" {
		return "shoal (the root)"
	}
	return pkg
}

// packageOf names the package of a file, relative to the module.
func packageOf(file string) string {
	dir := path.Dir(filepath.ToSlash(file))
	if dir == "." {
		return ""
	}
	return dir
}

// goFiles parses every Go file of the module, by its path below the root.
func goFiles(t *testing.T, mode parser.Mode) map[string]*ast.File {
	t.Helper()
	files, set := map[string]*ast.File{}, token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, mode)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
