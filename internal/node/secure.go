package node

import (
	"context"
	"net"
	"net/netip"
	"time"

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
	if a := p.local(); a.IsValid() && a.Is4() == to.Addr().Unmap().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil || p.Secure == nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return p.Secure.Client(ctx, c)
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
