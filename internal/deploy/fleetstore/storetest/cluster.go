package storetest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"shoal/internal/deploy/fleetstore"
)

// Cluster is three NATS servers with JetStream that are joined by real routes
// over loopback, as an operator would run them beside shoal.
type Cluster struct {
	servers []*server.Server
	options []server.Options
}

// NewCluster starts one, which ends with the test.
func NewCluster(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{servers: make([]*server.Server, 3), options: make([]server.Options, 3)}
	routes := freePorts(t, len(c.servers))
	for i := range c.servers {
		c.options[i] = server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: routes[i]},
		}
		for _, port := range routes {
			c.options[i].Routes = append(c.options[i].Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		}
		c.start(t, i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Kill(i)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		leaders := 0
		for _, s := range c.servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(c.servers) {
				leaders++
			}
		}
		if leaders == 1 {
			return c
		}
		if time.Now().After(end) {
			t.Fatal("the cluster has not found itself")
		}
	}
}

// freePorts are ports for routes: each server has to know those of the others
// before any of them runs.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (c *Cluster) start(t *testing.T, i int) {
	t.Helper()
	o := c.options[i]
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	c.servers[i] = s
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatalf("server %d of the cluster does not start", i)
	}
}

// Kill ends a server of the cluster.
func (c *Cluster) Kill(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// URL is where it is.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.servers))
	for i, s := range c.servers {
		urls[i] = s.ClientURL()
	}
	return strings.Join(urls, ",")
}

// Open is a client of its own.
func (c *Cluster) Open(t *testing.T, prefix string) fleetstore.Store {
	t.Helper()
	store, err := fleetstore.Open(t.Context(), fleetstore.Options{URL: c.URL(), Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
