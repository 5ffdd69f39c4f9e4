//go:build linux

package interop_test

import (
	"encoding/hex"
	"net/url"
	"path/filepath"
	"testing"
)

// TestMagnet fetches by magnet links in both directions: the metafile's info comes from the peer (BEP 9), for v2 its
// piece layers too (BEP 52). The links are put together here, from the raw metafile.
func TestMagnet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ version, link string }{
		{"v1", "btih"}, {"hybrid", "btih"}, {"hybrid", "btmh"}, {"hybrid", "both"}, {"v2", "btmh"},
	} {
		for _, pair := range [][2]client{{shoalClient, libtorrent}, {libtorrent, shoalClient}, {shoalClient, shoalClient}, {libtorrent, libtorrent}} {
			t.Run(c.version+"-"+c.link+"/"+pair[0].name+"-"+pair[1].name, func(t *testing.T) {
				t.Parallel()
				need(t, pythonLibtorrent)
				content := oddFolder("by magnet")
				origin := t.TempDir()
				content.write(t, origin)
				addr := newAddr()
				announce := announceURL("http", addr)
				torrent := create(t, filepath.Join(origin, "by magnet"), "--format", c.version, "-l", "15", "-a", announce)
				m := readMetafile(t, torrent)
				tr := startTracker(t, ownTracker, addr, torrent)
				seed := join(t, pair[0], torrent, origin)
				tr.waitSeeds(t, m, 1, seed.process)
				dir := t.TempDir()
				get := join(t, pair[1], magnet(m, c.link, announce), dir)
				waitFor(t, pair[1].name+" is complete", get.complete, get.process, seed.process)
				pair[1].intact(t, content, dir)
			})
		}
	}
}

// magnet is a link with the v1 hash, the v2 hash (a multihash: sha2-256, 32 bytes), or both.
func magnet(m metafile, kind, announce string) string {
	link := "magnet:?"
	if kind != "btmh" {
		link += "xt=urn:btih:" + hex.EncodeToString([]byte(m.v1)) + "&"
	}
	if kind != "btih" {
		link += "xt=urn:btmh:1220" + hex.EncodeToString([]byte(m.v2)) + "&"
	}
	return link + "dn=x&tr=" + url.QueryEscape(announce)
}
