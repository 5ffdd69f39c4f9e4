package release

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// thisMoment reads the clock that also runs while the host sleeps.
func thisMoment() Moment {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return Moment{} // no kernel that we run on lacks it; nothing ages then
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // without /proc all boots look like one, and ages are too short
	}
	return Moment{strings.TrimSpace(string(boot)), ts.Nano()}
}
