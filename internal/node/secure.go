package node

import (
	"context"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/peerconn"
	"shoal/internal/bt/peertls"
)

// recheckEvery is how often connections are looked through for members that the
// fleet has forgotten meanwhile.
const recheckEvery = 15 * time.Second

// Secure makes plain connections to peers into ones that only members of a
// fleet can open, read and change. Both ends of a connection need it. What it
// returns is read and written in place of c, and closes c; it closes c too when
// it fails. It ends when ctx does.
type Secure interface {
	Client(ctx context.Context, c net.Conn) (net.Conn, error) // on one that we opened
	Server(ctx context.Context, c net.Conn) (net.Conn, error) // on one that was opened to us
}

// dial opens a connection to a peer, from the address that we listen on.
func (p *process) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: dialLimit, Control: dialMark(p.DSCP)}
	if a := p.source(to.Addr().Unmap()); a.IsValid() && a.Is4() == to.Addr().Unmap().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil || p.Secure == nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return p.Secure.Client(ctx, peerconn.Beneath(c))
}

// recheck ends connections to hosts that are no members any more, until ctx ends.
func recheck(ctx context.Context, guard *peertls.Guard) {
	t := time.NewTicker(recheckEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			guard.Recheck(now)
		case <-ctx.Done():
			return
		}
	}
}

// turnedAwayFor is how long a refusal is worth a word in a report.
const turnedAwayFor = 2 * time.Minute

// turnedAway is the last peer that was refused, and why, if that was lately.
func (p *process) turnedAway(now time.Time) string {
	guard, ok := p.Secure.(*peertls.Guard)
	if !ok {
		return ""
	}
	var last *peertls.Refusal
	for _, n := range guard.Refused() {
		if last == nil || n.At.After(last.At) {
			last = n.Last
		}
	}
	if last == nil || now.Sub(last.At) > turnedAwayFor {
		return ""
	}
	return last.Error()
}
