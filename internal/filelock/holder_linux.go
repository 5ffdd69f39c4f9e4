package filelock

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// holderOf names the process that holds the lock on f, as far as the kernel
// tells (proc(5), /proc/locks): "process 123 (shoal release stage ...)".
func holderOf(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	locks, err := os.Open("/proc/locks")
	if !ok || err != nil {
		return ""
	}
	defer locks.Close()
	suffix := fmt.Sprintf(":%d", sys.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// "1: FLOCK  ADVISORY  WRITE 25055 fe:00:131074 0 EOF"
		w := strings.Fields(lines.Text())
		if len(w) < 6 || w[1] != "FLOCK" || !strings.HasSuffix(w[5], suffix) || w[4] == "0" || w[4] == "-1" {
			continue
		}
		what, err := os.ReadFile("/proc/" + w[4] + "/cmdline")
		if err != nil {
			return "process " + w[4]
		}
		what = bytes.ReplaceAll(bytes.TrimRight(what, "\x00"), []byte{0}, []byte(" "))
		return fmt.Sprintf("process %s (%.120q)", w[4], what)
	}
	return ""
}
