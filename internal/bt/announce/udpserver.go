package announce

import (
	"encoding/binary"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
)

// ParseUDPAnnounce reads a whole announce datagram, header included. Text options (BEP 41) that are cut off
// are dropped; an error is a *Failure.
func ParseUDPAnnounce(pkt []byte) (Request, error) {
	var r Request
	if len(pkt) < announceSize {
		return r, refuse("announce is shorter than %d bytes", announceSize)
	}
	r.InfoHash = metainfo.InfoHash(pkt[16:36])
	r.PeerID = [20]byte(pkt[36:56])
	r.Downloaded = counter(pkt[56:])
	r.Left = max(int64(binary.BigEndian.Uint64(pkt[64:])), -1)
	r.Uploaded = counter(pkt[72:])
	ev := binary.BigEndian.Uint32(pkt[80:])
	if ev > uint32(Paused) {
		return r, refuse("event %d is not known", ev)
	}
	r.Event = Event(ev)
	if ip := [4]byte(pkt[84:88]); ip != [4]byte{} {
		r.IP = netip.AddrFrom4(ip)
	}
	// The field is always there; clients without a key leave it zero, and all of them would have the same one.
	r.Key = binary.BigEndian.Uint32(pkt[88:])
	r.HasKey = r.Key != 0
	r.NumWant = max(int(int32(binary.BigEndian.Uint32(pkt[92:]))), -1)
	r.Port = binary.BigEndian.Uint16(pkt[96:])
	r.URLData = parseOptions(pkt[announceSize:])
	return r, nil
}

// counter reads a byte counter; a wrapped one is as good as none.
func counter(b []byte) int64 { return max(int64(binary.BigEndian.Uint64(b)), 0) }

// Options of BEP 41.
const (
	optEnd = iota
	optNop
	optURLData
)

// parseOptions joins the URL data of BEP 41, whose pieces hold up to 255 bytes each.
func parseOptions(b []byte) string {
	var url []byte
	for len(b) > 0 {
		switch b[0] {
		case optEnd:
			return string(url)
		case optNop:
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		val := b[2 : 2+int(b[1])]
		if b[0] == optURLData && len(url)+len(val) <= MaxURLData {
			url = append(url, val...)
		}
		b = b[2+len(val):]
	}
	return string(url)
}

// ParseUDPScrape reads the hashes of a scrape datagram, appending to dst. At least one, at most MaxScrapeUDP;
// an error is a *Failure.
func ParseUDPScrape(dst []metainfo.InfoHash, pkt []byte) ([]metainfo.InfoHash, error) {
	b := pkt[min(len(pkt), headSize):]
	if len(b) < 20 {
		return dst, refuse("scrape names no info-hash")
	}
	if len(b)/20 > MaxScrapeUDP {
		return dst, refuse("more than %d info-hashes in one scrape", MaxScrapeUDP)
	}
	for ; len(b) >= 20; b = b[20:] {
		dst = append(dst, metainfo.InfoHash(b[:20]))
	}
	return dst, nil
}

// AppendUDPConnected adds the answer to a connect request.
func AppendUDPConnected(dst []byte, tx uint32, connID uint64) []byte {
	return binary.BigEndian.AppendUint64(appendReplyHead(dst, ActionConnect, tx), connID)
}

// AppendUDPReply adds the answer to a UDP announce with the peers of the asker's own family, as BEP 15 has it,
// as many as fit into MaxPacket.
func (r *Response) AppendUDPReply(dst []byte, tx uint32, v6 bool) []byte {
	dst = appendReplyHead(dst, ActionAnnounce, tx)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Interval/time.Second))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Leeches))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Seeds))
	peers, size := r.V4, Size4
	if v6 {
		peers, size = r.V6, Size6
	}
	n := min(len(peers), MaxPacket-announceReplies)
	return append(dst, peers[:n-n%size]...)
}

// AppendUDPScrape adds the answer to a UDP scrape; the swarms stand in the order of the request.
func AppendUDPScrape(dst []byte, tx uint32, swarms []Swarm) []byte {
	dst = appendReplyHead(dst, ActionScrape, tx)
	for i := range swarms {
		dst = binary.BigEndian.AppendUint32(dst, uint32(swarms[i].Seeds))
		dst = binary.BigEndian.AppendUint32(dst, uint32(swarms[i].Downloaded))
		dst = binary.BigEndian.AppendUint32(dst, uint32(swarms[i].Leeches))
	}
	return dst
}

// AppendUDPError adds a refusal.
func (f *Failure) AppendUDPError(dst []byte, tx uint32) []byte {
	return append(appendReplyHead(dst, ActionError, tx), cut(f.Reason)...)
}
