//go:build !unix

package build

import "os"

const openFlags = os.O_RDONLY

func inodeOf(os.FileInfo) uint64 { return 0 }
