package peerstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// sample is a store with a bit of everything.
func sample(tb testing.TB) *Store {
	s := New(options())
	for i := range 40 {
		a := who(byte(i), fmt.Sprintf("10.0.0.%d:%d", i+1, 1000+i))
		if i%4 == 0 {
			a.Ends[1] = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1)), uint16(i+1))
		}
		a.InfoHash = metainfo.InfoHash{byte(i % 3)}
		a.Seed, a.Partial, a.Completed, a.HasKey = i%2 == 0, i%8 == 0, i%6 == 2, i%5 > 0
		for j := range 2 {
			a.Downloaded, a.Uploaded = int64(j*i*1000), int64(j*i*500)
			if err := s.Announce(&a, t0+uint32(i), new(announce.Response)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return s
}

func save(tb testing.TB, s *Store) []byte {
	var buf bytes.Buffer
	if err := s.Save(&buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func sorted(s *Store) []Stats {
	all := s.All(3)
	slices.SortFunc(all, func(a, b Stats) int { return slices.Compare(a.InfoHash[:], b.InfoHash[:]) })
	return all
}

func TestSnapshot(t *testing.T) {
	s := sample(t)
	raw := save(t, s)
	back, err := Restore(bytes.NewReader(raw), options(), t0+50)
	if err != nil {
		t.Fatal(err)
	}
	back.check(t)
	if got, want := sorted(back), sorted(s); !reflect.DeepEqual(got, want) {
		t.Errorf("restored\n%+v\nwant\n%+v", got, want)
	}
	// The keys came back: one who knows it moves, another does not.
	a := who(1, "10.9.9.9:9")
	a.InfoHash = metainfo.InfoHash{1}
	before := back.Totals().Peers
	must(t, back, a, t0+50)
	if n := back.Totals().Peers; n != before {
		t.Errorf("%d peers after a move, want %d", n, before)
	}
	// The completed event of a peer that sent it before is not counted again.
	b := who(2, "10.0.0.3:1002")
	b.InfoHash, b.Seed, b.Completed = metainfo.InfoHash{2}, true, true
	want, _ := back.Swarm(b.InfoHash)
	must(t, back, b, t0+50)
	if got, _ := back.Swarm(b.InfoHash); got.Completed != want.Completed {
		t.Errorf("completed %d, want %d", got.Completed, want.Completed)
	}
}

// TestRestoreOwner: who came second with somebody's id does not own it after a restart either.
func TestRestoreOwner(t *testing.T) {
	s := New(options())
	owner, impostor := who('a', "10.0.0.1:1"), who('a', "10.0.0.2:2")
	impostor.Key, impostor.Seed = 99, true // seeds stand first in the file
	must(t, s, owner, t0)
	must(t, s, impostor, t0)
	back, err := Restore(bytes.NewReader(save(t, s)), options(), t0)
	if err != nil {
		t.Fatal(err)
	}
	back.check(t)
	owner.Ends[0] = netip.MustParseAddrPort("10.0.0.3:3")
	must(t, back, owner, t0)
	wantPeers(t, must(t, back, who('z', "10.9.9.9:0"), t0), "10.0.0.2:2", "10.0.0.3:3")
}

// TestRestoreLate forgets peers that expired while the tracker was down, and no swarm.
func TestRestoreLate(t *testing.T) {
	s := sample(t)
	o := options()
	o.Place = func(a netip.Addr) int16 { return int16(a.Unmap().As16()[15] % 2) }
	back, err := Restore(bytes.NewReader(save(t, s)), o, t0+120)
	if err != nil {
		t.Fatal(err)
	}
	back.check(t)
	if n := back.Totals(); n.Swarms != 3 || n.Peers != 25 {
		t.Errorf("%+v, want 3 swarms and 25 peers", n)
	}
	if st := sorted(back)[0]; st.Places[0]+st.Places[1] == 0 || st.Places[3] != 0 {
		t.Errorf("places were not found again: %v", st.Places)
	}
	back, err = Restore(bytes.NewReader(save(t, s)), o, math.MaxUint32)
	if err != nil {
		t.Fatal(err)
	}
	if n := back.Totals(); n.Swarms != 3 || n.Peers != 0 {
		t.Errorf("much later %+v", n)
	}
}

func TestRestoreLimits(t *testing.T) {
	raw := save(t, sample(t))
	for _, c := range []struct {
		o    Options
		want Totals
	}{
		{Options{Swarms: 2, SwarmPeers: 1000, Peers: 1000, Lifetime: 100}, Totals{2, 0}},
		{Options{Swarms: 9, SwarmPeers: 4, Peers: 1000, Lifetime: 100}, Totals{3, 12}},
		{Options{Swarms: 9, SwarmPeers: 1000, Peers: 7, Lifetime: 100}, Totals{3, 7}},
	} {
		s, err := Restore(bytes.NewReader(raw), c.o, t0+40)
		if err != nil {
			t.Fatal(err)
		}
		s.check(t)
		got := s.Totals()
		if c.want.Peers == 0 {
			got.Peers = 0
		}
		if got != c.want {
			t.Errorf("%+v: restored %+v, want %+v", c.o, got, c.want)
		}
	}
}

// TestRestoreDamaged: any flipped bit and any missing tail is found.
func TestRestoreDamaged(t *testing.T) {
	raw := save(t, sample(t))
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		want := ErrDamaged
		if i < len(magic) {
			want = ErrForeign
		}
		if _, err := Restore(bytes.NewReader(bad), options(), t0); !errors.Is(err, want) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := Restore(bytes.NewReader(raw[:i]), options(), t0); !errors.Is(err, want) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := Restore(bytes.NewReader(append(raw, 0)), options(), t0); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
	if _, err := Restore(strings.NewReader("d9:completedd"), options(), t0); !errors.Is(err, ErrForeign) {
		t.Errorf("foreign: %v", err)
	}
	boom := errors.New("boom")
	if _, err := Restore(io.MultiReader(bytes.NewReader(raw[:100]), iotest.ErrReader(boom)), options(), t0); !errors.Is(err, boom) {
		t.Errorf("a broken disk: %v", err)
	}
	if _, err := Restore(iotest.ErrReader(boom), options(), t0); !errors.Is(err, boom) {
		t.Errorf("a broken disk: %v", err)
	}
	if err := sample(t).Save(&failing{left: 300}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a full disk: %v", err)
	}
}

type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

// FuzzRestore: whatever the file holds, nothing panics, limits hold, and what was accepted is saved and
// restored to the same. The check sum is put right first, or the fuzzer would never pass it.
func FuzzRestore(f *testing.F) {
	f.Add(save(f, New(options())))
	f.Add(save(f, sample(f)))
	huge := append([]byte(magic), markSwarm)
	f.Add(append(huge, bytes.Repeat([]byte{0xff}, swarmSize)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 4 {
			body := raw[:len(raw)-4]
			raw = binary.BigEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
		}
		o := options()
		o.Swarms, o.SwarmPeers, o.Peers = 5, 20, 50
		s, err := Restore(bytes.NewReader(raw), o, t0)
		if err != nil {
			return
		}
		s.check(t)
		if n := s.Totals(); n.Swarms > o.Swarms || n.Peers > o.Peers {
			t.Fatalf("limits passed: %+v", n)
		}
		back, err := Restore(bytes.NewReader(save(t, s)), o, t0)
		if err != nil {
			t.Fatal(err)
		}
		a, b := sorted(s), sorted(back)
		if cmp.Compare(len(a), len(b)) != 0 || !reflect.DeepEqual(a, b) {
			t.Fatalf("saved\n%+v\nrestored\n%+v", a, b)
		}
	})
}
