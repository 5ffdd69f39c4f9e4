package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// sockets are what a tracker listens with: one port, for TCP and UDP, on one or more addresses.
type sockets struct {
	addr netip.AddrPort
	tcp  []net.Listener
	udp  []*net.UDPConn
}

func (s *sockets) close() {
	for _, l := range s.tcp {
		_ = l.Close() // it may be closed already, and nothing is lost with it
	}
	for _, c := range s.udp {
		_ = c.Close()
	}
}

// bindTries is how many ports are tried when any will do: one that is free for TCP may not be for UDP.
const bindTries = 50

// bind opens the sockets of "host:port". Without a host it listens on all addresses of both families.
func bind(ctx context.Context, listen string, log *slog.Logger) (*sockets, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: write it as host:port, or :port for all addresses", listen)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: the port is not a number from 0 to 65535", listen)
	}
	addrs, err := resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		s, err := bindAll(ctx, addrs, uint16(port), host == "", log)
		if err == nil {
			return s, nil
		}
		if port != 0 || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// resolve gives the addresses behind a host name; both wildcards for none.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %q: %w", host, err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// bindAll opens the sockets of all addresses at one port. With optional6 a host without IPv6 is no error.
func bindAll(ctx context.Context, addrs []netip.Addr, port uint16, optional6 bool, log *slog.Logger) (*sockets, error) {
	s := &sockets{}
	for _, a := range addrs {
		at := netip.AddrPortFrom(a, port)
		err := s.bind(ctx, at)
		if err != nil && a.Is6() && optional6 && len(s.tcp) > 0 && lacks(err) {
			log.Info("no IPv6 here, so the tracker serves IPv4 only", "err", err)
			continue
		}
		if err != nil {
			s.close()
			return nil, fmt.Errorf("cannot listen at %s: %w", at, err)
		}
		port = s.addr.Port() // the same for all, once one is found
	}
	return s, nil
}

func lacks(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

// bind opens the sockets of one address: one for TCP, and for UDP as many as cores can share the load of. TCP
// comes first: two processes may share a UDP port by SO_REUSEPORT unnoticed, but not a TCP port.
func (s *sockets) bind(ctx context.Context, at netip.AddrPort) error {
	family := "4"
	if at.Addr().Is6() {
		family = "6"
	}
	// Connections are short and end after seconds of silence: probes of the system, which take four calls a
	// connection to set up, would find nothing, and there is nothing to spread over several paths.
	tcp := net.ListenConfig{KeepAlive: -1}
	tcp.SetMultipathTCP(false)
	l, err := tcp.Listen(ctx, "tcp"+family, at.String())
	if err != nil {
		return err
	}
	s.tcp = append(s.tcp, l)
	at = netip.AddrPortFrom(at.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port())
	udp := net.ListenConfig{Control: sharePort}
	for range udpSockets() {
		c, err := udp.ListenPacket(ctx, "udp"+family, at.String())
		if err != nil {
			return err
		}
		s.udp = append(s.udp, c.(*net.UDPConn))
	}
	if !s.addr.IsValid() {
		s.addr = at
	}
	return nil
}
