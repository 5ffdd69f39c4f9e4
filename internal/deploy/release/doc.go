// Package release keeps the versions of apps on one host: it stages them,
// switches the live one atomically, goes back to the last good one without
// moving a byte, finds and mends rot, and removes what is no longer needed. It
// knows no network and no fleet; how bytes arrive and are verified is behind
// the interface Content.
//
// # On disk
//
//	ROOT/APP/current                          symbolic link to releases/VERSION
//	ROOT/APP/releases/VERSION/                a whole release, never written to in place
//	ROOT/APP/releases/.VERSION.staging/       one that is being fetched
//	ROOT/APP/releases/.VERSION.gone-XXXXXXXX/ one that is being removed
//	ROOT/APP/.shoal/state.json                states and order; see record
//	ROOT/APP/.shoal/lock                      held while the state is changed
//	ROOT/APP/.shoal/versions/VERSION/         its metafile, resume record, repairs
//
// # What counts
//
// A release is there if and only if its folder has its own name: that name is
// given by one rename, after everything below it was synced. The link tells
// which release is current. state.json adds what neither can say, is replaced as
// a whole, and is brought in line with both whenever it is read, so that a
// process which is killed anywhere leaves a state that the next one understands
// (settle).
//
// # Locks
//
// flock(2), which the kernel gives back when a process ends. ROOT/APP/.shoal/lock
// is held for each change of state and never over a transfer, so that a rollback
// need not wait for a fetch. A release's own folder is locked for as long as
// somebody fills, checks or removes it.
package release
