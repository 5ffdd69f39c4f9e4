package main

import (
	"fmt"
	"net/netip"
	"os"
)

// permit refuses a target that could be somebody's: loopback is our own, and a private address is as good only
// from inside of a namespace of the network that is not the host's own.
func permit(a netip.Addr, force bool, inNamespace func() bool) error {
	a = a.Unmap()
	switch {
	case force, a.IsLoopback(), a.IsPrivate() && inNamespace():
		return nil
	case a.IsPrivate():
		return fmt.Errorf("%s is not loopback and this is the host's own network: run it inside a test namespace (ip netns exec), or with -force if the tracker there is yours", a)
	}
	return fmt.Errorf("%s is neither loopback nor private: use -force only if the tracker there is yours and nobody needs it", a)
}

// ownNamespace tells whether the network seen here is another one than that of the first process. When that cannot
// be known it is taken for the same.
func ownNamespace() bool {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false
	}
	host, err := os.Readlink("/proc/1/ns/net")
	return err == nil && here != host
}
