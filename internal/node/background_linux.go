package node

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The idle class of the I/O schedulers, and what ioprio_set means: one thread
// (linux/ioprio.h).
const (
	ioprioIdle       = 3 << 13
	ioprioWhoProcess = 1
)

// stepAside gives every thread of this process the idle scheduling policy and
// the idle I/O class: it gets what nobody else on the host wants. Threads that
// come later inherit both from the one that makes them.
func stepAside() error {
	done := map[string]bool{}
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], again = true, true // one that it made meanwhile may have missed it
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := stepBack(tid); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}

func stepBack(tid int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(tid, &attr, 0); err != nil {
		return fmt.Errorf("set the idle scheduling policy: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), ioprioIdle); errno != 0 {
		return fmt.Errorf("set the idle I/O class: %w", errno)
	}
	return nil
}

// stepForward gives a child the ordinary policy and I/O class again: what an
// operator runs at completion is not background work. Without the privilege to
// do so it stays idle.
func stepForward(pid int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if err := unix.SchedSetAttr(pid, &attr, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(pid), 0); errno != 0 {
		return errno
	}
	return nil
}
