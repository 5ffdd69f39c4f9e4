package agent

import (
	"bytes"
	"errors"
	"fmt"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/release"
)

// Verifier tells whether a signature over a release's shoal.Statement is one that
// this host asks for, as trust.Keys does; the error says what is wrong with it.
type Verifier interface {
	Verify(message, signature []byte) error
}

// admit judges what the control plane says of a release, before its first byte
// comes in: is it what was ordered, did somebody sign for it whom this host
// believes, is it not older than what ran here. A control plane that was taken
// over gets no further than this.
func admit(b shoal.Bundle, app, version string, c *Config, v Verifier, floor uint64) (*metainfo.Metafile, origin, error) {
	if b.App != app || b.Version != version {
		return nil, origin{}, fmt.Errorf("the server sent %.80q@%.80q instead of %s@%s", b.App, b.Version, app, version)
	}
	if !c.allows(app) {
		return nil, origin{}, fmt.Errorf("this host's configuration does not list the app %s", app)
	}
	if len(b.Metafile) > shoal.MaxMetafile || len(b.Signature) > shoal.MaxSignature {
		return nil, origin{}, errors.New("its metafile or signature is bigger than is allowed")
	}
	meta, err := metainfo.Options{}.Parse(b.Metafile)
	if err != nil {
		return nil, origin{}, fmt.Errorf("the metafile that the server sent is unusable: %w", err)
	}
	id := release.ID(meta.Info)
	if v != nil {
		if len(bytes.TrimSpace(b.Signature)) == 0 {
			return nil, origin{}, errors.New("it is not signed, and this host asks for a signature")
		}
		if err := v.Verify(shoal.Statement(app, version, id, b.Serial), b.Signature); err != nil {
			return nil, origin{}, fmt.Errorf("its signature does not hold: %w", err)
		}
	}
	if b.Serial < floor && !c.AllowDowngrade {
		return nil, origin{}, fmt.Errorf("its serial %d is below %d, which has run here: an older release is not fetched again", b.Serial, floor)
	}
	o := origin{ID: id, Serial: b.Serial, Trackers: b.Trackers}
	o.introduce(meta)
	return meta, o, nil
}

// introduce puts the fleet's own trackers in place of those that the metafile
// names: who introduces peers, and what else is asked for bytes, is no part of
// what was signed.
func (o origin) introduce(meta *metainfo.Metafile) {
	meta.WebSeeds = nil
	if len(o.Trackers) == 0 {
		return
	}
	meta.Announce = nil
	for _, t := range o.Trackers {
		meta.Announce = append(meta.Announce, []string{t})
	}
}
