package cli

import (
	"github.com/spf13/pflag"

	"shoal/internal/bt/storage"
	"shoal/internal/node"
	"shoal/internal/quantity"
)

// peerFlags are the flags of every verb that takes part in a swarm.
type peerFlags struct {
	listen         string
	up, down       string
	eachUp, eachDn string
	peers          int
	place          node.PlaceOptions
}

func (f *peerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "listen", "", "address for peers, HOST:PORT or :PORT (default: the first free of 6881 to 6889)")
	flags.StringVar(&f.up, "up", "", "limit of what the process sends, for example 50MB/s")
	flags.StringVar(&f.down, "down", "", "limit of what the process receives, for example 400mbit")
	flags.StringVar(&f.eachUp, "torrent-up", "", "limit of what each torrent sends")
	flags.StringVar(&f.eachDn, "torrent-down", "", "limit of what each torrent receives")
	flags.IntVar(&f.peers, "max-peers", 0, "connections a torrent (0: chosen by the engine)")
	flags.StringVar(&f.place.TopologyFile, "topology", "", "YAML file with the data centres, racks and links")
	flags.StringVar(&f.place.Datacenter, "datacenter", "", "data centre of this host (default: by its address, from --topology)")
	flags.StringVar(&f.place.Rack, "rack", "", "rack of this host (default: the same)")
}

// options checks the flags and turns them into what node takes.
func (f *peerFlags) options(s *shell) (node.Options, error) {
	o := node.Options{Listen: f.listen, MaxPeers: f.peers, Place: f.place, Log: s.log}
	for _, r := range []struct {
		flag, text string
		to         *int64
	}{
		{"up", f.up, &o.Up}, {"down", f.down, &o.Down},
		{"torrent-up", f.eachUp, &o.TorrentUp}, {"torrent-down", f.eachDn, &o.TorrentDown},
	} {
		if r.text == "" {
			continue
		}
		v, err := quantity.ParseRate(r.text)
		if err != nil {
			return o, usagef("", "--%s: %w", r.flag, err)
		}
		*r.to = v
	}
	if f.peers < 0 {
		return o, usagef("", "--max-peers %d is negative", f.peers)
	}
	return o, nil
}

func parseCache(s string) (storage.CachePolicy, error) {
	c, err := storage.ParseCachePolicy(s)
	if err != nil {
		return c, usagef("", "--cache: %w", err)
	}
	return c, nil
}
