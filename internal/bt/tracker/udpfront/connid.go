package udpfront

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// slotTime is the step by which connection ids age. One is good in the slot of its making and the two after it:
// for 2 to 3 minutes. BEP 15 lets a client use it for one and asks the tracker to take it for two.
const slotTime = time.Minute

// connIDs makes and checks connection ids without remembering any: an id is a keyed hash of the client's
// address and the time slot, so that only who can receive at an address can ask in its name. The hash is the
// CBC-MAC of AES over two blocks, which is a pseudo-random function for inputs of one length, cut to 64 bits.
// Not for concurrent use.
type connIDs struct {
	block cipher.Block
	buf   [aes.BlockSize]byte
}

// newKey makes the key that all sockets of a tracker share. It dies with the process: clients connect anew.
func newKey() ([]byte, error) {
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("udpfront: key of the connection ids: %w", err)
	}
	return key, nil
}

func newConnIDs(key []byte) (*connIDs, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("udpfront: key of the connection ids: %w", err)
	}
	return &connIDs{block: block}, nil
}

func (c *connIDs) at(a netip.Addr, slot uint64) uint64 {
	c.buf = a.As16()
	c.block.Encrypt(c.buf[:], c.buf[:])
	binary.BigEndian.PutUint64(c.buf[:], binary.BigEndian.Uint64(c.buf[:])^slot)
	c.block.Encrypt(c.buf[:], c.buf[:])
	return binary.BigEndian.Uint64(c.buf[:])
}

func slotOf(now time.Time) uint64 { return uint64(now.Unix()) / uint64(slotTime/time.Second) }

// make gives the id for an address.
func (c *connIDs) make(a netip.Addr, now time.Time) uint64 { return c.at(a, slotOf(now)) }

// valid tells whether an id was made for the address not long ago.
func (c *connIDs) valid(id uint64, a netip.Addr, now time.Time) bool {
	slot := slotOf(now)
	return id == c.at(a, slot) || id == c.at(a, slot-1) || id == c.at(a, slot-2)
}
