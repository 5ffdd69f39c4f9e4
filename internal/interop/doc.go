// Package interop holds no code of the product: only tests that run the real shoal binary against real stock
// BitTorrent clients and trackers, over real sockets, in Linux network namespaces that nothing outside can reach.
//
// It never imports a package of shoal. What shoal says about itself is checked by what the other side says: content
// is compared by bytes, info-hashes are computed from the raw metafile or read by libtorrent and transmission-show.
//
// A client that is not installed skips its cases and says so; with SHOAL_REQUIRE_INTEROP=1, as in CI, it fails them.
package interop
