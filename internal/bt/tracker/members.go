package tracker

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"time"

	"shoal/internal/bt/announce"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/tracker/httpfront"
)

// Members make a tracker private to a fleet: it is mounted on a TLS server
// (Handler), answers only hosts of the fleet and only about the fleet's swarms,
// and knows every peer by the name of its host. Host and Swarm are required; all
// may be called from several goroutines.
type Members struct {
	// Host is who is at the other end of a connection, or why that is no member. The server need not have checked
	// the certificate.
	Host func(*tls.ConnectionState) (string, error)
	// Swarm is the name of what a swarm shares, false if it is none of the fleet's.
	Swarm func(metainfo.InfoHash) (name string, ok bool)
	// Seen is told of every announce that was answered: which host is where, and how far. May be nil; r is only
	// good until it returns.
	Seen func(host string, at netip.AddrPort, r *announce.Request)
}

// Handler answers announces and scrapes of members, at paths that end in
// /announce and /scrape. Others get status 403 and the reason, as a refusal of
// the protocol (BEP 3).
func (t *Tracker) Handler() http.Handler {
	return httpfront.Mounted(func(r *http.Request) (httpfront.Logic, *announce.Failure) {
		if t.o.Members == nil || r.TLS == nil {
			return nil, refuseOpen
		}
		host, err := t.o.Members.Host(r.TLS)
		if err != nil {
			t.o.Log.Debug("no member asks the tracker", "from", r.RemoteAddr, "err", err)
			t.metrics.refused[protoHTTP][refusedStranger].Inc()
			return nil, &announce.Failure{Reason: "only for members of the fleet: " + err.Error()}
		}
		return memberDoor{door{t, protoHTTP}, host}, nil
	})
}

// refuseOpen is told who could be anybody.
var refuseOpen = &announce.Failure{Reason: "only for members of the fleet, by HTTPS with their certificate"}

// memberDoor is the logic as one member sees it.
type memberDoor struct {
	door
	host string
}

// Announce implements httpfront.Logic.
func (d memberDoor) Announce(now time.Time, from netip.Addr, r *announce.Request, out *announce.Response) *announce.Failure {
	f := d.door.Announce(now, from, r, out)
	if f == nil && d.o.Members.Seen != nil {
		d.o.Members.Seen(d.host, d.ends(from, r)[0], r)
	}
	return f
}
