package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
)

// maxFile bounds what Load reads.
const maxFile = 256 << 20

// The file is one line of JSON a swarm.

type swarmDoc struct {
	Swarm   string    `json:"swarm"` // hex
	Size    int64     `json:"size"`
	Touched uint32    `json:"touched"`
	Peers   []peerDoc `json:"peers"`
}

type peerDoc struct {
	ID     string           `json:"id"` // hex
	Key    uint32           `json:"key"`
	At     netip.AddrPort   `json:"at"`
	DC     string           `json:"dc"`
	Moved  []announce.Moved `json:"moved"`
	Have   int64            `json:"have"`
	Source bool             `json:"source,omitempty"`
	Gone   bool             `json:"gone,omitempty"`
	Seen   uint32           `json:"seen"`
}

// Version changes whenever the book does.
func (b *Book) Version() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}

// Save writes everything. Announces wait for one swarm at a time.
func (b *Book) Save(w io.Writer) error {
	b.mu.Lock()
	hashes := make([]metainfo.InfoHash, 0, len(b.swarms))
	for h := range b.swarms {
		hashes = append(hashes, h)
	}
	b.mu.Unlock()
	enc := json.NewEncoder(w)
	for _, h := range hashes {
		if doc, ok := b.document(h); ok {
			if err := enc.Encode(doc); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Book) document(h metainfo.InfoHash) (swarmDoc, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sw := b.swarms[h]
	if sw == nil {
		return swarmDoc{}, false
	}
	doc := swarmDoc{h.String(), sw.size, sw.touched, make([]peerDoc, 0, len(sw.peers))}
	for who, p := range sw.peers {
		moved := append([]announce.Moved{}, p.moved...)
		doc.Peers = append(doc.Peers, peerDoc{hex.EncodeToString(who.id[:]), who.key, p.at, p.dc, moved, p.have, p.source, p.gone, p.seen})
	}
	return doc, true
}

// Load adds what Save has written. What makes no sense ends it with an error; what came before stays.
func (b *Book) Load(r io.Reader) error {
	dec := json.NewDecoder(io.LimitReader(r, maxFile))
	for n := 1; ; n++ {
		var doc swarmDoc
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = b.restore(&doc)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func (b *Book) restore(doc *swarmDoc) error {
	var h metainfo.InfoHash
	if !fromHex(h[:], doc.Swarm) || doc.Size <= 0 {
		return fmt.Errorf("swarm %q of %d bytes is none", doc.Swarm, doc.Size)
	}
	for i := range doc.Peers {
		p := &doc.Peers[i]
		r := Report{Swarm: h, Key: p.Key, At: p.At, DC: p.DC, Left: doc.Size - p.Have, Stopped: p.Gone,
			Says: announce.Ledger{Size: doc.Size, Moved: p.Moved}}
		if !fromHex(r.ID[:], p.ID) {
			return fmt.Errorf("peer %q is none", p.ID)
		}
		b.Enter(&r, p.Seen)
		b.source(&r, p.Source)
	}
	return nil
}

// source restores whether a peer was a source, which its later sums cannot tell.
func (b *Book) source(r *Report, was bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sw := b.swarms[r.Swarm]; sw != nil {
		if p := sw.peers[session{r.ID, r.Key}]; p != nil {
			p.source = was
		}
	}
}

func fromHex(dst []byte, text string) bool {
	if len(text) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(text))
	return err == nil
}
