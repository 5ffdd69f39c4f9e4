package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"shoal/internal/atomicfile"
	"shoal/internal/node"
)

// serve serves a draft from where it lies, until stop, and says where.
func (src *source) serve(parent context.Context, f *pushFlags, d *draft, path string) (peers []string, err error) {
	o := node.SeedOptions{}
	if o.Options, err = f.options(src.s); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "shoal-push-*")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, d.upload.App+".torrent")
	own := *d.meta // the one that is registered names no tracker: those are the fleet's to say
	o.EveryTracker = true
	var keepUp func(context.Context)
	if own.Announce, err = trackers(parent, src.c); err == nil {
		keepUp, err = joinToServe(parent, src.c, filepath.Join(dir, "identity"), f.plain, &o.Options)
	}
	if err == nil {
		err = atomicfile.Write(file, own.Encode(), 0o600)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	o.Files = []string{file}
	o.Content = node.ContentOptions{Dir: filepath.Dir(path), As: filepath.Base(path), AllowOutsideLinks: f.outside, ResumeDir: src.s.ownStateDir()}
	serving := make(chan netip.AddrPort, 1)
	o.Report = func(e node.Event) {
		if e.Kind == node.Serving {
			select {
			case serving <- e.Addr:
			default:
			}
		}
	}
	ctx, cancel := context.WithCancel(parent)
	done := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		if err := node.NewSeed(o).Run(ctx); err != nil && ctx.Err() == nil {
			done <- err
		}
	})
	wg.Go(func() { keepUp(ctx) })
	src.failed = done
	src.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); os.RemoveAll(dir) })
	select {
	case at := <-serving:
		peers, err = addresses(f.advertise, at, src.c.Servers())
	case err = <-done:
		if err == nil {
			err = context.Cause(parent)
		}
	}
	if err != nil {
		src.stop()
	}
	return peers, err
}

// addresses are where servers reach what listens at an address: what the user
// says, else the address itself, else the one that this host has towards them.
func addresses(said []string, at netip.AddrPort, servers []*url.URL) ([]string, error) {
	for _, a := range said {
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
			return nil, usagef("--advertise HOST:PORT", "--advertise %q is no address", a)
		}
	}
	if len(said) > 0 {
		return said, nil
	}
	if !at.Addr().IsUnspecified() {
		return []string{at.String()}, nil
	}
	var out []string
	var errs []error
	for _, u := range servers {
		host, port := u.Hostname(), u.Port()
		if port == "" {
			port = "443"
		}
		// A socket that is connected and sends nothing knows its own address.
		c, err := net.Dial("udp", net.JoinHostPort(host, port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		own := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		a := net.JoinHostPort(own.String(), strconv.Itoa(int(at.Port())))
		if len(out) == 0 || out[len(out)-1] != a {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, coded{fmt.Errorf("it is not clear where servers reach this host: %w", errors.Join(errs...)), CodeNetwork, "--advertise HOST:PORT says it"}
	}
	return out, nil
}
