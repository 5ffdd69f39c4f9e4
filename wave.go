package shoal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal/internal/topology"
)

// Bounds on waves.
const (
	MaxWaves     = 64
	MaxWavesText = 8192
)

// Wave is one step of a rollout: how far the switch goes, and what has to hold
// before it goes further. Exactly one of Size, Datacenters and EachDatacenter
// says which hosts.
type Wave struct {
	Name string `json:"name,omitempty"`
	// Size is how many hosts run the release when the wave is over, those of
	// earlier waves included; a share is of all hosts of the rollout.
	Size           Amount   `json:"size,omitzero"`
	Datacenters    []string `json:"datacenters,omitempty"`     // all hosts of these
	EachDatacenter bool     `json:"each_datacenter,omitempty"` // stands for one wave a data centre, in the order of their names

	Soak      time.Duration `json:"soak,omitempty"`      // how long all must be well before the next wave
	MaxFailed Amount        `json:"max_failed,omitzero"` // of the wave's hosts; one more is a breach
	Parallel  Amount        `json:"parallel,omitzero"`   // of the wave's hosts may switch at the same time; unset means all
	Approve   bool          `json:"approve,omitempty"`   // somebody has to approve before the wave begins
}

// Waves are the steps of a rollout, in their order. As text, in which they are
// also stored, they look like
//
//	canary=2 soak=10m approve, 10%, @fra+nyc parallel=20%, each-dc soak=5m max-failed=1%
//
// A wave is a count or a percentage (cumulative), @ and data centres, or
// each-dc; a name and = may stand before it. Its options follow it.
type Waves []Wave

// ParseWaves reads waves. Options that a wave does not name are those of usual.
// The last wave has to reach every host: 100%, or each-dc.
func ParseWaves(s string, usual Wave) (Waves, error) {
	if len(s) > MaxWavesText {
		return nil, fmt.Errorf("waves: %d bytes, more than %d", len(s), MaxWavesText)
	}
	parts := strings.Split(s, ",")
	if len(parts) > MaxWaves {
		return nil, fmt.Errorf("waves: %d of them, more than %d", len(parts), MaxWaves)
	}
	var ws Waves
	for i, part := range parts {
		w, err := parseWave(part, usual)
		if err != nil {
			return nil, fmt.Errorf("wave %d, %.80q: %w", i+1, strings.TrimSpace(part), err)
		}
		ws = append(ws, w)
	}
	return ws, ws.Check()
}

func parseWave(s string, usual Wave) (Wave, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return Wave{}, errors.New("it is empty")
	}
	w := Wave{Soak: usual.Soak, MaxFailed: usual.MaxFailed, Parallel: usual.Parallel, Approve: usual.Approve}
	what := words[0]
	if name, rest, ok := strings.Cut(what, "="); ok {
		if err := checkName("name of a wave", name, topology.MaxName, "._-"); err != nil {
			return Wave{}, err
		}
		w.Name, what = name, rest
	}
	var err error
	if dcs, ok := strings.CutPrefix(what, "@"); ok {
		w.Datacenters = strings.Split(dcs, "+")
	} else if what == "each-dc" {
		w.EachDatacenter = true
	} else if w.Size, err = ParseAmount(what); err != nil {
		return Wave{}, fmt.Errorf("%q is no count such as 2, no percentage such as 10%%, no @datacenter and not each-dc", what)
	}
	seen := map[string]bool{}
	for _, option := range words[1:] {
		key, value, _ := strings.Cut(option, "=")
		if seen[key] {
			return Wave{}, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		if err := w.set(option, key, value); err != nil {
			return Wave{}, err
		}
	}
	return w, nil
}

func (w *Wave) set(option, key, value string) (err error) {
	switch {
	case option == "approve":
		w.Approve = true
	case key == "soak":
		if w.Soak, err = time.ParseDuration(value); err != nil {
			return fmt.Errorf("soak=%q: write a duration such as 90s, 10m or 2h", value)
		}
	case key == "max-failed":
		w.MaxFailed, err = ParseAmount(value)
	case key == "parallel":
		w.Parallel, err = ParseAmount(value)
	default:
		return fmt.Errorf("%q: the options of a wave are soak=10m, max-failed=1%%, parallel=20%% and approve", option)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// Check tells what is wrong with the waves; nil when nothing is.
func (ws Waves) Check() error {
	if len(ws) == 0 || len(ws) > MaxWaves {
		return fmt.Errorf("waves: there are %d, and there have to be 1 to %d", len(ws), MaxWaves)
	}
	names := map[string]bool{}
	var last Amount // of the counts and shares so far
	for i, w := range ws {
		if err := w.check(); err != nil {
			return fmt.Errorf("wave %d: %w", i+1, err)
		}
		if w.Name != "" && names[w.Name] {
			return fmt.Errorf("waves: two are called %q", w.Name)
		}
		names[w.Name] = true
		if w.Size.IsZero() {
			continue
		}
		if last.kind == w.Size.kind && w.Size.n <= last.n {
			return fmt.Errorf("wave %d: %s after %s: sizes are of all hosts switched so far, so they have to rise", i+1, w.Size, last)
		}
		last = w.Size
	}
	if end := ws[len(ws)-1]; !end.EachDatacenter && end.Size != Percent(100) {
		return errors.New("waves: the last one has to reach every host; end with 100% or each-dc")
	}
	return nil
}

func (w Wave) check() error {
	kinds := 0
	for _, is := range []bool{!w.Size.IsZero(), len(w.Datacenters) > 0, w.EachDatacenter} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("it needs exactly one of a size, data centres and each-dc")
	case !w.Size.IsZero() && w.Size.n == 0:
		return errors.New("a wave of no hosts")
	case w.Name != "" && checkName("name", w.Name, topology.MaxName, "._-") != nil:
		return checkName("name", w.Name, topology.MaxName, "._-")
	case w.Soak < 0:
		return fmt.Errorf("soak=%s is negative", w.Soak)
	case !w.Parallel.IsZero() && w.Parallel.n == 0:
		return errors.New("parallel=0 would never switch a host")
	}
	for i, dc := range w.Datacenters {
		if err := topology.CheckName(dc); err != nil && dc != topology.Unknown {
			return fmt.Errorf("data centre: %w", err)
		}
		if slices.Contains(w.Datacenters[:i], dc) {
			return fmt.Errorf("data centre %s is listed twice", dc)
		}
	}
	return nil
}

// String is the form that ParseWaves reads.
func (w Wave) String() string {
	var b strings.Builder
	if w.Name != "" {
		b.WriteString(w.Name + "=")
	}
	switch {
	case w.EachDatacenter:
		b.WriteString("each-dc")
	case len(w.Datacenters) > 0:
		b.WriteString("@" + strings.Join(w.Datacenters, "+"))
	default:
		b.WriteString(w.Size.String())
	}
	if w.Soak != 0 {
		b.WriteString(" soak=" + w.Soak.String())
	}
	if !w.MaxFailed.IsZero() {
		b.WriteString(" max-failed=" + w.MaxFailed.String())
	}
	if !w.Parallel.IsZero() {
		b.WriteString(" parallel=" + w.Parallel.String())
	}
	if w.Approve {
		b.WriteString(" approve")
	}
	return b.String()
}

// Title is what people call the wave: its name, or what it reaches.
func (w Wave) Title() string {
	if w.Name != "" {
		return w.Name
	}
	return strings.Fields(Wave{Size: w.Size, Datacenters: w.Datacenters, EachDatacenter: w.EachDatacenter}.String())[0]
}

// String is the form that ParseWaves reads.
func (ws Waves) String() string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.String()
	}
	return strings.Join(texts, ", ")
}

// MarshalText is String.
func (ws Waves) MarshalText() ([]byte, error) { return []byte(ws.String()), nil }

// UnmarshalText is ParseWaves.
func (ws *Waves) UnmarshalText(text []byte) (err error) {
	*ws, err = ParseWaves(string(text), Wave{})
	return err
}
