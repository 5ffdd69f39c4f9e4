package node

import (
	"net/netip"
	"sync"
)

// Bounds of connections that have not shown a handshake yet. A whole rack
// behind one address must get in at once; one hostile address must not shut
// the others out.
const (
	maxPending     = 512
	maxPendingHost = 64
)

// admission counts incoming connections whose handshake is still outstanding.
type admission struct {
	mu      sync.Mutex
	total   int
	perHost map[netip.Addr]int
}

func newAdmission() *admission { return &admission{perHost: map[netip.Addr]int{}} }

// enter takes a place for a connection from host, or reports that there is none.
func (a *admission) enter(host netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= maxPending || a.perHost[host] >= maxPendingHost {
		return false
	}
	a.total++
	a.perHost[host]++
	return true
}

// leave gives the place back.
func (a *admission) leave(host netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if a.perHost[host]--; a.perHost[host] <= 0 {
		delete(a.perHost, host)
	}
}
