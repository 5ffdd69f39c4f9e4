package udpfront

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"shoal/internal/bt/announce"
)

const (
	batchSize  = 32      // datagrams a system call, where the system can do more than one
	maxRequest = 2048    // bytes of a request that are read; the rest is cut off
	socketRoom = 4 << 20 // bytes of socket buffer asked for, so that a burst of joins is not lost
	oobRoom    = 64
)

// batch reads and writes the datagrams of one socket, many at a time, in memory that it keeps.
type batch struct {
	conn interface {
		ReadBatch(ms []ipv4.Message, flags int) (int, error)
		WriteBatch(ms []ipv4.Message, flags int) (int, error)
	}
	in, out []ipv4.Message
	rooms   [][]byte // for answers, one a datagram that came in
}

func newBatch(s *net.UDPConn) (*batch, error) {
	// A system may give less room than is asked for, which is no error.
	_ = s.SetReadBuffer(socketRoom)
	_ = s.SetWriteBuffer(socketRoom)
	b := &batch{}
	local := s.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	oob := 0
	if local.IsUnspecified() && canChooseSource {
		oob = oobRoom
	}
	if local.Unmap().Is4() {
		c := ipv4.NewPacketConn(s)
		b.conn = c
		if oob > 0 {
			if err := c.SetControlMessage(ipv4.FlagDst, true); err != nil {
				return nil, err
			}
		}
	} else {
		c := ipv6.NewPacketConn(s)
		b.conn = c
		if oob > 0 {
			if err := c.SetControlMessage(ipv6.FlagDst, true); err != nil {
				return nil, err
			}
		}
	}
	for range batchSize {
		b.in = append(b.in, ipv4.Message{Buffers: [][]byte{make([]byte, maxRequest)}, OOB: make([]byte, oob)})
		b.rooms = append(b.rooms, make([]byte, 0, announce.MaxPacket))
	}
	b.out = make([]ipv4.Message, 0, batchSize)
	return b, nil
}

// receive waits for datagrams and gives their number.
func (b *batch) receive() (int, error) {
	b.out = b.out[:0]
	return b.conn.ReadBatch(b.in, 0)
}

// packet is the ith datagram received, and who sent it.
func (b *batch) packet(i int) ([]byte, netip.AddrPort) {
	m := &b.in[i]
	from, ok := m.Addr.(*net.UDPAddr)
	if !ok {
		return nil, netip.AddrPort{}
	}
	return m.Buffers[0][:m.N], from.AddrPort()
}

// room is empty memory for the answer to the ith datagram.
func (b *batch) room(i int) []byte { return b.rooms[i][:0] }

// reply queues the answer to the ith datagram; an empty one is none. It leaves from the address that the
// datagram was sent to: a host may have several, and clients listen to the one they asked.
func (b *batch) reply(i int, answer []byte) {
	if len(answer) == 0 {
		return
	}
	m := &b.in[i]
	b.rooms[i] = answer
	b.out = append(b.out, ipv4.Message{Buffers: b.rooms[i : i+1 : i+1], Addr: m.Addr, OOB: answerFrom(m.OOB[:m.NN])})
}

// send sends the queued answers. One that cannot be sent does not hold up the others; the last such error is
// returned.
func (b *batch) send() (err error) {
	for rest := b.out; len(rest) > 0; {
		n, e := b.conn.WriteBatch(rest, 0)
		if e != nil {
			err, n = e, max(n, 0)+1
		}
		rest = rest[min(max(n, 1), len(rest)):]
	}
	return err
}
