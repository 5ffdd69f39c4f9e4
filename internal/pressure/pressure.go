// Package pressure reads what the kernel says about how busy a host is (pressure
// stall information, and its counts of CPU time), and decides how much a transfer
// may take of such a host. Files and clocks are its caller's.
package pressure

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrMalformed is wrapped by the error for text that is not in the kernel's form.
var ErrMalformed = errors.New("not in the kernel's form")

// Stall is how long tasks have been waiting for a resource since the host came
// up: some of them, or all that are not idle.
type Stall struct {
	Some, Full time.Duration
}

// ParseStall reads a file of /proc/pressure (Linux, Documentation/accounting/psi):
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=4540301
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=4053730
//
// The line of full may be missing, as for cpu before Linux 5.13.
func ParseStall(text []byte) (Stall, error) {
	var s Stall
	found := false
	for line := range bytes.Lines(text) {
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		var to *time.Duration
		switch string(kind) {
		case "some":
			to, found = &s.Some, true
		case "full":
			to = &s.Full
		default:
			continue // of a later kernel
		}
		_, total, ok := bytes.Cut(rest, []byte("total="))
		micros, err := strconv.ParseUint(string(total), 10, 53)
		if !ok || err != nil {
			return Stall{}, fmt.Errorf("%w: pressure line %.80q", ErrMalformed, line)
		}
		*to = time.Duration(micros) * time.Microsecond
	}
	if !found {
		return Stall{}, fmt.Errorf("%w: pressure without a line of some", ErrMalformed)
	}
	return s, nil
}

// CPU is how much CPU time the host has spent since it came up, in ticks: in all,
// and on ordinary work: not idle, not for tasks that stepped back (nice), not in
// interrupts, which our own packets cause.
type CPU struct {
	All, Work uint64
}

// ParseCPU reads the first line of /proc/stat (proc_stat(5)):
//
//	cpu  user nice system idle iowait irq softirq steal guest guest_nice
func ParseCPU(text []byte) (CPU, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 5 || string(f[0]) != "cpu" {
		return CPU{}, fmt.Errorf("%w: cpu line %.80q", ErrMalformed, line)
	}
	var c CPU
	for i, text := range f[1:min(len(f), 9)] { // guest time is part of user time
		n, err := strconv.ParseUint(string(text), 10, 53)
		if err != nil {
			return CPU{}, fmt.Errorf("%w: cpu line %.80q", ErrMalformed, line)
		}
		c.All += n
		if i == 0 || i == 2 {
			c.Work += n
		}
	}
	return c, nil
}
