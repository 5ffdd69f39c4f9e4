package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal"
)

// Vault keeps a few small secrets for all servers of a fleet.
type Vault interface {
	// Secret is what is kept under a name; shoal.ErrNotFound when nothing is.
	Secret(ctx context.Context, name string) ([]byte, error)
	// CreateSecret keeps a value unless there is one. What it returns is kept
	// then, so that of two servers which start at once both use the same.
	CreateSecret(ctx context.Context, name string, value []byte) ([]byte, error)
}

// Folder is a Vault for one server: a file of mode 0600 for each secret.
type Folder string

// Secret reads a file of the folder.
func (f Folder) Secret(_ context.Context, name string) ([]byte, error) {
	value, err := os.ReadFile(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("secret %s: %w", name, shoal.ErrNotFound)
	}
	return value, err
}

// CreateSecret writes a file that is not there. The file gets its name when it
// is whole: link(2) fails where rename(2) would replace.
func (f Folder) CreateSecret(ctx context.Context, name string, value []byte) ([]byte, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, err
	}
	draft, err := os.CreateTemp(string(f), "."+name+"-*") // of mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(value)
	if err = errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	err = os.Link(draft.Name(), filepath.Join(string(f), name))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return f.Secret(ctx, name)
}
