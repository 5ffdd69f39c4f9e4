//go:build !linux

package peerconn

import (
	"errors"
	"net"
	"os"
)

// socket is not used on this system.
type socket struct{}

func newSocket(*net.TCPConn) *socket { return nil }

// RTT is not known on this system.
func (c *Conn) RTT() (micros uint32) { return 0 }

func (s *socket) queued() int                           { return 0 }
func (s *socket) tryRead([]byte) (int, error)           { return 0, errors.ErrUnsupported }
func (s *socket) setReadLow(int) error                  { return errors.ErrUnsupported }
func (s *socket) sendMore([]byte) error                 { return errors.ErrUnsupported }
func (s *socket) sendTrain([]byte) error                { return errors.ErrUnsupported }
func (s *socket) sendFile(*os.File, int64, int64) error { return errors.ErrUnsupported }
func (s *socket) setWriteLow(int) error                 { return errors.ErrUnsupported }
func (s *socket) setPace(int64) error                   { return errors.ErrUnsupported }
