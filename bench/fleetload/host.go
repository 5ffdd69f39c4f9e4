package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
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

// kept are the key and the certificates of hosts, in a file so that another run
// need not let them join again.
type kept struct {
	file string

	mu    sync.Mutex
	Key   []byte            `json:"key"`   // SEC 1
	Certs map[string][]byte `json:"certs"` // DER, by host
}

func openKept(file string) (*kept, error) {
	k := &kept{file: file, Certs: map[string][]byte{}}
	text, err := os.ReadFile(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(text, k)
	}
	return k, err
}

// save keeps what is there for another run.
func (k *kept) save() error {
	if k.file == "" {
		return nil
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return os.WriteFile(k.file, text, 0o600)
}

// key is the one that certificates are for, made when there is none.
func (k *kept) key() (made key, err error) {
	if len(k.Key) > 0 {
		made.private, err = x509.ParseECPrivateKey(k.Key)
	} else if made.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		k.Key, err = x509.MarshalECPrivateKey(made.private)
	}
	if err == nil {
		made.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, made.private)
	}
	return made, err
}

// certificate is that of a host, got when there is none.
func (k *kept) certificate(host string, get func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	der := k.Certs[host]
	k.mu.Unlock()
	if der != nil {
		return der, nil
	}
	der, err := get()
	if err == nil {
		k.mu.Lock()
		k.Certs[host] = der
		k.mu.Unlock()
	}
	return der, err
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
	der, err := l.kept.certificate(name, func() ([]byte, error) { return l.enroll(ctx, name, k) })
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.private}
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

// enroll gets a certificate for a one-time token.
func (l *load) enroll(ctx context.Context, name string, k key) ([]byte, error) {
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
	return block.Bytes, nil
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
