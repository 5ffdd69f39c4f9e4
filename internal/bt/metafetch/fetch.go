// Package metafetch turns a magnet link into a metafile: it asks peers for
// the info dictionary (BEP 9) and, where the release has v2 hashes, for the
// piece layers (BEP 52). Everything is checked against the magnet's hashes
// before it is believed. It never touches content.
package metafetch

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

// Bounds.
const (
	parallel     = 8               // peers asked at a time
	maxInfo      = 128 << 20       // bytes of an info dictionary
	maxBuffered  = 1 << 20         // what a peer's claimed size may allocate before bytes have come
	pipeline     = 32              // requests under way to one peer
	peerLimit    = 2 * time.Minute // for all that one peer has to say
	stallLimit   = 15 * time.Second
	dialLimit    = 5 * time.Second
	layersRounds = 3 // peers without piece layers before a hybrid does without
)

// Options of a fetch. Magnet, PeerID and Peers are required.
type Options struct {
	Magnet            metainfo.Magnet
	PeerID            [20]byte
	Peers             <-chan []netip.AddrPort // grows while it runs
	AllowOutsideLinks bool
	Dial              func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) // nil: TCP
	Log               *slog.Logger
}

// Result is what was found: a valid info dictionary, and its piece layers as
// far as any peer had them.
type Result struct {
	Info   *metainfo.Info
	Layers metainfo.Layers
	Peers  []netip.AddrPort // everyone heard of, who gave it first
}

// errNoLayers means that a peer has the info dictionary but not the layers.
var errNoLayers = errors.New("the peer does not give piece layers")

// Fetch asks peers until one has given everything, or ctx ends.
func Fetch(ctx context.Context, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		d := net.Dialer{Timeout: dialLimit}
		o.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr.String())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{o: o, results: make(chan answer), tried: map[netip.AddrPort]int{}}
	res, err := r.run(ctx)
	cancel()
	for r.busy > 0 { // wait for those still asking
		<-r.results
		r.busy--
	}
	return res, err
}

// round is the state of one fetch, owned by run.
type round struct {
	o       Options
	queue   []netip.AddrPort
	tried   map[netip.AddrPort]int
	results chan answer
	busy    int
	partial int // peers that gave the info of a hybrid but no layers
	info    *metainfo.Info
}

type answer struct {
	addr netip.AddrPort
	res  Result
	err  error
}

func (r *round) run(ctx context.Context) (Result, error) {
	again := time.NewTicker(3 * time.Second)
	defer again.Stop()
	for {
		for r.busy < parallel && len(r.queue) > 0 {
			r.ask(ctx, r.queue[0])
			r.queue = r.queue[1:]
		}
		select {
		case addrs := <-r.o.Peers:
			for _, a := range addrs {
				if _, ok := r.tried[a]; !ok && len(r.tried) < 4096 {
					r.tried[a] = 0
					r.queue = append(r.queue, a)
				}
			}
		case a := <-r.results:
			r.busy--
			if res, ok := r.judge(a); ok {
				res.Peers = []netip.AddrPort{a.addr}
				for other := range r.tried {
					if other != a.addr {
						res.Peers = append(res.Peers, other)
					}
				}
				return res, nil
			}
		case <-again.C: // everybody may know more by now
			if r.busy == 0 && len(r.queue) == 0 {
				for a := range r.tried {
					r.queue = append(r.queue, a)
				}
			}
		case <-ctx.Done():
			return Result{}, fmt.Errorf("no peer gave the metadata (%d addresses known): %w", len(r.tried), context.Cause(ctx))
		}
	}
}

// judge decides whether an answer is enough.
func (r *round) judge(a answer) (Result, bool) {
	if a.res.Info != nil {
		r.info = a.res.Info
	}
	switch {
	case a.err == nil:
		return a.res, true
	case errors.Is(a.err, errNoLayers) && r.info.HasV1():
		// SHA-1 is enough to check a hybrid.
		if r.partial++; r.partial >= min(layersRounds, len(r.tried)) {
			return Result{Info: r.info, Layers: a.res.Layers}, true
		}
	}
	r.o.Log.Debug("no metadata", "peer", a.addr, "err", a.err)
	return Result{}, false
}

func (r *round) ask(ctx context.Context, addr netip.AddrPort) {
	r.busy++
	attempt := r.tried[addr]
	r.tried[addr]++
	known := r.info
	go func() {
		res, err := askPeer(ctx, r.o, addr, attempt, known)
		r.results <- answer{addr, res, err}
	}()
}

// askPeer gets all there is from one peer. known is the info dictionary, if
// another peer has given it already.
func askPeer(ctx context.Context, o Options, addr netip.AddrPort, attempt int, known *metainfo.Info) (res Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	nc, err := o.Dial(ctx, addr)
	if err != nil {
		return res, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	p := &talk{nc: nc, outside: o.AllowOutsideLinks}
	if err := p.hello(o, attempt); err != nil {
		return res, err
	}
	res.Info = known
	if res.Info == nil {
		if res.Info, err = p.fetchInfo(o.Magnet); err != nil {
			return res, err
		}
	}
	if res.Info.HasV2() {
		res.Layers, err = p.fetchLayers(res.Info)
	}
	return res, err
}

// talk is one blocking conversation.
type talk struct {
	nc      net.Conn
	ext     wire.ExtHandshake
	buf     []byte
	outside bool // links may lead out of the tree
}

// hello shakes hands and waits for the ext handshake.
func (p *talk) hello(o Options, attempt int) error {
	hashes := swarms(o.Magnet)
	caps := wire.CapExtended | wire.CapFast
	if o.Magnet.V2 != nil { // a v1-only peer takes the v2 bit for a mistake
		caps |= wire.CapV2
	}
	hs := wire.NewHandshake(hashes[attempt%len(hashes)], o.PeerID, caps)
	if err := p.write(hs.Append(nil)); err != nil {
		return err
	}
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(p.nc, b[:]); err != nil {
		return err
	}
	answer, err := wire.ParseHandshake(b[:])
	if err != nil {
		return err
	}
	if !answer.Extended() {
		return errors.New("the peer does not speak extensions")
	}
	ours := wire.ExtHandshake{M: map[string]int{wire.ExtMetadata: ourMetadata}, Reqq: 1}
	greeting := wire.AppendExtended(nil, wire.ExtHandshakeID, ours.Encode())
	if answer.Fast() {
		greeting = append(wire.AppendID(nil, wire.HaveNone), greeting...)
	}
	if err := p.write(greeting); err != nil {
		return err
	}
	for {
		id, body, err := p.extended()
		if err != nil {
			return err
		}
		if id == wire.ExtHandshakeID {
			p.ext, err = wire.ParseExtHandshake(body)
			return err
		}
	}
}

const ourMetadata = 1

func swarms(m metainfo.Magnet) (out [][20]byte) {
	if m.V1 != nil {
		out = append(out, *m.V1)
	}
	if m.V2 != nil {
		out = append(out, [20]byte(m.V2[:20]))
	}
	return out
}

func (p *talk) write(b []byte) error {
	if err := p.nc.SetDeadline(time.Now().Add(stallLimit)); err != nil {
		return err
	}
	_, err := p.nc.Write(b)
	return err
}

// next reads one message; keep-alives are skipped.
func (p *talk) next() (wire.ID, []byte, error) {
	for {
		if err := p.nc.SetReadDeadline(time.Now().Add(stallLimit)); err != nil {
			return 0, nil, err
		}
		var head [4]byte
		if _, err := io.ReadFull(p.nc, head[:]); err != nil {
			return 0, nil, err
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n == 0 {
			continue
		}
		if n > 2*maxBuffered {
			return 0, nil, fmt.Errorf("a message of %d bytes", n)
		}
		if cap(p.buf) < n {
			p.buf = make([]byte, n)
		}
		p.buf = p.buf[:n]
		if _, err := io.ReadFull(p.nc, p.buf); err != nil {
			return 0, nil, err
		}
		return wire.ID(p.buf[0]), p.buf[1:], nil
	}
}

// extended reads on to the next extension message.
func (p *talk) extended() (uint8, []byte, error) {
	for {
		id, payload, err := p.next()
		if err != nil {
			return 0, nil, err
		}
		if id == wire.Extended {
			return wire.ParseExtended(payload)
		}
	}
}

// fetchInfo gets the info dictionary part by part and checks it.
func (p *talk) fetchInfo(m metainfo.Magnet) (*metainfo.Info, error) {
	theirs, ok := p.ext.ID(wire.ExtMetadata)
	size := p.ext.MetadataSize
	if !ok || size <= 0 {
		return nil, errors.New("the peer does not have the metadata")
	}
	if size > maxInfo {
		return nil, fmt.Errorf("the peer says that the metadata has %d bytes; at most %d are taken", size, maxInfo)
	}
	raw := make([]byte, 0, min(size, maxBuffered))
	parts := int((size + wire.MetadataBlock - 1) / wire.MetadataBlock)
	for asked, got := 0, 0; got < parts; got++ {
		for ; asked < parts && asked < got+pipeline; asked++ {
			req := wire.Metadata{Type: wire.MetadataRequest, Piece: asked}
			if err := p.write(wire.AppendExtended(nil, theirs, req.Encode())); err != nil {
				return nil, err
			}
		}
		part, err := p.metadataPart(got, size)
		if err != nil {
			return nil, err
		}
		raw = append(raw, part...)
	}
	if err := matches(m, raw); err != nil {
		return nil, err
	}
	return metainfo.Options{AllowOutsideLinks: p.outside}.ParseInfo(raw)
}

func (p *talk) metadataPart(want int, size int64) ([]byte, error) {
	for {
		id, body, err := p.extended()
		if err != nil {
			return nil, err
		}
		if id != ourMetadata {
			continue
		}
		m, err := wire.ParseMetadata(body)
		switch {
		case err != nil:
			return nil, err
		case m.Type == wire.MetadataReject:
			return nil, errors.New("the peer refuses to give the metadata")
		case m.Type == wire.MetadataData && (m.Piece != want || m.TotalSize != size):
			return nil, fmt.Errorf("part %d of %d bytes of metadata, want part %d of %d", m.Piece, m.TotalSize, want, size)
		case m.Type == wire.MetadataData:
			return m.Data, nil
		}
	}
}

// matches checks the info dictionary against every hash of the magnet.
func matches(m metainfo.Magnet, raw []byte) error {
	if m.V1 != nil && sha1.Sum(raw) != *m.V1 || m.V2 != nil && sha256.Sum256(raw) != *m.V2 {
		return errors.New("the peer's metadata does not have the magnet's hash")
	}
	return nil
}

// fetchLayers gets the piece layers, proven range by range.
func (p *talk) fetchLayers(info *metainfo.Info) (metainfo.Layers, error) {
	b := metainfo.NewLayerBuilder(info, nil)
	for b.Missing() > 0 {
		asked := 0
		var reqs []byte
		for r := range b.Requests() {
			if asked++; asked > pipeline {
				asked--
				break
			}
			reqs = wire.AppendHashRequest(reqs, wire.HashRange(r.HashRange))
		}
		if err := p.write(reqs); err != nil {
			return b.Layers(), err
		}
		for ; asked > 0; asked-- {
			if err := p.takeHashes(b); err != nil {
				return b.Layers(), err
			}
		}
	}
	return b.Layers(), nil
}

func (p *talk) takeHashes(b *metainfo.LayerBuilder) error {
	for {
		id, payload, err := p.next()
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", errNoLayers, err)
		case id == wire.HashReject:
			return errNoLayers
		case id == wire.Hashes:
			r, hashes, err := wire.ParseHashes(payload)
			if err != nil {
				return err
			}
			return b.Add(metainfo.HashRange(r), hashes)
		}
	}
}
