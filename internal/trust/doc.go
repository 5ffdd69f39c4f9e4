// Package trust is who is who in a fleet: the certificates of hosts and servers
// and the authority that issues them, tokens of people, roles, and signatures
// over releases. It decides and calculates; what has to be kept it hands to
// small interfaces. It never listens or dials.
//
// # Certificates
//
// One authority signs for a fleet. Who a certificate speaks for is a URI among
// its names, shoal:host:NAME, shoal:server:NAME or shoal:pusher:NAME, and is
// never read off anything else: a host chooses its name when it joins, so a
// name in DNS would let it pass for a server. The first half of a serial number
// is when the certificate was issued, so that those of a host from before a
// moment can be refused without a list of them.
//
// # Tokens
//
// A token is 32 random bytes. Its first characters of hash are its id, by which
// it is found; the whole hash is compared in constant time.
//
// # Signatures
//
// A release is signed by a key that no server has, over shoal.Statement, in the
// format of minisign: its tools make and check the same keys and signatures.
package trust
