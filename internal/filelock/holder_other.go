//go:build unix && !linux

package filelock

import "os"

func holderOf(*os.File) string { return "" }
