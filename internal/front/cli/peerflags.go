package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"shoal/internal/bt/limit"
	"shoal/internal/bt/multihome"
	"shoal/internal/bt/peertls"
	"shoal/internal/bt/storage"
	"shoal/internal/node"
	"shoal/internal/quantity"
)

// peerFlags are the flags of every verb that takes part in a swarm.
type peerFlags struct {
	listen         string
	limits         map[string]*string // of the limits that have a flag, by name
	more           []string           // NAME=LIMIT
	eachUp, eachDn string
	ramp           time.Duration
	dscp           string
	background     bool
	yield          bool
	peers          int
	place          node.PlaceOptions
	addresses      []string
	control        string
	tls            struct{ cert, key, ca string }
}

// limitFlags are the limits that have a flag of their own.
func limitFlags() [][2]string {
	return [][2]string{
		{"up", "limit of what the process sends, for example 50MB/s, or with hours (shoal help limits)"},
		{"down", "limit of what the process receives, for example 400mbit"},
		{"up-wan", "the same towards other data centres, and hosts whose place is not known"},
		{"down-wan", "limit of what comes from other data centres"},
		{"up-local", "the same inside of this host's data centre"},
		{"down-local", "limit of what comes from this host's data centre"},
	}
}

func (f *peerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.listen, "listen", "", "address for peers, HOST:PORT or :PORT (default: the first free of 6881 to 6889)")
	f.limits = map[string]*string{}
	for _, l := range limitFlags() {
		f.limits[l[0]] = flags.String(l[0], "", l[1])
	}
	flags.StringArrayVar(&f.more, "limit", nil, "any limit as NAME=RATE, for example up-link:atlantic=200mbit (repeat)")
	flags.StringVar(&f.eachUp, "torrent-up", "", "limit of what each torrent sends")
	flags.StringVar(&f.eachDn, "torrent-down", "", "limit of what each torrent receives")
	flags.DurationVar(&f.ramp, "ramp", 0, "let a transfer rise to its limits over this time, for example 30s")
	flags.StringVar(&f.dscp, "dscp", "le", "mark of the packets to peers: le, cs0 to cs7, none, or a number up to 63")
	flags.BoolVar(&f.background, "background", false, "take only the CPU and disk time that nobody else wants")
	flags.BoolVar(&f.yield, "yield", false, "take less while the host or the network is busy, and come back after it")
	flags.StringVar(&f.control, "control", "", "socket for shoal ctl, or none (default: PID.sock in the folder that ctl looks into)")
	flags.IntVar(&f.peers, "max-peers", 0, "connections a torrent (0: chosen by the engine)")
	flags.StringVar(&f.tls.cert, "tls-cert", "", "PEM file with this host's certificate: all peers must then show one of --tls-ca")
	flags.StringVar(&f.tls.key, "tls-key", "", "PEM file with its key")
	flags.StringVar(&f.tls.ca, "tls-ca", "", "PEM file with the CAs that sign the certificates of peers and https trackers")
	flags.StringVar(&f.place.TopologyFile, "topology", "", "YAML file with the data centres, racks and links")
	flags.StringVar(&f.place.Datacenter, "datacenter", "", "data centre of this host (default: by its address, from --topology)")
	flags.StringArrayVar(&f.addresses, "address", nil, "another address of this host: NETWORK=IP[:PORT] for hosts of its data centre on that network, "+
		"IP[:PORT] for everybody, as behind address translation (repeat; default: by its interfaces, from --topology)")
	flags.StringVar(&f.place.Rack, "rack", "", "rack of this host (default: by its address, from --topology)")
}

// options checks the flags and turns them into what node takes.
func (f *peerFlags) options(s *shell) (node.Options, error) {
	o := node.Options{Listen: f.listen, MaxPeers: f.peers, Ramp: f.ramp, Background: f.background, Yield: f.yield, Place: f.place, Log: s.log}
	var err error
	if o.Place.Addresses, err = parseAddresses(f.addresses); err != nil {
		return o, err
	}
	if o.Limits, err = f.changes(); err != nil {
		return o, err
	}
	for _, r := range []struct {
		flag, text string
		to         *int64
	}{{"torrent-up", f.eachUp, &o.TorrentUp}, {"torrent-down", f.eachDn, &o.TorrentDown}} {
		if r.text == "" {
			continue
		}
		v, err := quantity.ParseRate(r.text)
		if err != nil {
			return o, usagef("", "--%s: %w", r.flag, err)
		}
		*r.to = v
	}
	switch f.control {
	case "none":
	case "":
		if dir := controlDir(); dir != "" {
			o.Control, o.ControlOptional = filepath.Join(dir, strconv.Itoa(os.Getpid())+".sock"), true
		}
	default:
		o.Control = f.control
	}
	if guard, err := f.guard(s); err != nil {
		return o, err
	} else if guard != nil {
		o.Secure, o.TrackerTLS = guard, guard.WebConfig
	}
	var ok bool
	switch o.DSCP, ok = parseDSCP(f.dscp); {
	case !ok:
		return o, usagef("le is the scavenger class of RFC 8622", "--dscp %q is neither le, cs0 to cs7, none, nor a number from 0 to 63", f.dscp)
	case f.peers < 0:
		return o, usagef("", "--max-peers %d is negative", f.peers)
	case f.ramp < 0 || f.ramp > 24*time.Hour:
		return o, usagef("", "--ramp %v is not between 0 and 24h", f.ramp)
	}
	return o, nil
}

// guard keeps strangers out; nil without its flags.
func (f *peerFlags) guard(s *shell) (*peertls.Guard, error) {
	t := f.tls
	if t.cert+t.key+t.ca == "" {
		return nil, nil
	}
	if t.cert == "" || t.key == "" || t.ca == "" {
		return nil, usagef("all three, or none of them", "--tls-cert, --tls-key and --tls-ca belong together")
	}
	o, err := peertls.Files(t.cert, t.key, t.ca)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		err = coded{err, CodeUsage, "each of the three is a PEM file; the key is the one of the certificate, and not encrypted"}
	}
	if err != nil {
		return nil, err
	}
	o.Log = s.log
	return peertls.New(o)
}

// changes are the limits of all flags.
func (f *peerFlags) changes() (out []limit.Change, err error) {
	for _, l := range limitFlags() {
		if text := *f.limits[l[0]]; text != "" {
			c, err := limit.ParseChange(l[0] + "=" + text)
			if err != nil {
				return nil, usagef("", "--%w", err)
			}
			out = append(out, c)
		}
	}
	for _, text := range f.more {
		c, err := limit.ParseChange(text)
		if err != nil {
			return nil, usagef("", "--limit: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

func parseAddresses(texts []string) (out []multihome.Address, err error) {
	for _, text := range texts {
		a, err := multihome.Parse(text)
		if err != nil {
			return nil, usagef("write for example storage=10.0.0.5 or 203.0.113.7:7001", "--address: %w", err)
		}
		out = append(out, a)
	}
	if err := multihome.Check(out); err != nil {
		return nil, usagef("", "--address: %w", err)
	}
	return out, nil
}

// parseDSCP reads the name or number of a code point (RFC 2474, RFC 8622).
func parseDSCP(s string) (dscp int, ok bool) {
	switch s = strings.ToLower(s); {
	case s == "le":
		return 1, true
	case s == "none":
		return 0, true
	case len(s) == 3 && strings.HasPrefix(s, "cs") && '0' <= s[2] && s[2] <= '7':
		return int(s[2]-'0') << 3, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 64
}

func parseCache(s string) (storage.CachePolicy, error) {
	c, err := storage.ParseCachePolicy(s)
	if err != nil {
		return c, usagef("", "--cache: %w", err)
	}
	return c, nil
}
