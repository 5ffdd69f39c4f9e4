package announce

import (
	"encoding/binary"
	"fmt"
	"time"

	"shoal/internal/bt/metainfo"
)

// AppendUDPConnect adds a connect request.
func AppendUDPConnect(dst []byte, tx uint32) []byte {
	return UDPHead{ConnID: ProtocolID, Action: ActionConnect, Tx: tx}.append(dst)
}

// AppendUDP adds a UDP announce. URLData longer than MaxURLData is cut.
func (r *Request) AppendUDP(dst []byte, connID uint64, tx uint32) []byte {
	dst = UDPHead{ConnID: connID, Action: ActionAnnounce, Tx: tx}.append(dst)
	dst = append(dst, r.InfoHash[:]...)
	dst = append(dst, r.PeerID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Downloaded))
	dst = binary.BigEndian.AppendUint64(dst, uint64(wireLeft(r.Left)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Uploaded))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Event))
	var ip [4]byte
	if r.IP.Is4() {
		ip = r.IP.As4()
	}
	dst = append(dst, ip[:]...)
	dst = binary.BigEndian.AppendUint32(dst, r.Key)
	dst = binary.BigEndian.AppendUint32(dst, uint32(int32(max(r.NumWant, -1))))
	dst = binary.BigEndian.AppendUint16(dst, r.Port)
	for url := r.URLData[:min(len(r.URLData), MaxURLData)]; url != ""; {
		n := min(len(url), 255)
		dst = append(dst, optURLData, byte(n))
		dst = append(dst, url[:n]...)
		url = url[n:]
	}
	return dst
}

// AppendUDPScrapeRequest adds a scrape of at most MaxScrapeUDP swarms; more are left out.
func AppendUDPScrapeRequest(dst []byte, connID uint64, tx uint32, hashes []metainfo.InfoHash) []byte {
	dst = UDPHead{ConnID: connID, Action: ActionScrape, Tx: tx}.append(dst)
	for i := range hashes[:min(len(hashes), MaxScrapeUDP)] {
		dst = append(dst, hashes[i][:]...)
	}
	return dst
}

// UDPTx is the transaction id of a datagram that a client received, by which it finds its request; ok is
// false when it is too short to have one.
func UDPTx(pkt []byte) (tx uint32, ok bool) {
	if len(pkt) < replyHeadSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(pkt[4:]), true
}

// ParseUDPConnected reads the answer to a connect request: the id for the next minute. A refusal comes as
// *Failure, anything else that does not belong to the protocol as ErrPacket.
func ParseUDPConnected(pkt []byte) (connID uint64, err error) {
	body, err := replyBody(pkt, ActionConnect)
	if err != nil {
		return 0, err
	}
	if len(body) < 8 {
		return 0, fmt.Errorf("%w: connect answer of %d bytes", ErrPacket, len(pkt))
	}
	return binary.BigEndian.Uint64(body), nil
}

// ParseUDPReply reads the answer to an announce; v6 tells that the socket speaks IPv6, which sets the size of
// a peer. The response owns its memory. Errors as in ParseUDPConnected.
func ParseUDPReply(pkt []byte, v6 bool) (Response, error) {
	var r Response
	body, err := replyBody(pkt, ActionAnnounce)
	if err != nil {
		return r, err
	}
	if len(body) < announceReplies-replyHeadSize {
		return r, fmt.Errorf("%w: announce answer of %d bytes", ErrPacket, len(pkt))
	}
	r.Interval = time.Duration(count32(body)) * time.Second
	r.Leeches = count32(body[4:])
	r.Seeds = count32(body[8:])
	peers := body[12:]
	if v6 {
		r.V6 = append(r.V6, whole(peers, Size6)...)
	} else {
		r.V4 = append(r.V4, whole(peers, Size4)...)
	}
	return r, nil
}

// ParseUDPScraped reads the answer to a scrape of hashes, in their order. Errors as in ParseUDPConnected.
func ParseUDPScraped(pkt []byte, hashes []metainfo.InfoHash) ([]Swarm, error) {
	body, err := replyBody(pkt, ActionScrape)
	if err != nil {
		return nil, err
	}
	n := min(len(hashes), MaxScrapeUDP)
	if len(body) < n*scrapeEntry {
		return nil, fmt.Errorf("%w: scrape answer of %d bytes for %d swarms", ErrPacket, len(pkt), n)
	}
	out := make([]Swarm, n)
	for i := range out {
		e := body[i*scrapeEntry:]
		out[i] = Swarm{InfoHash: hashes[i], Seeds: count32(e), Downloaded: count32(e[4:]),
			Leeches: count32(e[8:]), Downloaders: -1}
	}
	return out, nil
}

// replyBody checks that pkt answers the given kind of request and gives what follows the header.
func replyBody(pkt []byte, want Action) ([]byte, error) {
	if len(pkt) < replyHeadSize {
		return nil, fmt.Errorf("%w: answer of %d bytes", ErrPacket, len(pkt))
	}
	body := pkt[replyHeadSize:]
	switch got := Action(binary.BigEndian.Uint32(pkt)); got {
	case want:
		return body, nil
	case ActionError:
		return nil, &Failure{Reason: printable(body)}
	default:
		return nil, fmt.Errorf("%w: action %d in answer to %d", ErrPacket, got, want)
	}
}

// count32 reads a count; trackers send -1 for "unknown", which becomes 0.
func count32(b []byte) int { return int(max(int32(binary.BigEndian.Uint32(b)), 0)) }

// whole is b without a cut-off peer at its end, at most MaxPeers of them.
func whole(b []byte, size int) []byte {
	n := min(len(b)/size, MaxPeers)
	return b[:n*size]
}
