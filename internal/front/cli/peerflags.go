package cli

import (
	"github.com/spf13/pflag"

	"shoal/internal/bt/rate"
	"shoal/internal/bt/storage"
	"shoal/internal/node"
)

// peerFlags are the flags of every verb that takes part in a swarm.
type peerFlags struct {
	listen         string
	up, down       string
	eachUp, eachDn string
	peers          int
}

func (f *peerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "listen", "", "address for peers, HOST:PORT or :PORT (default: the first free of 6881 to 6889)")
	flags.StringVar(&f.up, "up", "", "limit of what the process sends, for example 50MB/s")
	flags.StringVar(&f.down, "down", "", "limit of what the process receives, for example 400mbit")
	flags.StringVar(&f.eachUp, "torrent-up", "", "limit of what each torrent sends")
	flags.StringVar(&f.eachDn, "torrent-down", "", "limit of what each torrent receives")
	flags.IntVar(&f.peers, "max-peers", 0, "connections a torrent (0: chosen by the engine)")
}

// options checks the flags and turns them into what node takes.
func (f *peerFlags) options(s *shell) (node.Options, error) {
	o := node.Options{Listen: f.listen, MaxPeers: f.peers, Log: s.log}
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
		v, err := rate.Parse(r.text)
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

// checkTopology refuses a file that a later part could not use.
func checkTopology(file string) error {
	if file == "" {
		return nil
	}
	_, err := node.LoadTopology(file)
	return err
}
