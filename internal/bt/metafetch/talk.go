package metafetch

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/wire"
)

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
