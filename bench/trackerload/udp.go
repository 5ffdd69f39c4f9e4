package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/ipv4"

	"shoal/internal/bt/announce"
)

const (
	udpBatch = 32      // datagrams a system call
	inAir    = 1 << 13 // announces of a socket by the clock that can wait for an answer; a power of two
)

// socket is one UDP client: it sends what is due and reads what comes, in one goroutine.
type socket struct {
	*course
	t       *tally
	conn    *net.UDPConn
	packets *ipv4.PacketConn // both families: only batches are used of it
	id      uint64           // connection id
	renewed time.Time        // when the id was asked for
	ring    []flight         // by the low bits of the transaction id
	tx      uint32
	open    int // flights without an answer
	out, in []ipv4.Message
	later   flight // taken from the course, and not due yet
	n       int64
	waits   bool // later is set
	done    bool // the course is over
}

// flight is an announce in the air.
type flight struct {
	due  time.Time
	tx   uint32
	live bool
}

func (c *course) udp(ctx context.Context, t *tally) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.o.target))
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetReadBuffer(4 << 20) // less is no error
	s := &socket{course: c, t: t, conn: conn, packets: ipv4.NewPacketConn(conn), ring: make([]flight, inAir)}
	for range udpBatch {
		s.out = append(s.out, ipv4.Message{Buffers: [][]byte{make([]byte, 0, 128)}})
		s.in = append(s.in, ipv4.Message{Buffers: [][]byte{make([]byte, 2048)}})
	}
	if err = s.connect(); err == nil {
		err = s.run()
	}
	t.lost += int64(s.open)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// connect asks for a connection id (BEP 15).
func (s *socket) connect() error {
	buf := make([]byte, 2048)
	for range 5 {
		s.tx++
		if _, err := s.conn.Write(announce.AppendUDPConnect(nil, s.tx)); err != nil {
			return err
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(giveUp))
		for {
			n, err := s.conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			if tx, _ := announce.UDPTx(buf[:n]); tx != s.tx {
				s.answer(buf[:n], time.Now())
				continue
			}
			s.id, err = announce.ParseUDPConnected(buf[:n])
			s.renewed = time.Now()
			return err
		}
	}
	return fmt.Errorf("%s does not answer a UDP connect", s.o.target)
}

func (s *socket) run() error {
	for {
		if time.Since(s.renewed) > 50*time.Second {
			if err := s.connect(); err != nil {
				return err
			}
		}
		if err := s.send(); err != nil {
			return err
		}
		if s.done && s.open == 0 {
			return nil
		}
		if over, err := s.receive(); over || err != nil {
			return err
		}
	}
}

// send sends what is due: without a rate as much as the window has room for.
func (s *socket) send() error {
	for !s.done {
		batch := 0
		now := time.Now()
		for batch < len(s.out) && (s.o.rate > 0 || s.open < s.o.window) {
			if !s.waits {
				var ok bool
				if s.n, s.later.due, ok = s.take(); !ok {
					s.done = true
					break
				}
				s.waits = true
			}
			if s.later.due.After(now) && s.o.rate > 0 {
				break
			}
			s.waits = false
			s.launch(batch)
			batch++
		}
		if batch == 0 {
			return nil
		}
		for rest := s.out[:batch]; len(rest) > 0; {
			n, err := s.packets.WriteBatch(rest, 0)
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

// launch writes the announce in hand into the ith packet. Who was in its place in the ring got no answer.
func (s *socket) launch(i int) {
	s.tx++
	f := &s.ring[s.tx%inAir]
	if f.live {
		s.t.lost++
		s.open--
	}
	*f = flight{due: s.later.due, tx: s.tx, live: true}
	s.open++
	r := s.request(s.n)
	s.out[i].Buffers[0] = r.AppendUDP(s.out[i].Buffers[0][:0], s.id, s.tx)
}

// receive reads answers until the next announce is due. over tells that all were sent and nothing more comes.
func (s *socket) receive() (over bool, err error) {
	patience := time.Now().Add(giveUp)
	until := patience
	if s.waits {
		until = s.later.due
	}
	_ = s.conn.SetReadDeadline(until)
	n, err := s.packets.ReadBatch(s.in, 0)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if !s.waits { // silence for so long: whatever is in the air is lost
			s.t.lost += int64(s.open)
			s.open = 0
			clear(s.ring)
		}
		return s.done, nil
	}
	if err != nil {
		return false, err
	}
	now := time.Now()
	for i := range n {
		s.answer(s.in[i].Buffers[0][:s.in[i].N], now)
	}
	return false, nil
}

func (s *socket) answer(pkt []byte, now time.Time) {
	if len(pkt) < 8 {
		return
	}
	tx := binary.BigEndian.Uint32(pkt[4:])
	f := &s.ring[tx%inAir]
	if !f.live || f.tx != tx {
		return
	}
	f.live = false
	s.open--
	if binary.BigEndian.Uint32(pkt) != uint32(announce.ActionAnnounce) || len(pkt) < 20 {
		s.t.refused(string(pkt[8:]))
		return
	}
	size := announce.Size4
	if s.o.target.Addr().Unmap().Is6() {
		size = announce.Size6
	}
	s.t.answered(now.Sub(f.due), (len(pkt)-20)/size)
}
