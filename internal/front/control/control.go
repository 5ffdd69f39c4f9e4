// Package control is how an operator talks to a running seed or get: a socket of
// the local machine, open to its owner only, and one JSON document each way. It
// parses, calls and prints; what a request does is its Target's.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"shoal/internal/bt/limit"
)

// Bounds of a conversation.
const (
	maxRequest  = 64 << 10
	maxReply    = 8 << 20
	maxAtOnce   = 16
	patience    = 10 * time.Second
	socketMode  = 0o600
	folderMode  = 0o700
	socketShape = "*.sock"
)

// Target is the process that is told what to do.
type Target interface {
	Stats() Stats
	// SetLimits changes all of the limits, or none when one is no good.
	SetLimits(changes []limit.Change) error
	// Pause leaves all swarms, or joins them again.
	Pause(paused bool)
	// Stop ends the process as SIGTERM does.
	Stop()
}

// Stats is what a process tells of itself. Sizes are in bytes of payload, rates
// in bytes a second.
type Stats struct {
	Pid      int       `json:"pid"`
	Listen   string    `json:"listen"`
	Place    string    `json:"place"`
	Paused   bool      `json:"paused"`
	Yielding string    `json:"yielding,omitempty"` // why the governor holds back
	TLS      bool      `json:"tls"`                // only members of a fleet are peers
	Refused  []Refused `json:"refused,omitempty"`  // those who were not
	Torrents []Torrent `json:"torrents"`
	Limits   []Limit   `json:"limits"`
	Traffic  []Traffic `json:"traffic"` // by data centre
	Links    []Link    `json:"links"`
}

// Torrent is one torrent of a process.
type Torrent struct {
	Name     string  `json:"name"`
	InfoHash string  `json:"info_hash"`
	State    string  `json:"state"`
	Done     int64   `json:"done"`
	Total    int64   `json:"total"`
	Peers    int     `json:"peers"`
	Sent     int64   `json:"sent"`
	Received int64   `json:"received"`
	SendRate float64 `json:"send_rate"`
	RecvRate float64 `json:"receive_rate"`
}

// Refused sums up the peers that were turned away for one reason.
type Refused struct {
	Reason string    `json:"reason"` // docs/protocol.md lists them
	Count  int64     `json:"count"`
	Last   time.Time `json:"last"`
	Error  string    `json:"error"` // of the last one
	Hint   string    `json:"hint"`
}

// Limit is one limit of a process, counted on the wire.
type Limit struct {
	Name  string `json:"name"`
	Limit string `json:"limit"` // as ParseChange reads it
	Now   int64  `json:"now"`   // 0: unlimited
}

// Traffic is what was exchanged with a data centre.
type Traffic struct {
	Datacenter string `json:"datacenter"`
	Sent       int64  `json:"sent"`
	Received   int64  `json:"received"`
}

// Link is what went over a link in the period of its budget.
type Link struct {
	Name     string    `json:"name"`
	Since    time.Time `json:"since"`
	Sent     int64     `json:"sent"`
	Received int64     `json:"received"`
	Budget   string    `json:"budget"`
}

// request is what a client sends: a line of JSON.
type request struct {
	Do     string   `json:"do"` // stats, limit, pause, resume, stop
	Limits []string `json:"limits,omitempty"`
}

// reply is the answer to it: another one.
type reply struct {
	Error string `json:"error,omitempty"`
	Stats *Stats `json:"stats,omitempty"`
}

// Server is the socket of one process.
type Server struct {
	listener *net.UnixListener
	target   Target
}

// Listen makes the socket, and its folder if need be. A socket that a dead
// process has left there is replaced; one that answers is not.
func Listen(name string, target Target) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(name), folderMode); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if info, err := os.Lstat(name); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("control socket: %s is there and no socket; name another one with --control", name)
		}
		if c, err := net.Dial("unix", name); err == nil {
			c.Close()
			return nil, fmt.Errorf("control socket: another process answers at %s; name another one with --control", name)
		}
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	// Nobody else may connect between the making of the socket and its chmod:
	// it gets its name only when its mode is right.
	hidden := name + ".new"
	os.Remove(hidden)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(hidden, socketMode); err == nil {
		err = os.Rename(hidden, name)
	}
	if err != nil {
		l.Close()
		os.Remove(hidden)
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Server{l, target}, nil
}

// Run answers until ctx ends, and removes the socket.
func (s *Server) Run(ctx context.Context, name string) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer os.Remove(name)
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	places := make(chan struct{}, maxAtOnce)
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { c.Close(); <-places }()
			stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now().Add(time.Second)) })
			defer stop()
			s.answer(c)
		})
	}
}

// answer serves one connection: one request.
func (s *Server) answer(c net.Conn) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return
	}
	var q request
	line, err := readLine(c, maxRequest)
	if err == nil {
		err = json.Unmarshal(line, &q)
	}
	var a reply
	then := func() {}
	if err != nil {
		a.Error = fmt.Sprintf("the request cannot be understood: %v", err)
	} else {
		a, then = s.do(q)
	}
	text, err := json.Marshal(a)
	if err == nil {
		_, _ = c.Write(append(text, '\n')) // the one who asked is gone: nobody is left to tell
	}
	then()
}

// do carries out a request; then is what follows after the answer.
func (s *Server) do(q request) (a reply, then func()) {
	then = func() {}
	switch q.Do {
	case "stats":
	case "limit":
		var changes []limit.Change
		for _, text := range q.Limits {
			c, err := limit.ParseChange(text)
			if err != nil {
				return reply{Error: err.Error()}, then
			}
			changes = append(changes, c)
		}
		if err := s.target.SetLimits(changes); err != nil {
			return reply{Error: err.Error()}, then
		}
	case "pause", "resume":
		s.target.Pause(q.Do == "pause")
	case "stop":
		then = s.target.Stop
	default:
		return reply{Error: fmt.Sprintf("no request is called %q; there are stats, limit, pause, resume, stop", q.Do)}, then
	}
	stats := s.target.Stats()
	return reply{Stats: &stats}, then
}

func readLine(r io.Reader, limit int64) ([]byte, error) {
	line, err := bufio.NewReader(io.LimitReader(r, limit)).ReadBytes('\n')
	if errors.Is(err, io.EOF) && int64(len(line)) == limit {
		return nil, fmt.Errorf("it is longer than %d bytes", limit)
	}
	return line, err
}

// Ask tells the process behind a socket what to do, and returns how it is then.
func Ask(ctx context.Context, name, do string, limits []string) (Stats, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		return Stats{}, fmt.Errorf("ask the process behind %s: %w", name, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return Stats{}, err
	}
	text, err := json.Marshal(request{do, limits})
	if err != nil {
		return Stats{}, err
	}
	if _, err := c.Write(append(text, '\n')); err != nil {
		return Stats{}, fmt.Errorf("ask the process behind %s: %w", name, err)
	}
	line, err := readLine(c, maxReply)
	if err != nil {
		return Stats{}, fmt.Errorf("the process behind %s does not answer: %w", name, err)
	}
	var a reply
	if err := json.Unmarshal(line, &a); err != nil {
		return Stats{}, fmt.Errorf("the answer of %s: %w", name, err)
	}
	if a.Error != "" || a.Stats == nil {
		return Stats{}, &Refusal{strings.TrimSpace(a.Error)}
	}
	return *a.Stats, nil
}

// Refusal is an answer that the request is no good.
type Refusal struct{ Why string }

func (e *Refusal) Error() string { return e.Why }

// Sockets lists those in a folder behind which a process lives, and removes
// those of processes that were killed.
func Sockets(ctx context.Context, folder string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(folder, socketShape))
	if err != nil {
		return nil, err
	}
	var live []string
	var d net.Dialer
	for _, name := range names {
		if info, err := os.Lstat(name); err != nil || info.Mode().Type() != os.ModeSocket {
			continue
		}
		c, err := d.DialContext(ctx, "unix", name)
		switch {
		case err == nil:
			c.Close()
			live = append(live, name)
		case errors.Is(err, syscall.ECONNREFUSED):
			os.Remove(name) // whoever cannot is not the one whose folder it is
		case errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("control sockets: %w", err)
		}
	}
	return live, nil
}
