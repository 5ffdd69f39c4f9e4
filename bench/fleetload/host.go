package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shoal"
	"shoal/internal/front/api"
)

// key is what all hosts share, to spare their making: their names differ.
type key struct {
	private *ecdsa.PrivateKey
	csr     []byte
}

func newKey() (k key, err error) {
	if k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		k.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k.private)
	}
	return k, err
}

// host is one simulated agent.
type host struct {
	name     string
	client   *api.Client
	mu       sync.Mutex
	report   shoal.Report
	watching atomic.Bool
	version  atomic.Value // string: what it is asked about
	// When it was told, in nanoseconds since 1970; 0 is not yet.
	staged, live, stopped atomic.Int64
}

// newHost joins a host with a one-time token, as an agent does.
func (l *load) newHost(ctx context.Context, name string, k key) (*host, error) {
	var secret string
	var made shoal.Credentials
	err := l.insist(ctx, func() (err error) {
		secret, _, err = l.admin.CreateToken(ctx, shoal.Token{Name: name, Role: shoal.Joiner, Host: name, Expires: time.Now().Add(time.Hour)})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = l.insist(ctx, func() (err error) {
		made, err = l.admin.Enroll(ctx, shoal.Enrollment{Host: name, Token: secret, CSR: k.csr})
		return err
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(made.Certificate)
	if block == nil {
		return nil, errors.New("the certificate is no PEM")
	}
	cert := &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: k.private}
	h := &host{name: name}
	h.client, err = api.NewClient(api.ClientOptions{Servers: []string{l.server}, Anchor: l.anchor, Certificate: func() (*tls.Certificate, error) { return cert, nil }})
	if err != nil {
		return nil, err
	}
	var w shoal.Welcome
	err = l.insist(ctx, func() (err error) {
		w, err = h.client.Hello(ctx, shoal.Hello{Host: name, Datacenter: "dc" + name[len(name)-1:], Software: "fleetload", Instance: name, Clock: time.Now()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	h.report = shoal.Report{Host: name, Session: w.Session, Free: 1 << 40}
	h.version.Store("")
	return h, l.insist(ctx, func() error { return h.tell(ctx, func(*shoal.Report) {}) })
}

// insist calls again while no answer comes: the machine is shared, and ten
// thousand handshakes at its cores are many. How often is told in the end.
func (l *load) insist(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !errors.Is(err, shoal.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		l.again.Add(1)
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// tell changes the report and sends it.
func (h *host) tell(ctx context.Context, change func(*shoal.Report)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.report)
	h.report.Seq++
	return h.client.Report(ctx, h.report)
}

// wants resets the clocks for a version.
func (h *host) wants(version string) {
	h.staged.Store(0)
	h.live.Store(0)
	h.version.Store(version)
}

// watch lets a host do what it is told, and report, until ctx ends. One that has
// lost its connection waits for its turn to make another: all of them at once, at
// the cores that the server has to do with, would only time out.
func (l *load) watch(ctx context.Context, h *host) {
	for since := uint64(0); ctx.Err() == nil; {
		if since == 0 {
			select {
			case l.turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		o, err := h.client.Watch(ctx, h.name, since)
		if since == 0 {
			<-l.turns
		}
		if since = o.Version; err != nil {
			since = 0
			l.again.Add(1)
			continue
		}
		h.watching.Store(true)
		h.obey(ctx, o)
	}
}

func (h *host) obey(ctx context.Context, o shoal.Orders) {
	now := time.Now().UnixNano()
	if o.Stopped {
		h.stopped.CompareAndSwap(0, now)
	}
	for _, order := range o.Orders {
		if order.Hold || o.Stopped {
			continue
		}
		if order.Stage == h.version.Load() {
			h.staged.CompareAndSwap(0, now)
		}
		if order.Live == h.version.Load() {
			h.live.CompareAndSwap(0, now)
		}
		say := func(r *shoal.Report) {
			app := shoal.AppReport{App: order.App, Taken: order.ID}
			if len(r.Apps) > 0 {
				app.Live, app.Health, app.Staged = r.Apps[0].Live, r.Apps[0].Health, r.Apps[0].Staged
			}
			if order.Stage != "" {
				app.Staged = []string{order.Stage}
			}
			if order.Live != "" {
				app.Live, app.Health, app.Staged = order.Live, shoal.Healthy, []string{order.Live}
			}
			r.Apps = []shoal.AppReport{app}
		}
		for h.tell(ctx, say) != nil && sleep(ctx, time.Second) == nil {
		}
	}
}

// taken is what the server has used, as Linux counts it.
type taken struct {
	memory, cpu float64 // bytes; seconds
}

func (l *load) taken() (t taken) {
	if l.pid == 0 {
		return t
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.pid))
	if err != nil {
		return t
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, _ := strconv.ParseFloat(fields[1], 64) // 0 tells that Linux has changed
			t.memory = 1024 * kib
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err != nil {
		return t
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, i := range []int{11, 12} { // utime and stime, see proc(5)
		ticks, _ := strconv.ParseFloat(fields[i], 64)
		t.cpu += ticks / 100
	}
	return t
}
