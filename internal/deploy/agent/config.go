package agent

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"shoal"
	"shoal/internal/quantity"
	"shoal/internal/strictyaml"
)

// Config is what the host says of itself and allows: the agent's YAML file.
type Config struct {
	Root       string            `yaml:"root"`
	Host       string            `yaml:"host"` // its name in the fleet
	Datacenter string            `yaml:"datacenter"`
	Rack       string            `yaml:"rack"`
	Labels     map[string]string `yaml:"labels"`
	Servers    []string          `yaml:"servers"`     // https URLs, any of which will do
	Authority  string            `yaml:"authority"`   // of the fleet: its pin, or a file with its certificate; only to join
	PlainPeers bool              `yaml:"plain_peers"` // content travels in the clear
	Listen     string            `yaml:"listen"`      // for peers
	Up         Rate              `yaml:"up"`          // what the host's link can send; only for plans
	Down       Rate              `yaml:"down"`
	Limits     map[string]string `yaml:"limits"` // as the flags of the same names: up, down-wan, up-link:atlantic, ...
	Topology   string            `yaml:"topology"`
	Addresses  []string          `yaml:"addresses"` // as the flag --address

	Keys           []string `yaml:"keys"` // minisign public keys, one of which has to have signed a release; none: nobody has to
	AllowDowngrade bool     `yaml:"allow_downgrade"`
	Keep           int      `yaml:"keep"`  // good releases of an app that stay
	Quota          Size     `yaml:"quota"` // of the releases of an app; 0: none
	Grace          Duration `yaml:"grace"` // how long a release stays after it was live

	// Apps are those that may come to this host, with what is run around a
	// switch. If none is named, any may.
	Apps map[string]AppConfig `yaml:"apps"`
}

// AppConfig is what is run for an app.
type AppConfig struct {
	PreActivate  Hook   `yaml:"pre_activate"`
	PostActivate Hook   `yaml:"post_activate"`
	Health       Health `yaml:"health"`
}

// Hook is a command; one without is none.
type Hook struct {
	Command []string `yaml:"command"` // an executable, by its absolute path, and arguments
	Timeout Duration `yaml:"timeout"` // default 5 min
}

// Health is the check of a live release.
type Health struct {
	Hook     `yaml:",inline"`
	Retries  *int     `yaml:"retries"`  // after the first try; default 5
	Interval Duration `yaml:"interval"` // between two tries; default 2 s
	Every    Duration `yaml:"every"`    // between two checks of a release that is well; default 30 s
}

// Duration, Size and Rate are written as people write them: 90s, 500GB, 10gbit.
type (
	Duration time.Duration // ns
	Size     int64         // bytes
	Rate     int64         // bytes a second
)

// UnmarshalYAML reads 90s, 10m, 2h.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return fmt.Errorf("line %d: %.40q: write a duration such as 90s, 10m or 2h", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalYAML reads 500GB.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	v, err := quantity.ParseBytes(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*s = Size(v)
	return nil
}

// UnmarshalYAML reads 50MB/s, 10gbit.
func (r *Rate) UnmarshalYAML(n *yaml.Node) error {
	v, err := quantity.ParseRate(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*r = Rate(v)
	return nil
}

const (
	maxConfig = 1 << 20 // bytes
	maxApps   = 256     // of a host
)

// ParseConfig reads the YAML file. Keys that it does not know are refused: a
// typing mistake in the name of a health check must not switch it off.
func ParseConfig(r io.Reader) (Config, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return Config{}, err
	}
	if len(raw) > maxConfig {
		return Config{}, fmt.Errorf("it has more than %d bytes", maxConfig)
	}
	var c Config
	return c, strictyaml.Decode(raw, &c)
}

// Check fills in what is usual, and tells everything that is wrong.
func (c *Config) Check() error {
	if c.Keep == 0 {
		c.Keep = 3
	}
	if c.Grace == 0 {
		c.Grace = Duration(time.Hour)
	}
	errs := []error{shoal.CheckHost(c.Host)}
	if c.Root == "" {
		errs = append(errs, errors.New("root is missing: the folder that holds a folder for each app"))
	}
	if c.Keep < 1 {
		errs = append(errs, fmt.Errorf("keep is %d: at least the release in use stays", c.Keep))
	}
	for key, value := range c.Labels {
		errs = append(errs, shoal.CheckLabel(key, value))
	}
	if len(c.Apps) > maxApps {
		errs = append(errs, fmt.Errorf("%d apps are more than the limit of %d", len(c.Apps), maxApps))
	}
	for name, a := range c.Apps {
		errs = append(errs, shoal.CheckApp(name))
		for key, h := range a.hooks() {
			if len(h.Command) > 0 && !filepath.IsAbs(h.Command[0]) {
				errs = append(errs, fmt.Errorf("app %s: %s: %q: give the executable by its absolute path", name, key, h.Command[0]))
			}
		}
		if r := a.Health.Retries; r != nil && *r < 0 {
			errs = append(errs, fmt.Errorf("app %s: health: retries is negative", name))
		}
	}
	return errors.Join(slices.DeleteFunc(errs, func(e error) bool { return e == nil })...)
}

// hooks are all hooks of an app by their keys.
func (a AppConfig) hooks() map[string]Hook {
	return map[string]Hook{"pre_activate": a.PreActivate, "post_activate": a.PostActivate, "health": a.Health.Hook}
}

// allows tells whether an app may come to this host.
func (c *Config) allows(app string) bool {
	_, ok := c.Apps[app]
	return ok || len(c.Apps) == 0
}

// orDefault is the duration, or another one if it is not set.
func (d Duration) orDefault(other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return time.Duration(d)
}
