//go:build !amd64

package metainfo

// SHA1Pairs tells whether a SHA1Pair is faster than two hashes one after the
// other.
func SHA1Pairs() bool { return false }

// twoSHA1 is never called: a SHA1Pair does without.
func twoSHA1(*[16]uint32, *byte, *byte, int) {}
