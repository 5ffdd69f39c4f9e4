package agent

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"shoal"
	"shoal/internal/atomicfile"
)

// record is what an agent knows about itself, over restarts: agent.json.
type record struct {
	Format int `json:"format"`
	// Instance tells two agents apart that were given one name.
	Instance string `json:"instance"`
	// Orders are the newest: what is wanted while no server can be reached.
	Orders shoal.Orders          `json:"orders"`
	Apps   map[string]*appRecord `json:"apps"`
}

// appRecord is what it knows about one app, beyond what the release store does.
type appRecord struct {
	Taken shoal.OrderID `json:"taken,omitzero"`
	// Floor is the highest serial of a release that was live and well here:
	// nothing below it is fetched.
	Floor    uint64            `json:"floor,omitempty"`
	Previous string            `json:"previous,omitempty"` // live before the last switch: gc lets it be
	Health   shoal.Health      `json:"health,omitempty"`   // of HealthOf
	HealthOf string            `json:"health_of,omitempty"`
	Switch   *swap             `json:"switch,omitempty"` // begun and not ended
	Failure  *failure          `json:"failure,omitempty"`
	Releases map[string]origin `json:"releases,omitempty"` // by version: what was found fit to be fetched
}

// origin is what the control plane said of a release that was found fit.
type origin struct {
	ID       string   `json:"id"` // see release.Release
	Serial   uint64   `json:"serial,omitempty"`
	Trackers []string `json:"trackers,omitempty"`
}

// swap is a switch of the live release, from its order to its end. Phase is the
// step that is due: a step that was cut off is taken again.
type swap struct {
	Order  shoal.OrderID `json:"order"`
	From   string        `json:"from,omitempty"` // what was live
	To     string        `json:"to"`
	Back   bool          `json:"back,omitempty"` // the order says that To is the way back
	Phase  phase         `json:"phase"`
	Failed shoal.Step    `json:"failed,omitempty"` // why the phase is undo
	Reason string        `json:"reason,omitempty"`
}

// phase is a step of a switch, in their order.
type phase string

const (
	before   phase = "before"   // hooks of the host, while the old release is live
	activate phase = "activate" // the link
	after    phase = "after"    // hooks of the host, with the new one live
	probe    phase = "probe"    // the health check
	undo     phase = "undo"     // the old one is put back
)

// failure is an order that could not be carried out, and what it was about.
type failure struct {
	shoal.Failure
	Version string `json:"version"`
}

const (
	recordFormat = 1
	maxRecord    = 16 << 20
	hidden       = ".shoal"
	recordFile   = hidden + "/agent.json"
	lockFile     = hidden + "/agent.lock"
)

func newRecord() *record {
	return &record{Format: recordFormat, Instance: rand.Text(), Apps: map[string]*appRecord{}}
}

// app is the record of an app, made if there is none.
func (r *record) app(name string) *appRecord {
	a := r.Apps[name]
	if a == nil {
		a = &appRecord{Releases: map[string]origin{}}
		r.Apps[name] = a
	}
	return a
}

// parseRecord reads agent.json. Names that could lead out of their folders are
// refused, wherever they stand.
func parseRecord(b []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("format %d, this shoal knows %d", r.Format, recordFormat)
	}
	if r.Instance == "" || len(r.Instance) > 64 {
		return nil, errors.New("it does not say whose it is")
	}
	if err := checkOrders(r.Orders); err != nil {
		return nil, err
	}
	if r.Apps == nil {
		r.Apps = map[string]*appRecord{}
	}
	for name, a := range r.Apps {
		if a == nil {
			return nil, fmt.Errorf("app %q: nothing is said of it", name)
		}
		if err := errors.Join(shoal.CheckApp(name), a.check()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (a *appRecord) check() error {
	if a.Releases == nil {
		a.Releases = map[string]origin{}
	}
	for v := range a.Releases {
		if err := shoal.CheckVersion(v); err != nil {
			return err
		}
	}
	versions := []string{a.Previous, a.HealthOf}
	if a.Failure != nil {
		versions = append(versions, a.Failure.Version)
	}
	if s := a.Switch; s != nil {
		switch s.Phase {
		case before, activate, after, probe, undo:
		default:
			return fmt.Errorf("a switch in the unknown phase %q", s.Phase)
		}
		if s.To == "" {
			return errors.New("a switch to nowhere")
		}
		versions = append(versions, s.From, s.To)
	}
	for _, v := range versions {
		if v != "" && shoal.CheckVersion(v) != nil {
			return shoal.CheckVersion(v)
		}
	}
	return nil
}

// checkOrders refuses orders that make no sense: a server is not trusted with paths.
func checkOrders(o shoal.Orders) error {
	if len(o.Orders) > maxApps || len(o.Keep) > maxKeep {
		return fmt.Errorf("%d orders and %d releases to keep are more than a host can have", len(o.Orders), len(o.Keep))
	}
	seen := map[string]bool{}
	for _, order := range o.Orders {
		if err := shoal.CheckApp(order.App); err != nil {
			return err
		}
		if seen[order.App] {
			return fmt.Errorf("two orders about the app %s", order.App)
		}
		seen[order.App] = true
		for _, v := range []string{order.Stage, order.Live} {
			if v != "" && shoal.CheckVersion(v) != nil {
				return shoal.CheckVersion(v)
			}
		}
	}
	return nil
}

// maxKeep bounds the releases that a rollout wants a host to keep.
const maxKeep = 4096

// readRecord reads agent.json below the root; a new one if there is none. One
// that cannot be understood is set aside: what it says of failures and floors is
// lost, what is live and held the release store knows.
func readRecord(root *os.Root) (r *record, setAside error, err error) {
	f, err := root.Open(recordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return newRecord(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, nil, err
	}
	r, err = parseRecord(b)
	if err == nil {
		return r, nil, nil
	}
	if renameErr := root.Rename(recordFile, recordFile+".damaged"); renameErr != nil {
		return nil, nil, errors.Join(err, renameErr)
	}
	return newRecord(), fmt.Errorf("%s was damaged and is now %[1]s.damaged: %w", filepath.Join(root.Name(), recordFile), err), nil
}

// write replaces agent.json.
func (r *record) write(root *os.Root) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.WriteRoot(root, recordFile, append(b, '\n'), 0o600)
}

// Origins are the trackers that the fleet named for each release of a root, by
// release.ID; a root without an agent has none. It only reads: the agent may run.
func Origins(root string) (map[string][]string, error) {
	f, err := os.Open(filepath.Join(root, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	out := map[string][]string{}
	for _, a := range r.Apps {
		for _, o := range a.Releases {
			out[o.ID] = o.Trackers
		}
	}
	return out, nil
}
