package peertls

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
)

// Conn is a connection to a member. NetConn is the one below it.
type Conn struct {
	*tls.Conn
	guard    *Guard
	outgoing bool
	name     string
	leaf     *x509.Certificate
	heard    atomic.Bool // the member has said something, so it takes us
	old      bool        // of an incoming one: what its greeting lacks
	stranger bool
}

// Name is the name of the host at the other end, as its certificate has it.
func (c *Conn) Name() string { return c.name }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if err != nil && !c.heard.Load() && isAlert(err) {
		err = c.guard.refuse(classify(c, err))
	}
	return n, err
}

// Close implements net.Conn. It says no farewell (close_notify), which could
// block: what comes over a connection of peers is framed and hashed, so nothing
// can be cut off unseen.
func (c *Conn) Close() error {
	c.guard.mu.Lock()
	delete(c.guard.conns, c)
	c.guard.mu.Unlock()
	return c.NetConn().Close()
}
