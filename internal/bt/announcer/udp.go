package announcer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"shoal/internal/bt/announce"
)

const (
	idLife      = time.Minute            // a client may use a connection id that long (BEP 15)
	maxIDs      = 256                    // remembered connection ids
	firstResend = time.Second            // then doubling; BEP 15 has 15 s, for the Internet of its day
	maxResend   = 15 * time.Second       //
	maxPacket   = 16 << 10               // bytes of a datagram that are read
	cachedWait  = 500 * time.Millisecond // patience with a remembered id, which the tracker may have dropped
)

// connIDs remembers the connection ids of UDP trackers (BEP 15).
type connIDs struct {
	mu sync.Mutex
	m  map[netip.AddrPort]connID
}

type connID struct {
	id  uint64
	got time.Time
}

func (c *connIDs) get(addr netip.AddrPort, now time.Time) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[addr]
	return e.id, ok && now.Sub(e.got) < idLife
}

func (c *connIDs) put(addr netip.AddrPort, id uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxIDs {
		c.m = map[netip.AddrPort]connID{}
	}
	c.m[addr] = connID{id, now}
}

func (c *connIDs) drop(addr netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, addr)
}

// announceUDP is one announce by UDP (BEP 15, 41). ctx bounds all of it and must
// have an end.
func (c *client) announceUDP(ctx context.Context, fam family, addr netip.AddrPort, r announce.Request) (announce.Response, error) {
	conn, err := dialer("udp", c.local).DialContext(ctx, fam.network("udp"), addr.String())
	if err != nil {
		return announce.Response{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	x := exchange{ctx: ctx, conn: conn, v6: fam == v6}

	// A remembered id may have died with the tracker's process or with our
	// address, and then the answer is an error or silence: ask for a new one.
	if id, ok := c.ids.get(addr, time.Now()); ok {
		resp, err := x.announceWith(id, r, cachedWait)
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		c.ids.drop(addr)
	}
	id, err := x.connect()
	if err != nil {
		return announce.Response{}, err
	}
	c.ids.put(addr, id, time.Now())
	return x.announceWith(id, r, 0)
}

// exchange is a few requests and answers over one connected socket.
type exchange struct {
	ctx  context.Context
	conn net.Conn
	v6   bool
}

func (x *exchange) connect() (id uint64, err error) {
	tx := rand.Uint32()
	pkt, err := x.ask(announce.AppendUDPConnect(nil, tx), tx, 0)
	if err != nil {
		return 0, err
	}
	return announce.ParseUDPConnected(pkt)
}

func (x *exchange) announceWith(id uint64, r announce.Request, limit time.Duration) (announce.Response, error) {
	tx := rand.Uint32()
	pkt, err := x.ask(r.AppendUDP(nil, id, tx), tx, limit)
	if err != nil {
		return announce.Response{}, err
	}
	return announce.ParseUDPReply(pkt, x.v6)
}

// ask sends a request, again and again with growing pauses, until the answer with
// its transaction id comes, ctx ends or, unless it is 0, limit is over. Datagrams
// that do not belong to it are ignored.
func (x *exchange) ask(pkt []byte, tx uint32, limit time.Duration) ([]byte, error) {
	end, ok := x.ctx.Deadline()
	if !ok {
		return nil, errors.New("announcer: a UDP announce needs a deadline")
	}
	if limit > 0 && time.Now().Add(limit).Before(end) {
		end = time.Now().Add(limit)
	}
	buf := make([]byte, maxPacket)
	for pause := firstResend; ; pause = min(2*pause, maxResend) {
		if _, err := x.conn.Write(pkt); err != nil {
			return nil, err
		}
		until := time.Now().Add(pause)
		if end.Before(until) {
			until = end
		}
		n, err := x.receive(buf, tx, until)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if x.ctx.Err() != nil || !time.Now().Before(end) {
			return nil, fmt.Errorf("no answer from %s", x.conn.RemoteAddr())
		}
	}
}

// receive waits for the datagram with transaction id tx.
func (x *exchange) receive(buf []byte, tx uint32, until time.Time) (int, error) {
	if err := x.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	if x.ctx.Err() != nil { // ctx may have ended before the deadline was moved
		return 0, os.ErrDeadlineExceeded
	}
	for {
		n, err := x.conn.Read(buf)
		if err != nil {
			return 0, err
		}
		if got, ok := announce.UDPTx(buf[:n]); ok && got == tx {
			return n, nil
		}
	}
}
