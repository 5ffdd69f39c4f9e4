package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// caller is one HTTP client with at most one announce in the air. It reads answers by itself: the client of
// net/http would take most of the machine from the tracker.
type caller struct {
	*course
	t    *tally
	dial net.Dialer
	conn net.Conn
	in   *bufio.Reader
	req  []byte
	body []byte
	used bool // the connection has carried an answer, so that its end may be the server's idleness
}

func (c *course) http(ctx context.Context, t *tally) error {
	x := &caller{course: c, t: t, in: bufio.NewReaderSize(nil, 16<<10)}
	defer x.hangUp()
	for ctx.Err() == nil {
		n, due, ok := c.take()
		if !ok {
			return nil
		}
		if !sleep(ctx, due) {
			return nil
		}
		if err := x.announce(ctx, n, due); err != nil && ctx.Err() == nil {
			x.hangUp()
			x.t.failed(err)
			if x.t.hopeless() {
				return err
			}
		}
	}
	return nil
}

func sleep(ctx context.Context, until time.Time) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (x *caller) hangUp() {
	if x.conn != nil {
		_ = x.conn.Close()
	}
	x.conn, x.used = nil, false
}

// announce sends the nth announce and reads its answer, on a new connection if the old one was closed meanwhile.
func (x *caller) announce(ctx context.Context, n int64, due time.Time) error {
	r := x.request(n)
	x.req = append(x.req[:0], "GET "...)
	x.req = r.AppendURL(x.req, "/announce")
	x.req = append(append(x.req, " HTTP/1.1\r\nHost: "...), x.o.target.String()...)
	x.req = append(x.req, "\r\nUser-Agent: trackerload\r\nAccept-Encoding: gzip\r\n"...)
	if x.o.proto == "http-close" {
		x.req = append(x.req, "Connection: close\r\n"...)
	}
	x.req = append(x.req, "\r\n"...)
	again := x.used
	err := x.exchange(ctx, due)
	if err != nil && again && isClosed(err) {
		x.hangUp()
		err = x.exchange(ctx, due)
	}
	return err
}

// isClosed tells that the other side ended the connection before it said anything.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || isReset(err)
}

func (x *caller) exchange(ctx context.Context, due time.Time) error {
	if x.conn == nil {
		dialing, cancel := context.WithTimeout(ctx, giveUp)
		conn, err := x.dial.DialContext(dialing, "tcp", x.o.target.String())
		cancel()
		if err != nil {
			return err
		}
		x.conn = conn
		x.in.Reset(conn)
	}
	_ = x.conn.SetDeadline(time.Now().Add(giveUp))
	if _, err := x.conn.Write(x.req); err != nil {
		return err
	}
	keep, err := x.answer(due)
	if err != nil {
		return err
	}
	if x.used = keep; !keep {
		x.hangUp()
	}
	return nil
}

// answer reads one answer. keep tells that the connection can carry another one.
func (x *caller) answer(due time.Time) (keep bool, err error) {
	line, err := x.in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return false, fmt.Errorf("not an HTTP answer: %.40q", line)
	}
	status := string(line[9:12])
	keep = line[7] == '1' && x.o.proto == "http"
	length := -1
	for {
		if line, err = x.in.ReadSlice('\n'); err != nil {
			return false, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxAnswer {
				return false, fmt.Errorf("an answer of %.20q bytes", value)
			}
		case bytes.EqualFold(name, []byte("Connection")):
			keep = keep && !bytes.EqualFold(value, []byte("close"))
		}
	}
	if err := x.read(length); err != nil {
		return false, err
	}
	if status != strconv.Itoa(http.StatusOK) {
		x.t.refused("HTTP status " + status)
		return keep, nil
	}
	x.count(due)
	return keep && length >= 0, nil
}

// read reads a body of known length, or to the end of the connection.
func (x *caller) read(length int) (err error) {
	if length < 0 {
		x.body, err = io.ReadAll(io.LimitReader(x.in, maxAnswer))
		return err
	}
	x.body = append(x.body[:0], make([]byte, length)...)
	_, err = io.ReadFull(x.in, x.body)
	return err
}

// count looks at a body no closer than it takes to tell a refusal from peers.
func (x *caller) count(due time.Time) {
	if !bytes.Contains(x.body, []byte("8:interval")) {
		x.t.refused(fmt.Sprintf("%.80q", x.body))
		return
	}
	peers := 0
	if _, rest, ok := bytes.Cut(x.body, []byte("5:peers")); ok {
		if digits, _, ok := bytes.Cut(rest[:min(len(rest), 8)], []byte(":")); ok {
			n, _ := strconv.Atoi(string(digits)) // none counts as none
			peers = n / 6
		}
	}
	x.t.answered(time.Since(due), peers)
}
