//go:build !linux

package peerconn

import (
	"context"
	"errors"
	"net"
	"os"
)

const haveSendfile = false

func tune(c *net.TCPConn) { _ = c.SetNoDelay(true) }

func rcvLowat(*net.TCPConn, int) error { return errors.ErrUnsupported }

// RTT is not known on this system.
func (c *Conn) RTT() (micros uint32) { return 0 }

func (c *Conn) sendMore([]byte) error { return errors.ErrUnsupported }

func (c *Conn) sendFile(context.Context, *os.File, int64, int64) error { return errors.ErrUnsupported }
