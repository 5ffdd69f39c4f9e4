//go:build linux

package interop_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestMatrix has shoal seed to every stock client and every stock client seed to shoal: through shoal's tracker and
// through opentracker, by HTTP and by UDP, with v1 and hybrid metafiles, and with v2 where the client has it.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, stock := range stockClients {
		for _, version := range []string{"v1", "hybrid", "v2"} {
			if version == "v2" && !stock.v2 {
				continue
			}
			for _, kind := range trackers {
				for _, scheme := range []string{"http", "udp"} {
					t.Run(fmt.Sprintf("%s/%s/%s-%s", stock.name, version, kind.name, scheme), func(t *testing.T) {
						t.Parallel()
						need(t, stock.needs...)
						matrixCase(t, stock, version, kind, scheme)
					})
				}
			}
		}
	}
}

func matrixCase(t *testing.T, stock client, version string, kind trackerKind, scheme string) {
	for _, pair := range [][2]client{{shoalClient, stock}, {stock, shoalClient}} {
		t.Run(pair[0].name+"-seeds", func(t *testing.T) {
			t.Parallel()
			content := oddFolder("release")
			origin := t.TempDir()
			content.write(t, origin)
			addr := newAddr()
			torrent := create(t, filepath.Join(origin, "release"), "--format", version, "-l", "16", "-a", announceURL(scheme, addr))
			if cannot(t, stock, version, torrent) {
				return
			}
			exchange(t, pair[0], pair[1], startTracker(t, kind, addr, torrent), torrent, origin, content)
		})
	}
}

// cannot tells whether a stock client is unable to take any metafile of a version. It counts as the client's limit
// only if the client refuses another maker's metafile of the same version too; else the fault is shoal's.
func cannot(t *testing.T, stock client, version, torrent string) bool {
	t.Helper()
	if stock.refuses == nil {
		return false
	}
	why := stock.refuses(t, torrent)
	if why == "" {
		return false
	}
	dir := t.TempDir()
	oddFolder("other").write(t, dir)
	other := stockMetafile(t, "libtorrent", version, announceURL("http", "10.77.0.1"), filepath.Join(dir, "other"))
	if stock.refuses(t, other) == "" {
		t.Fatalf("%s, but it takes libtorrent's %s metafile", why, version)
	}
	t.Logf("not possible with this %s: %s, whoever made it", stock.name, why)
	return true
}

// create makes a metafile with shoal.
func create(t *testing.T, path string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "release.torrent")
	run(t, append([]string{shoalBinary, "create", path, "-o", out}, args...)...)
	return out
}

// TestSingleFile does the same with a release that is one file, whose end lies inside a block: both ways, each client.
func TestSingleFile(t *testing.T) {
	t.Parallel()
	for _, stock := range stockClients {
		for _, version := range []string{"v1", "hybrid"} {
			for _, pair := range [][2]client{{shoalClient, stock}, {stock, shoalClient}} {
				t.Run(fmt.Sprintf("%s/%s/%s-seeds", stock.name, version, pair[0].name), func(t *testing.T) {
					t.Parallel()
					need(t, stock.needs...)
					content := tree{"image.bin": file(3_000_001, 7)}
					origin := t.TempDir()
					content.write(t, origin)
					addr := newAddr()
					torrent := create(t, filepath.Join(origin, "image.bin"), "--format", version, "-a", announceURL("http", addr))
					if cannot(t, stock, version, torrent) {
						return
					}
					exchange(t, pair[0], pair[1], startTracker(t, ownTracker, addr, torrent), torrent, origin, content)
				})
			}
		}
	}
}

// TestMetafilesOfOthers has shoal seed and get what other makers' metafiles describe.
func TestMetafilesOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ maker, version string }{
		{"mktorrent", "v1"}, {"libtorrent", "v1"}, {"libtorrent", "hybrid"}, {"libtorrent", "v2"},
	} {
		for _, pair := range [][2]client{{shoalClient, libtorrent}, {libtorrent, shoalClient}, {shoalClient, shoalClient}} {
			t.Run(fmt.Sprintf("%s-%s/%s-%s", c.maker, c.version, pair[0].name, pair[1].name), func(t *testing.T) {
				t.Parallel()
				need(t, pythonLibtorrent)
				content := oddFolder("foreign")
				origin := t.TempDir()
				content.write(t, origin)
				addr := newAddr()
				torrent := stockMetafile(t, c.maker, c.version, announceURL("udp", addr), filepath.Join(origin, "foreign"))
				exchange(t, pair[0], pair[1], startTracker(t, ownTracker, addr, torrent), torrent, origin, content)
			})
		}
	}
}

// TestMixedSwarm lets all five clients fetch from one shoal seed, and from each other, at the same time.
func TestMixedSwarm(t *testing.T) {
	t.Parallel()
	for version, five := range map[string][]client{
		"v1":     {shoalClient, aria2, libtorrent, transmission, rtorrent},
		"hybrid": {shoalClient, newerAria2, libtorrent, newerTransmission, rtorrent},
	} {
		for _, kind := range trackers {
			t.Run(version+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				mixedSwarm(t, five, version, kind)
			})
		}
	}
}

func mixedSwarm(t *testing.T, clients []client, version string, kind trackerKind) {
	content := tree{"mixed/a.bin": file(6_000_000, 1), "mixed/sub/b.bin": file(2_000_003, 2), "mixed/sub/c": file(1, 3)}
	origin := t.TempDir()
	content.write(t, origin)
	addr := newAddr()
	torrent := create(t, filepath.Join(origin, "mixed"), "--format", version, "-l", "16", "-a", announceURL("http", addr))
	tr := startTracker(t, kind, addr, torrent)
	seed := join(t, shoalClient, torrent, origin)
	tr.waitSeeds(t, readMetafile(t, torrent), 1, seed.process)
	peers, dirs := make([]*peer, len(clients)), make([]string, len(clients))
	for i, c := range clients {
		dirs[i] = t.TempDir()
		peers[i] = join(t, c, torrent, dirs[i])
	}
	for i, c := range clients {
		waitFor(t, c.name+" is complete", peers[i].complete, peers[i].process, tr.process)
		c.intact(t, content, dirs[i])
	}
}
