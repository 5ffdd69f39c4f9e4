package wire

import "encoding/binary"

// ExtDontHave is the name of the BEP 54 extension: a piece once announced is gone.
const ExtDontHave = "lt_donthave"

// AppendDontHave appends the body of a dont-have message (for AppendExtended).
func AppendDontHave(dst []byte, index uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, index)
}

// ParseDontHave reads the body of a dont-have message.
func ParseDontHave(body []byte) (uint32, error) {
	if len(body) != 4 {
		return 0, malformed(ExtDontHave, "%d bytes, want 4", len(body))
	}
	return binary.BigEndian.Uint32(body), nil
}
