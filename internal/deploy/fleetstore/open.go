package fleetstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"shoal/internal/filelock"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"shoal"
)

// Options say where the state is kept: in Dir, by an engine in this process, or
// at URL.
type Options struct {
	Dir string // of the embedded engine; made if it is not there

	URL      string      // of a NATS cluster with JetStream, of 2.11 or newer; several with commas
	Creds    string      // file with credentials (JWT and key); "" is none
	TLS      *tls.Config // nil is the system's roots, when the URL says tls
	Replicas int         // of each stream; 0 is 3 in a cluster, and 1 where there is none

	// Prefix begins the names of streams and subjects, so that fleets can share
	// a cluster; "" is shoal.
	Prefix string
	Log    *slog.Logger // nil is silent
}

const (
	// embeddedPayload lets the state of a rollout over every host that a fleet
	// may have into one message. It is the most that NATS advises.
	embeddedPayload = 8 << 20
	startFor        = 30 * time.Second // until the engine is ready, or says why not
	lockName        = "lock"
)

// Open opens the state, and makes what is missing of it.
func Open(ctx context.Context, o Options) (Store, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("store: it is either in a folder or at a URL: give one of both")
	}
	if o.Prefix == "" {
		o.Prefix = "shoal"
	}
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.URL != "" {
		return dial(ctx, o, nil)
	}
	e, err := embed(o)
	if err != nil {
		return nil, err
	}
	store, err := dial(ctx, o, e)
	if err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return store, nil
}

func checkPrefix(prefix string) error {
	if len(prefix) > 64 || escape(prefix) != prefix {
		return fmt.Errorf("store: prefix %.80q: use up to 64 letters, digits, - and _", prefix)
	}
	return nil
}

// embedded is a NATS server in this process that nobody else can reach.
type embedded struct {
	server *server.Server
	lock   *os.File
}

// embed starts the engine in a folder, which it locks: two engines in one
// folder would destroy it.
func embed(o Options) (*embedded, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make its folder: %w", err)
	}
	l, err := takeLock(filepath.Join(o.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "shoal", DontListen: true, NoSigs: true, NoLog: true, JetStream: true,
		StoreDir: o.Dir, DisableJetStreamBanner: true, MaxPayload: embeddedPayload, MaxPending: 64 << 20,
		// What a rollout has decided must outlive the power: numbers of orders
		// that agents know are never given out again.
		SyncAlways: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store in %s: %w", o.Dir, err), filelock.Close(l))
	}
	s.SetLoggerV2(serverLog{o.Log}, false, false, false)
	e := &embedded{server: s, lock: l}
	s.Start()
	if !s.ReadyForConnections(startFor) || !s.JetStreamEnabled() {
		return nil, errors.Join(fmt.Errorf("store in %s: the engine has not started: see the log, and that the disk is writable and not full", o.Dir), e.stop())
	}
	return e, nil
}

// takeLock makes sure that no other server works in the folder.
func takeLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := filelock.Take(f); err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

func (e *embedded) stop() error {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	return filelock.Close(e.lock)
}

// serverLog passes on what the embedded engine has to say.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l serverLog) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Tracef(string, ...any)           {}

func (l serverLog) say(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "store engine: "+fmt.Sprintf(format, v...))
	}
}

// dial connects to the engine, in this process or elsewhere.
func dial(ctx context.Context, o Options, e *embedded) (Store, error) {
	options := []nats.Option{
		nats.Name("shoal server"), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		// What cannot be sent fails at once, instead of being sent late.
		nats.ReconnectBufSize(-1), nats.Timeout(5 * time.Second), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn("store: connection lost, trying again", "err", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { o.Log.Info("store: connected again", "to", c.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { o.Log.Warn("store", "err", err) }),
	}
	where := o.URL
	if e != nil {
		where = o.Dir
		options = append(options, nats.InProcessServer(e.server))
	}
	if o.Creds != "" {
		options = append(options, nats.UserCredentials(o.Creds))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(o.TLS))
	}
	conn, err := nats.Connect(o.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("store: connect to NATS: %w: check the URL and the credentials: %w", err, shoal.ErrUnavailable)
	}
	if o.Replicas == 0 {
		o.Replicas = 1
		if conn.ConnectedClusterName() != "" {
			o.Replicas = 3
		}
	}
	store, err := newJetStream(ctx, conn, o)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("store at %s: %w", redact(where), err)
	}
	store.embedded = e
	return store, nil
}
