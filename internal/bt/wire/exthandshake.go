package wire

import (
	"maps"
	"net/netip"
	"slices"

	"shoal/internal/bt/bencode"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/multihome"
)

// ExtHandshakeID is the extended id of the ext handshake.
const ExtHandshakeID = 0

// Bounds of an ext handshake. What is longer is cut or ignored, not an error,
// for clients put all sorts of things there.
const (
	MaxExtensions = 64                   // entries of m
	MaxExtName    = 64                   // bytes of an extension's name
	MaxClientName = 128                  // bytes of v
	MaxMetadata   = metainfo.MaxMetafile // bytes of an info dictionary
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

// Encode makes the body of an ext handshake, for AppendExtended with ExtHandshakeID.
func (h ExtHandshake) Encode() []byte {
	var e bencode.Encoder
	e.Dict()
	intField(&e, "complete_ago", h.CompleteAgo)
	addrField(&e, "ipv4", h.IPv4)
	addrField(&e, "ipv6", h.IPv6)
	e.Key("m")
	e.Dict()
	for _, name := range slices.Sorted(maps.Keys(h.M)) {
		e.Key(name)
		e.Int(int64(h.M[name]))
	}
	e.End()
	intField(&e, "metadata_size", h.MetadataSize)
	intField(&e, "p", int64(h.P))
	intField(&e, "reqq", int64(h.Reqq))
	if h.Shoal.Version > 0 {
		e.Key(ExtShoal)
		h.Shoal.encode(&e)
	}
	if h.UploadOnly {
		intField(&e, "upload_only", 1)
	}
	textField(&e, "v", h.V)
	addrField(&e, "yourip", h.YourIP)
	e.End()
	return finish(&e)
}

// ParseExtHandshake reads the body of an ext handshake. A field of a wrong type or
// beyond its bounds counts as not sent; only what is no dictionary is an error.
func ParseExtHandshake(body []byte) (ExtHandshake, error) {
	var h ExtHandshake
	root, err := parseDict(body, "ext handshake")
	if err != nil {
		return h, err
	}
	for key, v := range root.Dict() {
		h.field(string(key), v)
	}
	return h, nil
}

func (h *ExtHandshake) field(key string, v bencode.Value) {
	switch key {
	case "complete_ago":
		h.CompleteAgo = bounded(v, 1<<40)
	case "ipv4":
		h.IPv4 = addrOf(v, 4)
	case "ipv6":
		h.IPv6 = addrOf(v, 16)
	case "m":
		h.M = extensions(v)
	case "metadata_size":
		h.MetadataSize = bounded(v, MaxMetadata)
	case "p":
		h.P = uint16(bounded(v, 1<<16-1))
	case "reqq":
		h.Reqq = int(bounded(v, 1<<20))
	case ExtShoal:
		h.Shoal = parseShoalCaps(v)
	case "upload_only":
		n, _ := v.Int()
		h.UploadOnly = n > 0
	case "v":
		h.V = text(v, MaxClientName)
	case "yourip":
		h.YourIP = addrOf(v, 0)
	}
}

// extensions reads m: the first MaxExtensions entries that make sense.
func extensions(v bencode.Value) map[string]int {
	m := make(map[string]int, min(v.Len(), MaxExtensions))
	for name, idValue := range v.Dict() {
		id, ok := idValue.Int()
		if !ok || id < 0 || id > 255 || len(name) > MaxExtName {
			continue
		}
		if len(m) == MaxExtensions {
			break
		}
		m[string(name)] = int(id)
	}
	return m
}

func (c ShoalCaps) encode(e *bencode.Encoder) {
	e.Dict()
	textField(e, "dc", c.DC)
	intField(e, "maxreq", c.MaxRequest)
	textField(e, "net", c.Net)
	if len(c.Nets) > 0 {
		e.Key("nets")
		e.List()
		for _, a := range c.Nets {
			e.Bytes([]byte(a.Net))
			e.Bytes(multihome.Compact(a.At))
		}
		e.End()
	}
	if c.Reveal {
		intField(e, "reveal", 1)
	}
	if c.Self.IsValid() {
		e.Key("self")
		e.Bytes(multihome.Compact(c.Self))
	}
	if c.Source {
		intField(e, "source", 1)
	}
	intField(e, "v", int64(c.Version))
	e.End()
}

// parseShoalCaps reads the shoal key; the zero value without a version in it.
func parseShoalCaps(v bencode.Value) ShoalCaps {
	var c ShoalCaps
	for key, f := range v.Dict() {
		switch string(key) {
		case "dc":
			c.DC = text(f, MaxPlace)
		case "maxreq":
			c.MaxRequest = bounded(f, 1<<31-1)
		case "net":
			c.Net = text(f, MaxPlace)
		case "nets":
			c.Nets = parseNets(f)
		case "self":
			b, _ := f.Bytes()
			c.Self = multihome.Endpoint(b)
		case "reveal":
			n, _ := f.Int()
			c.Reveal = n > 0
		case "source":
			n, _ := f.Int()
			c.Source = n > 0
		case "v":
			c.Version = int(bounded(f, 1<<16))
		}
	}
	if c.Version < 1 {
		return ShoalCaps{}
	}
	return c
}

// parseNets reads names and compact endpoints in turn, those that make sense.
func parseNets(v bencode.Value) (out []multihome.Address) {
	var net string
	n := 0
	for item := range v.List() {
		b, _ := item.Bytes()
		if n++; n%2 == 1 {
			net = string(b[:min(len(b), multihome.MaxName+1)])
			continue
		}
		if at := multihome.Endpoint(b); at.IsValid() && multihome.IsName(net) {
			out = append(out, multihome.Address{Net: net, At: at})
		}
		if n == 2*multihome.MaxAddresses {
			break
		}
	}
	return out
}
