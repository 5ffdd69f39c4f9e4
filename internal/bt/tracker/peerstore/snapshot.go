package peerstore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// The snapshot: a magic line, then one record a swarm, each behind a mark, then the end mark with the number of
// swarms, then the CRC-32C of everything before. All numbers are big-endian.
//
//	swarm  mark 's', info-hash 20, completed 8, up 8, down 8, touched 4, peers4 4, peers6 4, peers
//	peer   endpoint 6 or 18, id 20, key 4, seen 4, up 8, down 8, flags 1
//	end    mark 'e', swarms 8, CRC 4
const (
	magic     = "shoal tracker 1\n"
	markSwarm = 's'
	markEnd   = 'e'

	swarmSize = 20 + 8 + 8 + 8 + 4 + 4 + 4
	peerSize  = 20 + 4 + 4 + 8 + 8 + 1 // behind the endpoint
)

// Flags of a peer in a snapshot; those of memory may change their bits.
const (
	savedKey = 1 << iota
	savedCompleted
	savedSeed
	savedPartial
	savedStray // without it the order of the file would decide who owns an id
)

// Errors of Restore.
var (
	ErrForeign = errors.New("not a state file of this tracker")
	ErrDamaged = errors.New("the state file is damaged")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes a snapshot. Shards are locked one at a time and only while they are copied, so announces go on
// and the snapshot is of each swarm at some moment during the call.
func (s *Store) Save(w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(w, sum)
	if _, err := io.WriteString(out, magic); err != nil {
		return err
	}
	var swarms uint64
	var buf []byte
	for i := range s.shard {
		sh := &s.shard[i]
		buf = buf[:0]
		sh.mu.Lock()
		for _, sw := range sh.swarms {
			buf = sw.append(buf)
		}
		swarms += uint64(len(sh.swarms))
		sh.mu.Unlock()
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
	buf = binary.BigEndian.AppendUint64(append(buf[:0], markEnd), swarms)
	if _, err := out.Write(buf); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func (sw *swarm) append(b []byte) []byte {
	b = append(b, markSwarm)
	b = append(b, sw.hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(sw.completed))
	b = binary.BigEndian.AppendUint64(b, uint64(sw.up))
	b = binary.BigEndian.AppendUint64(b, uint64(sw.down))
	b = binary.BigEndian.AppendUint32(b, sw.touched)
	b = binary.BigEndian.AppendUint32(b, uint32(sw.v4.len()))
	b = binary.BigEndian.AppendUint32(b, uint32(sw.v6.len()))
	return sw.v6.append(sw.v4.append(b))
}

func (t *table) append(b []byte) []byte {
	for i := range t.meta {
		m := &t.meta[i]
		b = append(b, t.end(i)...)
		b = append(b, m.id[:]...)
		b = binary.BigEndian.AppendUint32(b, m.key)
		b = binary.BigEndian.AppendUint32(b, m.seen)
		b = binary.BigEndian.AppendUint64(b, uint64(m.up))
		b = binary.BigEndian.AppendUint64(b, uint64(m.down))
		var f byte
		for _, c := range []struct {
			on  bool
			bit byte
		}{{m.flags&hasKey != 0, savedKey}, {m.flags&completed != 0, savedCompleted},
			{t.isSeed(i), savedSeed}, {m.flags&partial != 0, savedPartial}, {m.flags&stray != 0, savedStray}} {
			if c.on {
				f |= c.bit
			}
		}
		b = append(b, f)
	}
	return b
}

// Restore reads a snapshot into a new store, without the peers that have expired meanwhile and within the
// limits of the options. An error wraps ErrForeign, ErrDamaged or is the reader's.
func Restore(r io.Reader, o Options, now uint32) (*Store, error) {
	in := &reader{r: bufio.NewReaderSize(r, 1<<16)}
	if string(in.next(len(magic))) != magic {
		if in.err != nil && !errors.Is(in.err, ErrDamaged) {
			return nil, in.err
		}
		return nil, ErrForeign
	}
	s := New(o)
	var swarms uint64
	for in.err == nil {
		mark := in.next(1)
		if in.err != nil {
			break
		}
		switch mark[0] {
		case markSwarm:
			swarms++
			s.restoreSwarm(in, now)
		case markEnd:
			if err := in.finish(swarms); err != nil {
				return nil, err
			}
			return s, nil
		default:
			in.damaged("record %d has the unknown mark %#x", swarms, mark[0])
		}
	}
	return nil, in.err
}

// restoreSwarm reads one swarm. Beyond the limits it is read, so that the check sum is right, and forgotten.
func (s *Store) restoreSwarm(in *reader, now uint32) {
	b := in.next(swarmSize)
	if in.err != nil {
		return
	}
	sh := s.of(metainfo.InfoHash(b[:20]))
	if sh.swarms[metainfo.InfoHash(b[:20])] != nil {
		in.damaged("swarm %x stands in it twice", b[:20])
		return
	}
	sw, err := s.open(sh, metainfo.InfoHash(b[:20]))
	if err != nil {
		in.discard(b)
		return
	}
	sw.completed = int64(binary.BigEndian.Uint64(b[20:]) &^ (1 << 63))
	sw.up = int64(binary.BigEndian.Uint64(b[28:]) &^ (1 << 63))
	sw.down = int64(binary.BigEndian.Uint64(b[36:]) &^ (1 << 63))
	sw.touched = min(binary.BigEndian.Uint32(b[44:]), now)
	n4, n6 := binary.BigEndian.Uint32(b[48:]), binary.BigEndian.Uint32(b[52:])
	for ; n4 > 0 && in.err == nil; n4-- {
		s.restorePeer(in, sw, &sw.v4, now)
	}
	for ; n6 > 0 && in.err == nil; n6-- {
		s.restorePeer(in, sw, &sw.v6, now)
	}
}

// discard steps over the peers of a swarm record.
func (in *reader) discard(b []byte) {
	n4, n6 := binary.BigEndian.Uint32(b[48:]), binary.BigEndian.Uint32(b[52:])
	for ; n4 > 0 && in.err == nil; n4-- {
		in.next(announce.Size4 + peerSize)
	}
	for ; n6 > 0 && in.err == nil; n6-- {
		in.next(announce.Size6 + peerSize)
	}
}

func (s *Store) restorePeer(in *reader, sw *swarm, t *table, now uint32) {
	b := in.next(t.size + peerSize)
	if in.err != nil {
		return
	}
	end, b := b[:t.size], b[t.size:]
	m := meta{
		id: [20]byte(b), key: binary.BigEndian.Uint32(b[20:]), seen: min(binary.BigEndian.Uint32(b[24:]), now),
		up: int64(binary.BigEndian.Uint64(b[28:])), down: int64(binary.BigEndian.Uint64(b[36:])),
	}
	saved := b[44]
	if now-m.seen > s.o.Lifetime || sw.len() >= s.o.SwarmPeers || s.peers.Load() >= int64(s.o.Peers) || t.findEnd(end) >= 0 {
		return
	}
	dc := int16(-1)
	if s.o.Place != nil {
		ip, _ := netip.AddrFromSlice(end[:t.size-2])
		dc = s.o.Place(ip)
	}
	if saved&savedKey != 0 {
		m.flags |= hasKey
	}
	if saved&savedCompleted != 0 {
		m.flags |= completed
	}
	if saved&savedStray != 0 {
		m.flags |= stray
	}
	slot := t.insert(end, m, dc)
	t.setSeed(slot, saved&savedSeed != 0)
	t.setFlag(slot, partial, saved&savedPartial != 0)
	sw.pair(&m.id)
	s.peers.Add(1)
}

// reader reads fields and keeps the check sum. After an error everything that it gives is nil.
type reader struct {
	r   *bufio.Reader
	sum uint32
	buf [128]byte
	err error
}

// next gives n bytes, valid until the next call; at most len(buf).
func (in *reader) next(n int) []byte {
	if in.err != nil {
		return nil
	}
	b := in.buf[:n]
	if _, err := io.ReadFull(in.r, b); err != nil {
		in.fail(err)
		return nil
	}
	in.sum = crc32.Update(in.sum, castagnoli, b)
	return b
}

func (in *reader) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		in.damaged("it ends in the middle")
		return
	}
	in.err = err
}

func (in *reader) damaged(format string, args ...any) {
	in.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// finish checks what stands behind the end mark.
func (in *reader) finish(swarms uint64) error {
	n := in.next(8)
	if in.err == nil && binary.BigEndian.Uint64(n) != swarms {
		in.damaged("%d swarms instead of %d", swarms, binary.BigEndian.Uint64(n))
	}
	want := in.sum
	sum := in.next(4)
	if in.err == nil && binary.BigEndian.Uint32(sum) != want {
		in.damaged("its check sum is wrong")
	}
	if in.err != nil {
		return in.err
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		in.damaged("something stands behind its end")
	}
	return in.err
}
