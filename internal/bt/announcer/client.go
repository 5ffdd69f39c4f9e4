package announcer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"shoal/internal/bt/announce"
)

// grace is how long the slower address family may take once the other has answered.
const grace = 2 * time.Second

// client talks to trackers. A tracker whose name has addresses of both families is
// asked over both, so that we are known by both of ours (BEP 7). It is safe for
// concurrent use.
type client struct {
	agent  string
	local  netip.Addr         // invalid: any
	http   [2]*http.Transport // by family
	ids    connIDs
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// family indexes what exists once for IPv4 and once for IPv6.
type family int

const (
	v4 family = iota
	v6
)

func (f family) network(proto string) string { return proto + [...]string{"4", "6"}[f] }

// serves tells whether announces from the local address can use the family.
func (f family) serves(local netip.Addr) bool {
	return !local.IsValid() || local.Unmap().Is4() == (f == v4)
}

// dialer dials from the local address. proto is tcp or udp.
func dialer(proto string, local netip.Addr) *net.Dialer {
	d := &net.Dialer{}
	if !local.IsValid() {
		return d
	}
	if from := netip.AddrPortFrom(local.Unmap(), 0); proto == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	return d
}

func newClient(agent string, local netip.Addr, secure func(host string) *tls.Config) *client {
	return &client{
		agent:  orDefault(agent, "shoal"),
		local:  local,
		http:   [2]*http.Transport{newTransport(v4, local, secure), newTransport(v6, local, secure)},
		lookup: net.DefaultResolver.LookupNetIP,
	}
}

func (c *client) close() {
	for _, t := range c.http {
		t.CloseIdleConnections()
	}
}

// answer is the outcome of an announce over one family.
type answer struct {
	resp announce.Response
	err  error
}

// announce sends r to t over every family that it has, and calls found with each
// answer as it comes. It fails when all fail. attempt counts earlier failures and
// selects the address among several.
func (c *client) announce(ctx context.Context, t *target, r announce.Request, attempt int, found func(announce.Response)) (announce.Response, error) {
	addrs, err := c.resolve(ctx, t)
	if err != nil {
		return announce.Response{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(addrs))
	n := 0
	for fam, list := range addrs {
		if len(list) == 0 || !family(fam).serves(c.local) {
			continue
		}
		n++
		go func() { answers <- c.announceOver(ctx, family(fam), list[attempt%len(list)], t, r) }()
	}
	if n == 0 {
		return announce.Response{}, fmt.Errorf("%s has no address that can be reached from %v", t.host, c.local)
	}
	return gather(answers, n, cancel, found)
}

// gather waits for n answers, but for the second one no longer than grace.
func gather(answers <-chan answer, n int, cancel func(), found func(announce.Response)) (announce.Response, error) {
	var best announce.Response
	var errs []error
	good := 0
	for range n {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		found(a.resp)
		if good++; good == 1 {
			best = a.resp
			defer time.AfterFunc(grace, cancel).Stop()
			continue
		}
		best = merge(best, a.resp)
	}
	if good > 0 {
		return best, nil
	}
	return best, errors.Join(errs...)
}

// merge takes the slower pace of two answers of one tracker and the peers of both.
func merge(a, b announce.Response) announce.Response {
	a.Interval = max(a.Interval, b.Interval)
	a.MinInterval = max(a.MinInterval, b.MinInterval)
	a.V4 = append(a.V4, b.V4...)
	a.V6 = append(a.V6, b.V6...)
	a.Warning = orDefault(a.Warning, b.Warning)
	a.TrackerID = orDefault(a.TrackerID, b.TrackerID)
	return a
}

func (c *client) announceOver(ctx context.Context, fam family, addr netip.AddrPort, t *target, r announce.Request) (a answer) {
	if t.scheme == "udp" {
		r.URLData = t.text
		a.resp, a.err = c.announceUDP(ctx, fam, addr, r)
	} else {
		a.resp, a.err = c.announceHTTP(ctx, fam, t.url, r)
	}
	if a.err != nil && ctx.Err() != nil {
		a.err = fmt.Errorf("no answer in time: %w", a.err)
	}
	return a
}

// resolve looks up the addresses of t by family.
func (c *client) resolve(ctx context.Context, t *target) (addrs [2][]netip.AddrPort, err error) {
	port, err := strconv.ParseUint(t.port, 10, 16)
	if err != nil {
		return addrs, errPort
	}
	ips, err := c.lookup(ctx, "ip", t.host)
	if err != nil {
		return addrs, fmt.Errorf("tracker %s: %w", t.host, err)
	}
	if len(ips) == 0 {
		return addrs, fmt.Errorf("tracker %s: the name has no address", t.host)
	}
	for _, ip := range ips {
		fam := v6
		if ip = ip.Unmap(); ip.Is4() {
			fam = v4
		}
		addrs[fam] = append(addrs[fam], netip.AddrPortFrom(ip, uint16(port)))
	}
	return addrs, nil
}

// refusal is the tracker's own refusal in err, nil if it was another failure.
func refusal(err error) *announce.Failure {
	var f *announce.Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}
