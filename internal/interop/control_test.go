//go:build linux

package interop_test

import "testing"

// TestControl runs stock clients among themselves, with opentracker and metafiles of others: no shoal in it. If it
// fails, this harness or the machine is at fault.
func TestControl(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed, get              client
		maker, version, scheme string
	}{
		{aria2, libtorrent, "mktorrent", "v1", "udp"},
		{libtorrent, aria2, "mktorrent", "v1", "http"},
		{libtorrent, transmission, "mktorrent", "v1", "udp"},
		{transmission, rtorrent, "mktorrent", "v1", "http"},
		{rtorrent, libtorrent, "libtorrent", "v1", "udp"},
		{libtorrent, libtorrent, "libtorrent", "hybrid", "http"},
		{libtorrent, libtorrent, "libtorrent", "v2", "udp"},
	} {
		t.Run(c.seed.name+"-"+c.get.name+"-"+c.version+"-"+c.scheme, func(t *testing.T) {
			t.Parallel()
			content := oddFolder("control")
			origin := t.TempDir()
			content.write(t, origin)
			addr := newAddr()
			torrent := stockMetafile(t, c.maker, c.version, announceURL(c.scheme, addr), origin+"/control")
			exchange(t, c.seed, c.get, startTracker(t, openTracker, addr, torrent), torrent, origin, content)
		})
	}
}

// exchange has one client seed origin and another one get it, and compares what arrived.
func exchange(t *testing.T, seed, get client, tr *tracker, torrent, origin string, content tree) {
	t.Helper()
	m := readMetafile(t, torrent)
	if !seed.v2 {
		m.writePads(t, origin)
	}
	s := join(t, seed, torrent, origin)
	tr.waitSeeds(t, m, 1, s.process)
	dir := t.TempDir()
	g := join(t, get, torrent, dir)
	waitFor(t, get.name+" is complete", g.complete, g.process, s.process, tr.process)
	get.intact(t, content, dir)
}
