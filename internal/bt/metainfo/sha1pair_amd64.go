package metainfo

// twoSHA1 goes on with two SHA-1 hashes at once, by n >= 1 blocks of 64 bytes
// each at a and b, in this order of the words of each state: D C B A, 0 0 0 E.
// It needs the SHA extensions and SSE 4.1, which come before them.
//
//go:noescape
func twoSHA1(state *[16]uint32, a, b *byte, n int)

// SHA1Pairs tells whether a SHA1Pair is faster than two hashes one after the
// other.
func SHA1Pairs() bool { return pairs }
