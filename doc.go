// Package shoal holds the nouns of the product: words that every part of the
// house shares and that mean the same everywhere. A release is one immutable
// tree of files, a metafile describes it, hosts receive it from each other.
//
// A rollout brings a release to the hosts of a selector, in waves; orders tell
// hosts what is wanted of them, reports tell what they are.
//
// The nouns arrive here with the first part that needs to share them. The
// package never does I/O and imports nothing of the house but topology, so
// that every other package may import it.
//
// To read the source, start at cmd/shoal, follow one verb of
// internal/front/cli into internal/node, and see docs/architecture.md for the
// picture.
package shoal
