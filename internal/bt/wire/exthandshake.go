package wire

import "net/netip"

// ExtHandshakeID is the extended id of the ext handshake.
const ExtHandshakeID = 0

// Bounds of an ext handshake. What is longer is cut or ignored, not an error,
// for clients put all sorts of things there.
const (
	MaxExtensions = 64        // entries of m
	MaxExtName    = 64        // bytes of an extension's name
	MaxClientName = 128       // bytes of v
	MaxMetadata   = 512 << 20 // bytes of an info dictionary that we exchange
)

// ExtHandshake is what a peer tells of itself right after the handshake, and may
// tell again (BEP 10). Zero fields are not sent.
type ExtHandshake struct {
	M            map[string]int // extension name to the id (1 to 255) to send it under; 0 turns it off
	V            string         // client name and version
	P            uint16         // TCP port it listens on
	Reqq         int            // outstanding requests it takes
	MetadataSize int64          // bytes of the info dictionary (BEP 9)
	YourIP       netip.Addr     // how it sees the receiver
	IPv4, IPv6   netip.Addr     // other addresses of it
	UploadOnly   bool           // it will request nothing: a seed or partial seed (BEP 21)
	CompleteAgo  int64          // seconds since it became a seed
	Shoal        ShoalCaps      // zero unless it is a shoal process
}

// ID is the extended id under which the sender of h wants the named extension;
// false when it does not want it.
func (h ExtHandshake) ID(name string) (uint8, bool) {
	id, ok := h.M[name]
	return uint8(id), ok && id > 0 && id < 256
}
