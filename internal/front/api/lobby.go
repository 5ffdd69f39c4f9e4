package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lobby is where hosts wait for their orders: nearly all the time, nearly all of
// the connections that a server has. To net/http a request that waits is two
// goroutines with their stacks and four buffers. So it gives the connection away
// (Hijack), and here it is an entry until there is an answer; then it is handed
// back, as a net.Listener does with new ones, for the host's next request.
type lobby struct {
	back    chan net.Conn
	answers chan answer
	closed  chan struct{}
	shut    func()
	addr    net.Addr

	mu     sync.Mutex
	guests map[*guest]bool
	proofs map[net.Conn]*proof // of connections that are being handed back
}

// guest is a connection whose request has no answer yet.
type guest struct {
	conn  net.Conn
	proof *proof
	last  bool // it is not used again
}

// answer is what a guest is told.
type answer struct {
	to     *guest
	status int
	doc    any
}

const (
	// answerTime bounds what a host may take to receive its orders: they are
	// small, and nothing else is on its way to it.
	answerTime = 5 * time.Second
	// answerers are as many as may have to wait for such a host at a time.
	answerers = 64
)

func newLobby() *lobby {
	b := &lobby{
		back: make(chan net.Conn), answers: make(chan answer, 256), closed: make(chan struct{}),
		guests: map[*guest]bool{}, proofs: map[net.Conn]*proof{},
	}
	b.shut = sync.OnceFunc(func() { close(b.closed) })
	return b
}

// open lets those begin who answer.
func (b *lobby) open(addr net.Addr, wg *sync.WaitGroup) {
	b.addr = addr
	for range answerers {
		wg.Go(b.answer)
	}
}

// close lets everybody go.
func (b *lobby) close() {
	b.shut()
	b.mu.Lock()
	defer b.mu.Unlock()
	for g := range b.guests {
		_ = g.conn.Close() // the host asks another server, or again
	}
	clear(b.guests)
}

// enter takes the connection of a request.
func (b *lobby) enter(c *call) (*guest, error) {
	conn, buffers, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return nil, err
	}
	g := &guest{conn: conn, last: c.r.Close || buffers.Reader.Buffered() > 0} // what was sent early is lost
	g.proof, _ = c.ctx().Value(proofKey{}).(*proof)
	b.mu.Lock()
	b.guests[g] = true
	b.mu.Unlock()
	select {
	case <-b.closed: // perhaps before it was an entry
		b.leave(g)
	default:
	}
	return g, nil
}

// leave closes a connection.
func (b *lobby) leave(g *guest) {
	b.mu.Lock()
	delete(b.guests, g)
	b.mu.Unlock()
	_ = g.conn.Close() // whoever is at the other end sees that
}

// tell answers a guest, soon.
func (b *lobby) tell(a answer) {
	select {
	case b.answers <- a:
	case <-b.closed:
		b.leave(a.to)
	}
}

// answer sends answers. While a whole fleet gets orders, that goes before what
// those ask who have theirs: connections are handed back when all have.
func (b *lobby) answer() {
	var text bytes.Buffer
	var done []*guest
	for {
		if len(done) == 0 {
			select {
			case <-b.closed:
				return
			case a := <-b.answers:
				done = b.send(a, &text, done)
			}
			continue
		}
		select {
		case a := <-b.answers:
			done = b.send(a, &text, done)
		default:
			b.handBack(done[len(done)-1])
			done = done[:len(done)-1]
		}
	}
}

// send sends an answer, and adds whom it went to to those that may go on.
func (b *lobby) send(a answer, text *bytes.Buffer, done []*guest) []*guest {
	text.Reset()
	a.write(text)
	g := a.to
	_ = g.conn.SetWriteDeadline(time.Now().Add(answerTime))
	if _, err := g.conn.Write(text.Bytes()); err != nil || g.last || g.conn.SetWriteDeadline(time.Time{}) != nil {
		b.leave(g)
		return done
	}
	return append(done, g)
}

// handBack lets a connection's next request come.
func (b *lobby) handBack(g *guest) {
	b.mu.Lock()
	delete(b.guests, g)
	b.proofs[g.conn] = g.proof
	b.mu.Unlock()
	select {
	case b.back <- g.conn:
	case <-b.closed:
		b.leave(g)
	}
}

// write makes the answer of HTTP.
func (a answer) write(to *bytes.Buffer) {
	doc, err := json.Marshal(a.doc)
	if err != nil {
		panic("orders are no JSON: " + err.Error()) // a mistake in this program
	}
	r := http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Close: a.to.last, ContentLength: int64(len(doc)), Body: io.NopCloser(bytes.NewReader(doc)),
		Header: http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
	}
	_ = r.Write(to) // memory takes it
}

// proofOf is what is known of who is at the other end of a connection: nothing
// yet, unless it comes from here.
func (b *lobby) proofOf(conn net.Conn) *proof {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.proofs[conn]
	delete(b.proofs, conn)
	if p == nil {
		return &proof{}
	}
	return p
}

// Accept implements net.Listener.
func (b *lobby) Accept() (net.Conn, error) {
	select {
	case conn := <-b.back:
		return conn, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (b *lobby) Close() error { b.shut(); return nil }

// Addr implements net.Listener.
func (b *lobby) Addr() net.Addr { return b.addr }
