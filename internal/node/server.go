package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal"
	"shoal/internal/atomicfile"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker"
	"shoal/internal/deploy/controller"
	"shoal/internal/deploy/depot"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/notify"
	"shoal/internal/front/api"
	"shoal/internal/topology"
	"shoal/internal/trust"
)

// ServerOptions are those of a server of the control plane: API, tracker and a
// source peer in one process. Options are those of the source peer.
type ServerOptions struct {
	Options
	Data  string // folder of everything that it keeps
	API   string // "host:port" to listen on
	Name  string // tells the servers of a fleet apart
	URL   string // by which agents reach it; "": made of Names and the port
	Names []string
	// Trackers are the URLs of all servers; none: this one alone.
	Servers []string
	Store   fleetstore.Options // Dir or URL; neither: a folder in Data
	CA      []byte             // PEM of an authority that somebody else made (trust.ParseAuthority); nil: the fleet's own
	Notices notify.Options
	Lead    time.Duration // from a push to its first byte, at least
	Keep    int           // releases of an app that the source keeps though no rollout wants them
	Plain   bool          // peers are talked to in the clear
	Content ContentOptions
	Ready   func(Started)
}

// DataError is what is wrong with the folder of everything that a server keeps.
type DataError struct {
	Dir string
	Err error
}

// Error implements error.
func (e *DataError) Error() string {
	return fmt.Sprintf("the data folder %s cannot be made or used: %v", e.Dir, e.Err)
}

// Unwrap is the cause.
func (e *DataError) Unwrap() error { return e.Err }

// Hint is what the operator can do.
func (e *DataError) Hint() string {
	return "name a folder on a disk that this user may write to, as in --data /var/lib/shoal; it is made if it is not there"
}

// Started is what a server says when it serves.
type Started struct {
	API   netip.AddrPort
	Peers netip.AddrPort
	URL   string
	Pin   string // of the fleet's authority
	Token string // file with the first admin's token, if this was the first start
}

// Server is made by NewServer.
type server struct {
	ServerOptions
	store     fleetstore.Store
	authority *trust.Authority
	cert      *trust.ServerCertificate
	control   *controller.Controller
	tracker   *tracker.Tracker
	listener  net.Listener
	recheck   func() // of the connections to peers; nil: they are in the clear
	started   Started
}

// Server runs a server of the control plane until ctx ends.
func Server(ctx context.Context, o ServerOptions) error {
	s := &server{ServerOptions: o}
	err := s.open(ctx)
	if err == nil {
		err = s.run(ctx)
	}
	return errors.Join(err, s.close())
}

// open makes all parts, so that what is wrong is told before anything begins.
func (s *server) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Join(s.Data, "source"), 0o700); err != nil {
		return &DataError{s.Data, err}
	}
	if s.Store.Dir == "" && s.Store.URL == "" {
		s.Store.Dir = filepath.Join(s.Data, "state")
	}
	s.Store.Log = s.Log
	if s.store, err = fleetstore.Open(ctx, s.Store); err != nil {
		return err
	}
	if s.authority, err = trust.OpenAuthority(ctx, controller.Vault{Store: s.store}, s.CA, time.Now()); err != nil {
		return err
	}
	s.started.Pin = s.authority.Pin().String()
	if err := atomicfile.Write(filepath.Join(s.Data, "authority.pem"), s.authority.Certificates(), 0o644); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", s.API); err != nil {
		return fmt.Errorf("listen for the API on %s: %w", s.API, err)
	}
	if err := s.names(); err != nil {
		return err
	}
	if s.cert, err = s.authority.Serve(s.Name, s.Names); err != nil {
		return err
	}
	where, err := s.topology()
	if err != nil {
		return err
	}
	if s.tracker, err = tracker.New(tracker.Options{
		Members: s.members(), Interval: trackerInterval, StateFile: filepath.Join(s.Data, "tracker.state"), Topology: where, Log: s.Log,
	}); err != nil {
		return err
	}
	notices, err := notify.New(s.Notices)
	if err != nil {
		return err
	}
	o := controller.Options{
		Left: s.left, Server: s.Name, Topology: where, Trackers: s.trackers(), Link: s.started.URL, Lead: s.Lead, Source: s.Place.Datacenter,
		Estimate: newEstimator(where).plan, Log: s.Log,
		Alone: s.Store.Dir != "", // which is locked
	}
	if !notices.Empty() {
		o.Notify = notices.Send
	}
	s.control, err = controller.New(s.store, o)
	return err
}

// left ends connections to a host that was forgotten.
func (s *server) left(string) {
	if s.recheck != nil {
		s.recheck()
	}
}

// forgotten refuses the certificate of a host that was. A peer that comes while
// the state is still being read has to wait for that.
func (s *server) forgotten(leaf *x509.Certificate) error {
	return trust.CheckForgotten(leaf, func(host string) (time.Time, error) {
		ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
		defer cancel()
		return s.control.Forgotten(ctx, host)
	})
}

// members are who the tracker answers: everybody with a certificate of the
// fleet, about any swarm, since a pushing host announces before its release is
// registered.
func (s *server) members() *tracker.Members {
	return &tracker.Members{
		Host: func(c *tls.ConnectionState) (string, error) {
			id, err := trust.Check(c.PeerCertificates, s.authority.Pool(), x509.ExtKeyUsageClientAuth, time.Now())
			return id.String(), err
		},
		Swarm: func(metainfo.InfoHash) (string, bool) { return "", true },
	}
}

// trackerInterval is short: a fleet's hosts are few, and news of a peer that
// comes back shall not wait.
const trackerInterval = 30 * time.Second

// names fills in what the server is called, and reached by.
func (s *server) names() error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	s.Name = cmp.Or(s.Name, host)
	at := s.listener.Addr().(*net.TCPAddr).AddrPort()
	s.started.API = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	reach := host
	if a := s.started.API.Addr(); !a.IsUnspecified() {
		reach = a.String()
	}
	s.started.URL = s.URL
	if s.URL == "" {
		s.started.URL = "https://" + net.JoinHostPort(reach, fmt.Sprint(at.Port()))
	}
	u, err := api.ParseServer(s.started.URL)
	if err != nil {
		return err
	}
	s.started.URL = u.String()
	for i, t := range s.Servers {
		u, err := api.ParseServer(t)
		if err != nil {
			return err
		}
		s.Servers[i] = u.String()
	}
	s.Names = append([]string{u.Hostname()}, s.Names...)
	return nil
}

func (s *server) topology() (*topology.Map, error) {
	if s.Place.TopologyFile == "" {
		return nil, nil
	}
	return LoadTopology(s.Place.TopologyFile)
}

// trackers are the announce URLs of the fleet.
func (s *server) trackers() (out []string) {
	for _, u := range s.Servers {
		out = append(out, u+"/announce")
	}
	if len(out) == 0 {
		out = []string{s.started.URL + "/announce"}
	}
	return out
}

// adminLife is how long the first token lasts: long enough to make better ones.
const adminLife = 30 * 24 * time.Hour

// firstToken keeps the token of the first admin, when the fleet has none yet.
func (s *server) firstToken(ctx context.Context) error {
	secret, err := s.control.FirstToken(ctx, adminLife)
	if err != nil || secret == "" {
		return err
	}
	s.started.Token = filepath.Join(s.Data, "admin.token")
	return atomicfile.Write(s.started.Token, []byte(secret+"\n"), 0o600)
}

func (s *server) close() error {
	var errs []error
	if s.listener != nil {
		_ = s.listener.Close() // it may be closed
	}
	if s.tracker != nil {
		_ = s.tracker.Close() // an error says that it ran
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

// run serves until ctx ends, or a part fails.
func (s *server) run(ctx context.Context) (err error) {
	if s.Plain {
		s.TrackWith(s.cert.Certificate, s.cert.Authorities)
	} else if s.recheck, err = s.JoinFleet(s.cert.Certificate, s.cert.Authorities, s.forgotten); err != nil {
		return err
	}
	s.Roomy = true        // for as many hosts as there are
	s.EveryTracker = true // a host that reaches but one of the servers shall find the source of each
	p, err := open(ctx, s.Options)
	if err != nil {
		return err
	}
	s.started.Peers = p.in.addrPort()
	return p.with(ctx, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		h := newHolder(ctx, p, s.Content)
		d, err := depot.New(depot.Options{Root: filepath.Join(s.Data, "source"), Catalog: s.control, Fetcher: h, Trackers: s.trackers(), Keep: s.Keep, Log: s.Log})
		if err != nil {
			return err
		}
		web, err := api.NewServer(api.Options{
			Fleet: s.control, Access: s.control, Agents: s.control, Door: s.control, Authority: s.authority, Held: d.Held,
			Certificate: s.cert.Certificate, Log: s.Log,
			Members: map[string]http.Handler{"GET /announce": s.tracker.Handler(), "GET /scrape": s.tracker.Handler()},
		})
		if err != nil {
			return err
		}
		g.Go(func() error { return s.control.Run(ctx) })
		g.Go(func() error { return s.tracker.Run(ctx) })
		g.Go(func() error { return web.Serve(ctx, s.listener) })
		g.Go(func() error {
			defer h.wait()
			return d.Run(shoal.WithPrincipal(ctx, shoal.Principal{Name: "source of " + s.Name, Role: shoal.Operator}))
		})
		g.Go(func() error { return s.tellReady(ctx) })
		return g.Wait()
	})
}

// filesSpare is how many files a server needs beside those for its hosts.
const filesSpare = 512

// enoughFiles tells why the files that the process may have open are too few for
// a fleet: a host has one connection while it waits for orders, and another one
// for what it reports meanwhile.
func enoughFiles(hosts int, limit uint64) error {
	if want := uint64(2*hosts + filesSpare); limit < want {
		return fmt.Errorf("%d open files are allowed, and %d hosts with two connections each need %d: raise the limit (LimitNOFILE of the unit, ulimit -n)", limit, hosts, want)
	}
	return nil
}

// tellReady says that the server serves once it does.
func (s *server) tellReady(ctx context.Context) error {
	err := s.firstToken(ctx)
	if err == nil {
		var limit syscall.Rlimit
		// Go has raised it as far as it may. A server that cannot serve all is better than none.
		if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
			if few := enoughFiles(s.control.Known(), uint64(limit.Cur)); few != nil {
				s.Log.Error("the server cannot serve all of its hosts", "err", few)
			}
		}
	}
	if err == nil && s.Ready != nil {
		s.Ready(s.started)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
