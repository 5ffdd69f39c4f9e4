package tracker

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// BenchmarkUDP measures announces through real sockets, client and tracker in one process.
func BenchmarkUDP(b *testing.B) {
	tr, err := New(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	defer func() { cancel(); <-done }()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(tr.Addr()))
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 2048)
		_, _ = c.Write(announce.AppendUDPConnect(nil, 1))
		n, err := c.Read(buf)
		if err != nil {
			b.Error(err)
			return
		}
		id, _ := announce.ParseUDPConnected(buf[:n])
		const window = 64
		conn := ipv4.NewPacketConn(c)
		out, in := make([]ipv4.Message, window), make([]ipv4.Message, window)
		for i := range out {
			r := peer(byte(i), 1)
			out[i].Buffers = [][]byte{r.AppendUDP(nil, id, 1)}
			in[i].Buffers = [][]byte{make([]byte, 2048)}
		}
		x := uint32(time.Now().UnixNano())
		for more := true; more; {
			sent := 0
			for ; sent < window; sent++ {
				if more = pb.Next(); !more {
					break
				}
				x = x*1664525 + 1013904223
				p := out[sent].Buffers[0]
				copy(p[16:36], (&metainfo.InfoHash{byte(x >> 24)})[:])
				binary.BigEndian.PutUint32(p[40:], x>>8)
				binary.BigEndian.PutUint16(p[96:], uint16(x>>8))
			}
			for rest := out[:sent]; len(rest) > 0; {
				n, err := conn.WriteBatch(rest, 0)
				if err != nil {
					b.Error(err)
					return
				}
				rest = rest[n:]
			}
			for got := 0; got < sent; {
				n, err := conn.ReadBatch(in, 0)
				if err != nil {
					b.Error(err)
					return
				}
				got += n
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "announces/s")
}
