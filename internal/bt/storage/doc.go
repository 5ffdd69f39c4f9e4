// Package storage maps pieces to files below one folder and back: positioned
// reads and writes, preallocation, checks of what is there, a resume record
// that survives kill -9 and power loss, and what the page cache may keep.
//
// It knows no peers and opens no sockets. It never maps files into memory,
// never follows a symbolic link (not even one that stays inside of the folder),
// never touches anything outside of the folder, and never syncs file by file
// while data flows.
//
// # What is already there
//
// Without Options.Overwrite nothing that somebody else left is lost. An entry
// that stands where the torrent has a file is
//
//   - kept, if all of it verifies;
//   - completed in place, if it is ours (the resume record says that we made it
//     or took it over), or if it has the right size and at least one of its
//     pieces verifies (another client's unfinished work), or if there is nothing
//     in it to lose (no bytes, or nothing but a hole);
//   - a conflict otherwise: another type, a size that is not the torrent's, the
//     right size without a single good piece, or a further name (hard link)
//     whose content would change with it.
//
// Conflicts are found before the first byte is written, by Preflight what the
// names alone tell and by Check what needs hashing, and are listed by name in a
// ConflictError. With Options.Overwrite a regular file is completed in place
// and cut to its length, a file with several names or an entry of another type
// is removed and made anew; but a folder is never removed.
//
// # Selection
//
// Options.Select leaves files out. They are not created. A piece that a chosen
// and an unchosen file share is fetched whole all the same, because only a
// whole piece can be verified and served; the bytes of unchosen files go to a
// sparse file beside the content, ".NAME.HASH.parts", each at its offset in
// piece space.
//
// # Modes
//
// Files are made with their final permissions plus write permission for the
// owner; Finish sets exact modes, set-user-ID, set-group-ID and sticky bits
// included, so that the tree which arrives is the tree that left. The owner is
// whoever runs shoal.
package storage
