package ledger

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

const t0 = 1_800_000_000

var hash = metainfo.InfoHash{7}

// say makes the report of a peer with a name, which is its last octet too.
func say(name byte, dc string, left int64, moved ...announce.Moved) *Report {
	return &Report{Swarm: hash, ID: [20]byte{name}, Key: uint32(name), At: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, name}), 6881),
		DC: dc, Left: left, Says: announce.Ledger{DC: "claimed", Size: 1000, Moved: moved}}
}

func sums(t *testing.T, b *Book) Sums {
	t.Helper()
	s, ok := b.Sums(hash)
	if !ok {
		t.Fatal("nothing is known")
	}
	return s
}

// TestSums is a source in fra that feeds two hosts of iad, one of which feeds a stock client in sin.
func TestSums(t *testing.T) {
	var b Book
	b.Enter(say(1, "fra", 0), t0)
	b.Enter(say(3, "iad", 1000), t0) // one that begins with nothing is no source
	for range 3 {                    // the same words again change nothing
		b.Enter(say(1, "fra", 0, announce.Moved{DC: "iad", Up: 1200}), t0+10)
		b.Enter(say(2, "iad", 0, announce.Moved{DC: "fra", Down: 700}, announce.Moved{DC: "iad", Up: 500, Down: 300}, announce.Moved{DC: "sin", Up: 900}), t0+10)
		b.Enter(say(3, "iad", 0, announce.Moved{DC: "fra", Down: 500}, announce.Moved{DC: "iad", Up: 300, Down: 500}), t0+10)
	}
	b.Enter(say(2, "iad", 100, announce.Moved{DC: "fra", Down: 600}), t0+11) // late
	want := Sums{Size: 1000, Source: 1.2,
		Sites: []Site{{"fra", 1, 1, 0}, {"iad", 2, 2, 1.2}},
		Flows: []Flow{{"fra", "iad", 1200}, {"iad", "sin", 900}},
		Lack:  map[announce.Slow]int{},
	}
	if got := sums(t, &b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Started again it is another session, which adds up.
	again := say(3, "iad", 0, announce.Moved{DC: "fra", Down: 100})
	again.ID[1] = 1
	b.Enter(again, t0+20)
	if got := sums(t, &b).Flows[0]; got.Bytes != 1300 {
		t.Errorf("after a restart %+v", got)
	}
	// Who stops stays in the sums.
	bye := say(2, "iad", 0, announce.Moved{DC: "fra", Down: 700})
	bye.Stopped = true
	b.Enter(bye, t0+30)
	if got := sums(t, &b); got.Sites[1].Copies != 1.3 || got.Sites[1].Hosts != 3 {
		t.Errorf("after a goodbye %+v", got.Sites)
	}
	// Without a topology at the tracker a peer is where it says.
	other := say(8, "", 10)
	b.Enter(other, t0)
	if got := sums(t, &b).Sites[0].Name; got != "claimed" {
		t.Errorf("it is in %q", got)
	}
}

// TestSlow ranks hosts by when they will be done.
func TestSlow(t *testing.T) {
	var b Book
	for i, left := range []int64{1000, 900, 900, 0} {
		b.Enter(say(byte(i), "fra", left), t0)
	}
	for i, left := range []int64{1000, 500, 800, 0} { // 0, 40 and 10 bytes a second
		r := say(byte(i), "fra", left)
		r.Says.Slow = announce.SlowDisk
		b.Enter(r, t0+10)
	}
	gone := say(9, "fra", 500)
	gone.Stopped = true
	b.Enter(gone, t0+10)
	var got []string
	slow := sums(t, &b).Slow
	for _, h := range slow {
		got = append(got, fmt.Sprintf("%v %v %v %v", h.At.Addr(), h.Have, h.Rate, h.Slow))
	}
	want := []string{"10.0.0.0 0 0 disk", "10.0.0.2 0.2 10 disk", "10.0.0.1 0.5 40 disk"}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if slow[0].Silent(t0+11) || !slow[0].Silent(t0+1000) {
		t.Error("silence is not told from a word")
	}
}

// TestNonsense: what cannot be, and what is too much, changes nothing.
func TestNonsense(t *testing.T) {
	var b Book
	for _, r := range []*Report{say(1, "fra", -1), {Swarm: hash}} {
		b.Enter(r, t0)
	}
	if _, ok := b.Sums(hash); ok {
		t.Error("nonsense is taken")
	}
	b.Enter(say(1, "fra", 10), t0)
	other := say(2, "fra", 10)
	other.Says.Size = 2000
	b.Enter(other, t0)
	if got := sums(t, &b); got.Size != 1000 || got.Sites[0].Hosts != 1 {
		t.Errorf("another size is taken: %+v", got)
	}
	for i := range 2 * announce.MaxMoved {
		b.Enter(say(1, "fra", 10, announce.Moved{DC: fmt.Sprint("dc", i), Down: 1}), t0)
	}
	if got := sums(t, &b); len(got.Flows) != announce.MaxMoved || b.rows != 1+announce.MaxMoved {
		t.Errorf("%d flows, %d rows", len(got.Flows), b.rows)
	}
	b.Sweep(t0 + keepQuiet - 1)
	sums(t, &b)
	b.Sweep(t0 + keepQuiet)
	if _, ok := b.Sums(hash); ok || b.rows != 0 {
		t.Errorf("still known after a week, %d rows", b.rows)
	}
}

// TestSaved: a tracker that was started again knows the same, and peers that go on telling add nothing twice.
func TestSaved(t *testing.T) {
	var b, back Book
	b.Enter(say(1, "fra", 0), t0)
	b.Enter(say(1, "fra", 0, announce.Moved{DC: "iad", Up: 900}), t0+5)
	b.Enter(say(2, "iad", 100, announce.Moved{DC: "fra", Down: 900}), t0+5)
	var file bytes.Buffer
	if err := b.Save(&file); err != nil {
		t.Fatal(err)
	}
	saved := file.String()
	if err := back.Load(&file); err != nil {
		t.Fatal(err)
	}
	if got, want := sums(t, &back), sums(t, &b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, book := range []*Book{&b, &back} {
		book.Enter(say(2, "iad", 0, announce.Moved{DC: "fra", Down: 1000}), t0+20)
	}
	if got, want := sums(t, &back), sums(t, &b); !reflect.DeepEqual(got, want) {
		t.Errorf("later got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"{", "[]", `{"swarm":"00","size":1}`, strings.Replace(saved, `"id":"01`, `"id":"x1`, 1)} {
		var b Book
		if err := b.Load(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

func FuzzLoad(f *testing.F) {
	var b Book
	b.Enter(say(1, "fra", 0, announce.Moved{DC: "iad", Up: 900}), t0)
	var file bytes.Buffer
	_ = b.Save(&file)
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Book
		_ = b.Load(bytes.NewReader(data))
		b.All()
	})
}
