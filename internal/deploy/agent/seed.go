package agent

import (
	"maps"
	"slices"

	"shoal/internal/deploy/release"
)

// seed serves all that is whole and stays, as soon as it is.
func (l *loop) seed() {
	want, changed := map[string]Held{}, false
	for _, a := range l.apps {
		for _, r := range a.listing.Releases {
			if r.State == release.Staging || a.sweeping && slices.Contains(a.leaving, r.Version) {
				continue
			}
			name := a.name + "@" + r.Version
			held, ok := l.seeding[name]
			if !ok {
				held, changed = l.held(a, r.Version), true
			}
			want[name] = held
		}
	}
	if !changed && len(want) == len(l.seeding) {
		return
	}
	l.seeding = want
	var list []Held
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if want[name].Meta != nil {
			list = append(list, want[name])
		}
	}
	l.fetcher.Seed(list)
}

// held is what is needed to serve a release; without Meta it cannot be.
func (l *loop) held(a *app, version string) Held {
	at, meta, err := a.store.Held(version)
	if err != nil {
		l.o.Log.Error("not served", "app", a.name, "version", version, "err", err)
		return Held{}
	}
	a.rec.Releases[version].introduce(meta)
	return Held{App: a.name, Version: version, At: at, Meta: meta}
}
