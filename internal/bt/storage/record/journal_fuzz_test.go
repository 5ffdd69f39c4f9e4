package record

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// FuzzJournal repairs all checksums of its input, so that the fuzzer reaches
// what lies behind them.
func FuzzJournal(f *testing.F) {
	f.Add([]byte{byte(Have), 0, 0, 0, 1, 0, 0, 0, 2})
	f.Add([]byte{byte(Wrote), 4, 0, 0, 0, 1, 0, 0, 0, byte(Durable), 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		raw := encode(sample(len(b)%2 == 1))
		for n := uint64(0); len(b) >= 9; n++ {
			e := Entry{Kind(b[0]), binary.LittleEndian.Uint32(b[1:]), binary.LittleEndian.Uint32(b[5:])}
			raw, b = AppendEntry(raw, e, n, salt), b[9:]
		}
		st, torn, err := shape.Parse(raw)
		if err != nil || torn {
			t.Fatalf("a sound journal: %v, torn %v", err, torn)
		}
		for p := st.Durable.Next(0); p >= 0; p = st.Durable.Next(p + 1) {
			if !st.Have.Has(p) {
				t.Fatalf("piece %d is durable and not there", p)
			}
		}
		// The header's own numbers must not be trusted beyond the shape either.
		for at := 64; at < headSize-8 && len(b) > 0; at++ {
			raw[at] ^= b[0]
		}
		size := shape.SnapshotSize(st.Closed)
		binary.LittleEndian.PutUint32(raw[size-crcSize:], crc32.Checksum(raw[:size-crcSize], castagnoli))
		_, _, _ = shape.Parse(raw)
	})
}
