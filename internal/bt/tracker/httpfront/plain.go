package httpfront

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// plainServer answers announces and scrapes itself, at a fraction of what net/http costs for them, and hands every
// connection that says anything else on to net/http for good, with all that it said.
type plainServer struct {
	f    *Front
	rest *handover
	date dateStamp
	mem  sync.Pool // of *buffers

	mu       sync.Mutex
	talks    map[*talk]struct{}
	stopping bool
	running  sync.WaitGroup
}

func newPlainServer(f *Front, rest *handover) *plainServer {
	return &plainServer{f: f, rest: rest, talks: make(map[*talk]struct{})}
}

// serve accepts until the listener is closed.
func (p *plainServer) serve(l net.Listener) error {
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			p.start(c)
			continue
		}
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case !passes(err):
			return err
		}
		p.f.o.Log.Warn("cannot accept a connection now", "err", err)
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		time.Sleep(pause)
	}
}

// passes tells that a listener is still good after an error: the client was gone, or the system lacks what it will
// have again when connections end.
func passes(err error) bool {
	for _, e := range []error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p *plainServer) start(c net.Conn) {
	t := &talk{p: p, conn: c, from: remote(c)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		_ = c.Close()
		return
	}
	p.talks[t] = struct{}{}
	p.running.Go(t.run)
}

func (p *plainServer) ended(t *talk) {
	p.mu.Lock()
	delete(p.talks, t)
	p.mu.Unlock()
}

// stop ends connections that wait for a request, and the others when they have their answer or at the end of ctx.
func (p *plainServer) stop(ctx context.Context) {
	each := func(do func(*talk)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stopping = true
		for t := range p.talks {
			do(t)
		}
	}
	each(func(t *talk) {
		t.stop.Store(true)
		_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // one that fails is closed
	})
	kill := context.AfterFunc(ctx, func() { each(func(t *talk) { _ = t.conn.Close() }) })
	defer kill()
	p.running.Wait()
}

// talk is one connection.
type talk struct {
	p      *plainServer
	conn   net.Conn
	from   netip.Addr
	stop   atomic.Bool
	head   head
	now    time.Time // of the last byte that came
	begun  time.Time // when the request at hand began to come, or the connection to be
	until  time.Time // read deadline
	sendBy time.Time // write deadline
	*buffers
}

// buffers are the memory of a connection, and then of another one.
type buffers struct {
	in  []byte // what came and is not answered
	out []byte // answers not sent yet
}

const (
	newBuffer  = 2 << 10
	keepBuffer = 8 << 10  // what has grown beyond this is not kept
	flushAt    = 16 << 10 // bytes of answers to requests in a row that are gathered
	slack      = time.Second
)

func (p *plainServer) buffers() *buffers {
	if b, ok := p.mem.Get().(*buffers); ok {
		return b
	}
	return &buffers{in: make([]byte, 0, newBuffer), out: make([]byte, 0, newBuffer)}
}

func (t *talk) run() {
	t.buffers = t.p.buffers()
	handed := t.converse()
	t.p.ended(t)
	if handed {
		t.p.rest.take(t.conn, t.in) // which keeps t.in
		return
	}
	_ = t.conn.Close() // whoever is there has all that it gets
	if t.in, t.out = t.in[:0], t.out[:0]; cap(t.in) <= keepBuffer && cap(t.out) <= keepBuffer {
		t.p.mem.Put(t.buffers)
	}
}

// converse answers requests until the connection ends. handed tells that it goes to net/http.
func (t *talk) converse() (handed bool) {
	t.now = time.Now()
	t.begun = t.now
	idle := false
	for !t.stop.Load() {
		switch v := parseHead(t.in, &t.head); {
		case v == other, v == more && len(t.in) >= maxHeader:
			return t.flush()
		case v == plain:
			last := t.answer()
			t.in = t.in[:copy(t.in, t.in[t.head.size:])]
			t.begun, idle = t.now, len(t.in) == 0
			if (last || len(t.out) >= flushAt) && !t.flush() || last {
				return false
			}
		default:
			if !t.flush() || !t.read(idle) {
				return false
			}
			idle = false
		}
	}
	t.flush()
	return false
}

// read waits for more bytes: while idle for a new request, otherwise for the rest of the one that has begun.
func (t *talk) read(idle bool) bool {
	until := t.begun.Add(headerTime)
	if idle {
		until = t.now.Add(idleTime)
		if cap(t.in) > keepBuffer {
			t.in = make([]byte, 0, newBuffer)
		}
	}
	if early := until.Sub(t.until); early < 0 || early > slack {
		t.until = until
		if t.conn.SetReadDeadline(until) != nil || t.stop.Load() {
			return false
		}
	}
	if len(t.in) == cap(t.in) {
		t.in = slices.Grow(t.in, len(t.in))
	}
	n, err := t.conn.Read(t.in[len(t.in):min(cap(t.in), maxHeader)])
	t.in = t.in[:len(t.in)+n]
	if t.now = time.Now(); idle {
		t.begun = t.now
	}
	return err == nil
}

// answer queues the answer to the request at hand; last tells that the connection ends with it.
func (t *talk) answer() (last bool) {
	s := t.p.f.pool.get()
	defer t.p.f.pool.put(s)
	from := t.from
	if t.head.hops > 0 {
		lines := make([]string, t.head.hops)
		for i := range lines {
			lines[i] = string(t.head.forwarded[i])
		}
		from = t.p.f.asker(from, lines)
	}
	// The query is copied: what is kept of a request would otherwise change with the buffer.
	if query := string(t.head.query); t.head.scrape {
		scraped(t.p.f.o.Logic, s, query, from, t.now)
	} else {
		announced(t.p.f.o.Logic, s, query, from, t.now)
	}
	last = t.head.last || t.stop.Load()
	version := "HTTP/1.1"
	if t.head.old {
		version = "HTTP/1.0"
	}
	t.out = append(append(t.out, version...), " 200 OK\r\nContent-Type: "+contentType+"\r\nDate: "...)
	t.out = append(t.out, t.p.date.at(t.now)...)
	t.out = strconv.AppendInt(append(t.out, "\r\nContent-Length: "...), int64(len(s.buf)), 10)
	if last && !t.head.old {
		t.out = append(t.out, "\r\nConnection: close"...)
	}
	t.out = append(append(t.out, "\r\n\r\n"...), s.buf...)
	return last
}

// flush sends the queued answers.
func (t *talk) flush() bool {
	if len(t.out) == 0 {
		return true
	}
	if by := t.now.Add(answerTime); by.Sub(t.sendBy) > slack {
		t.sendBy = by
		if t.conn.SetWriteDeadline(by) != nil {
			return false
		}
	}
	_, err := t.conn.Write(t.out)
	if t.out = t.out[:0]; cap(t.out) > keepBuffer {
		t.out = nil
	}
	return err == nil
}

// dateStamp is the text of the Date header, made anew once a second.
type dateStamp struct{ now atomic.Pointer[stamp] }

type stamp struct {
	second int64
	text   string
}

func (d *dateStamp) at(now time.Time) string {
	s := d.now.Load()
	if s == nil || s.second != now.Unix() {
		s = &stamp{now.Unix(), now.UTC().Format(http.TimeFormat)}
		d.now.Store(s)
	}
	return s.text
}

// handover is the listener of net/http: it accepts the connections that were handed over.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

// take hands over a connection from which some bytes were read.
func (h *handover) take(c net.Conn, read []byte) {
	// net/http sets deadlines of its own.
	_ = c.SetDeadline(time.Time{})
	select {
	case h.conns <- &replayed{Conn: c, read: read}:
	case <-h.done:
		_ = c.Close()
	}
}

// Accept is of net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close is of net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr is of net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// replayed gives what was read already before what is to come.
type replayed struct {
	net.Conn
	read []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.read)
	if r.read = r.read[n:]; len(r.read) == 0 {
		r.read = nil
	}
	return n, nil
}
