package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"shoal"
	"shoal/internal/front/api"
	"shoal/internal/strictyaml"
	"shoal/internal/trust"
)

// fleetFlags say where the control plane is and who asks. What no flag says is
// taken from the environment, and then from the file fleet.yaml.
type fleetFlags struct {
	servers   []string
	token     string
	tokenFile string
	ca        string
}

// Variables of the environment.
const (
	envServer = "SHOAL_SERVER"
	envToken  = "SHOAL_TOKEN"
	envCA     = "SHOAL_CA"
)

func (f *fleetFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.servers, "server", nil, "URL of a server, https://HOST:PORT (repeat, or comma); default $"+envServer)
	flags.StringVar(&f.token, "token", "", "who asks; others on this machine may see it, so better $"+envToken+" or --token-file")
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds the token")
	flags.StringVar(&f.ca, "ca", "", "what servers are known by: a file with the fleet's authority, or its pin, sha256:...; default $"+envCA)
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
}

// fleetFile is fleet.yaml in the user's configuration folder.
type fleetFile struct {
	Server stringList `yaml:"server"`
	Token  string     `yaml:"token"`
	CA     string     `yaml:"ca"`
}

// stringList is one string or a list of them.
type stringList []string

func (l *stringList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = stringList{n.Value}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// maxFleetFile bounds the files that are read here, in bytes.
const maxFleetFile = 64 << 10

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFleetFile+1))
	if err == nil && len(text) > maxFleetFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFleetFile)
	}
	return text, err
}

func readFleetFile() (f fleetFile, name string, err error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return f, "", nil // no home, no file
	}
	name = filepath.Join(dir, "shoal", "fleet.yaml")
	text, err := readSmall(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f, name, nil
	}
	if err != nil {
		return f, name, err
	}
	if err := strictyaml.Decode(text, &f); err != nil {
		return f, name, usagef("its keys are server, token and ca", "%s: %w", name, err)
	}
	return f, name, nil
}

// client makes the client of the control plane.
func (f *fleetFlags) client() (*api.Client, error) {
	file, name, err := readFleetFile()
	if err != nil {
		return nil, err
	}
	if f.tokenFile != "" {
		text, err := readSmall(f.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		f.token = strings.TrimSpace(string(text))
	}
	servers := f.servers
	if text := os.Getenv(envServer); len(servers) == 0 && text != "" {
		servers = strings.Split(text, ",")
	}
	if len(servers) == 0 {
		servers = file.Server
	}
	if len(servers) == 0 {
		return nil, usagef("--server https://HOST:PORT, "+envServer+", or server: in "+name, "it is not said where the control plane is")
	}
	o := api.ClientOptions{Servers: servers, Token: cmp.Or(f.token, os.Getenv(envToken), file.Token)}
	if o.Token == "" {
		return nil, usagef("--token-file FILE, "+envToken+", or token: in "+name, "the control plane wants to know who asks, and there is no token")
	}
	if o.Anchor, err = trust.ParseAnchor(cmp.Or(f.ca, os.Getenv(envCA), file.CA)); err != nil {
		return nil, usagef("--ca takes a file with the fleet's authority, or sha256: and 64 digits", "%w", err)
	}
	return api.NewClient(o)
}

// withFleet makes a command ask the control plane.
func (s *shell) withFleet(cmd *cobra.Command, run func(ctx context.Context, c *api.Client, args []string) error) *cobra.Command {
	f := &fleetFlags{}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := f.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
	return cmd
}

// now is the time by the server's clock, which is the one that counts; that this
// machine's is off is told.
func (s *shell) now(ctx context.Context, c *api.Client) (time.Time, error) {
	there, err := c.Situation(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if skew := shoal.SkewOf(time.Now(), there.Now); skew != 0 {
		fmt.Fprintf(s.screen, "note: this machine's clock is %s, which is the one that counts\n", shoal.SkewText(skew))
	}
	return there.Now.In(time.Local), nil
}

// rolloutOf finds the rollout that an argument means: a number, or an app, whose
// newest rollout it is.
func rolloutOf(ctx context.Context, c *api.Client, arg string) (shoal.Progress, error) {
	if id, err := strconv.ParseUint(arg, 10, 64); err == nil {
		p, err := c.Rollout(ctx, id)
		if errors.Is(err, shoal.ErrNotFound) {
			return p, noRollout(ctx, c, fmt.Sprintf("there is no rollout %d", id))
		}
		return p, err
	}
	if err := shoal.CheckApp(arg); err != nil {
		return shoal.Progress{}, usagef("name a rollout by its number, or the app that it is of", "%w", err)
	}
	list, err := c.Rollouts(ctx, shoal.RolloutQuery{App: arg, Over: true})
	if err != nil {
		return shoal.Progress{}, err
	}
	if len(list) == 0 {
		return shoal.Progress{}, noRollout(ctx, c, "there is no rollout of the app "+arg)
	}
	return c.Rollout(ctx, list[0].Rollout.ID)
}

// maxNamed is how many names an error lists at most.
const maxNamed = 8

// noRollout says which rollouts there are instead.
func noRollout(ctx context.Context, c *api.Client, what string) error {
	list, err := c.Rollouts(ctx, shoal.RolloutQuery{Over: true})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return coded{errors.New(what), CodeNotFound, "there has been none yet: `shoal push` begins one"}
	}
	var newest []string // of each app
	seen := map[string]bool{}
	for _, p := range list {
		if r := p.Rollout; !seen[r.App] {
			seen[r.App] = true
			newest = append(newest, fmt.Sprintf("%d of %s", r.ID, r.App))
		}
	}
	if more := len(newest) - maxNamed; more > 0 {
		newest = append(newest[:maxNamed], countText(more, "more app"))
	}
	return coded{errors.New(what), CodeNotFound, "the newest are " + strings.Join(newest, ", ") + "; `shoal status --all` lists all rollouts"}
}

// noHost tells of a host that is not in the fleet where to look.
func noHost(err error) error {
	if errors.Is(err, shoal.ErrNotFound) {
		return coded{err, CodeNotFound, "`shoal hosts` lists the hosts of the fleet"}
	}
	return err
}

// fleetVerbs are the verbs that ask the control plane.
func (s *shell) fleetVerbs() []*cobra.Command {
	verbs := []*cobra.Command{
		s.pushCommand(), s.planCommand(), s.statusCommand(), s.hostsCommand(), s.releasesCommand(), s.whyCommand(),
		s.tokensCommand(), s.auditCommand(), s.keyCommand(),
	}
	return append(append(verbs, s.commandVerbs()...), s.brakeVerbs()...)
}
