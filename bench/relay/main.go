// Command relay is a long line: it passes TCP connections on, at a rate that all
// of them share in each direction, and holds every byte for a delay. It ends TCP
// at both sides, so the kernels know nothing of the path.
//
//	relay --listen 127.0.0.1:7000 --to 127.0.0.1:6881 --rate 1000mbit --delay 40ms
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"shoal/internal/quantity"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:7000", "where connections are taken")
	to := flag.String("to", "127.0.0.1:6881", "where they go on")
	rate := flag.String("rate", "1000mbit", "of the line, each way")
	delay := flag.Duration("delay", 40*time.Millisecond, "of each byte, each way")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "relay:", run(*listen, *to, *rate, *delay))
	os.Exit(1)
}

// run serves until it cannot.
func run(listen, to, rate string, delay time.Duration) error {
	bytes, err := quantity.ParseRate(rate)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	there, back := &line{rate: float64(bytes), delay: delay}, &line{rate: float64(bytes), delay: delay}
	for {
		in, err := ln.Accept()
		if err != nil {
			return err
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			fmt.Fprintln(os.Stderr, "relay:", err)
			continue
		}
		go there.carry(out, in)
		go back.carry(in, out)
	}
}

// line is one direction.
type line struct {
	rate  float64 // bytes a second
	delay time.Duration

	mu   sync.Mutex
	free time.Time // when it has sent what it took
}

// gulp is what the line holds: bytes and when they may leave.
type gulp struct {
	b  []byte
	at time.Time
}

const (
	gulpSize = 128 << 10
	mostHeld = 1 << 14 // gulps: far more than the delay can hold

	// A line does not stand idle because the relay got its turn on the processor late:
	// what lay in the socket for so long may have come in time.
	late = 5 * time.Millisecond
)

// send takes n bytes and tells when the last of them has left.
func (l *line) send(n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := time.Now().Add(-late); l.free.Before(since) {
		l.free = since
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free
}

// carry passes bytes on until either side ends, and closes both.
func (l *line) carry(to, from net.Conn) {
	held := make(chan gulp, mostHeld)
	pool := sync.Pool{New: func() any { return new([gulpSize]byte) }}
	go func() {
		defer to.Close()
		defer from.Close()
		for g := range held {
			time.Sleep(time.Until(g.at))
			_, err := to.Write(g.b)
			pool.Put((*[gulpSize]byte)(g.b[:gulpSize]))
			if err != nil {
				from.Close()
			}
		}
	}()
	defer close(held)
	for {
		b := pool.Get().(*[gulpSize]byte)
		n, err := from.Read(b[:])
		if n > 0 {
			free := l.send(n)
			held <- gulp{b[:n], free.Add(l.delay)}
			time.Sleep(time.Until(free) - time.Millisecond)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				fmt.Fprintln(os.Stderr, "relay:", err)
			}
			return
		}
	}
}
