// Package killpoint kills a process right before a chosen one of the system
// calls with which it changes a folder on disk. A test can so end a real process
// with SIGKILL at each of its steps, on a real disk and without a hook in the
// code under test, and look at what it left behind.
//
// The process runs under a seccomp filter (seccomp(2), seccomp_unotify(2)) that
// asks the test before every such call: any program can be run, also one that
// starts threads and other processes. It needs Linux 5.5.
//
// Only tests use it.
package killpoint
