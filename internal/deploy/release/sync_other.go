//go:build !linux

package release

import (
	"io/fs"
	"os"
)

// syncTree makes all that lies below dir durable, the deepest first.
func syncTree(root *os.Root, dir string) error {
	var folders []string
	err := fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			folders = append(folders, name)
			return nil
		case d.Type().IsRegular():
			return syncFile(root, name)
		}
		return nil
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = syncFile(root, folders[i])
	}
	return err
}

func syncFile(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
