package trust

import "context"

// Vault keeps a few small secrets for all servers of a fleet.
type Vault interface {
	// Secret is what is kept under a name, and its revision; shoal.ErrNotFound
	// when nothing is.
	Secret(ctx context.Context, name string) (value []byte, rev uint64, err error)
	// KeepSecret puts a value in the place of a revision, 0 for nothing;
	// shoal.ErrConflict when somebody else was first.
	KeepSecret(ctx context.Context, name string, value []byte, rev uint64) error
}
