package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/agent"
	"shoal/internal/deploy/release"
	"shoal/internal/trust"
)

// belonging is a host's place in its fleet, for a command that runs beside the
// host's agent: by it the host's own releases can be fetched.
type belonging struct {
	secured  Options
	trackers map[string][]string // by release.ID
}

// Belong lets what came by the fleet be fetched from the fleet, whose swarms are
// closed to everybody else: with the certificate that the host's agent has got, and
// from the trackers that it was told. On a host without an agent it does nothing.
// plain tells that content travels in the clear there.
func (r *Releases) Belong(plain bool) error {
	dir := filepath.Join(r.Root, identityDir)
	trackers, err := agent.Origins(r.Root)
	if err != nil || len(trackers) == 0 {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // it was moved away, to join anew
	}
	w, err := trust.OpenWallet(dir)
	if err != nil {
		return fmt.Errorf("the identity that this host's agent has in its fleet: %w", err)
	}
	if w.Identity().Name == "" {
		return nil
	}
	b := &belonging{secured: r.Options, trackers: trackers}
	if plain {
		b.secured.TrackWith(w.Certificate, w.Authorities)
	} else {
		forgotten, err := trust.OpenForgotten(filepath.Join(r.Root, forgottenFile))
		if err != nil {
			return err
		}
		if _, err := b.secured.JoinFleet(w.Certificate, w.Authorities, forgotten.Check); err != nil {
			return err
		}
	}
	r.belongs = b
	return nil
}

// optionsFor are those by which a release can be fetched, and its trackers.
func (r *Releases) optionsFor(meta *metainfo.Metafile) (Options, [][]string) {
	if r.belongs == nil || r.Secure != nil {
		return r.Options, meta.Announce
	}
	trackers, ok := r.belongs.trackers[release.ID(meta.Info)]
	if !ok {
		return r.Options, meta.Announce
	}
	var tiers [][]string
	for _, t := range trackers {
		tiers = append(tiers, []string{t})
	}
	return r.belongs.secured, tiers
}
