package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"shoal/internal/deploy/agent"
	"shoal/internal/node"
	"shoal/internal/trust"
)

const agentLong = `Makes this host part of a fleet: it fetches, verifies, switches and serves the
releases that the control plane wants here, and reports. It goes on with its last
orders while no server can be reached, and after any crash.

The first start joins the fleet with a one-time token (shoal tokens create --role
joiner), in $SHOAL_TOKEN or --token-file; the host's key and certificate are kept
in ROOT/.shoal/identity and renewed by themselves. --config names a YAML file with
what this host allows and runs: docs/operations.md. Flags win over it.`

const agentExample = `  shoal agent --config /etc/shoal/agent.yaml
  SHOAL_TOKEN=shoal_... shoal agent --server https://deploy.example:7443 --ca sha256:... --root /srv --label role=web`

// agentFlags are the flags of agent.
type agentFlags struct {
	peerFlags
	config, tokenFile string
	labels            []string
	cache             string
	c                 agent.Config // what flags say
}

func (s *shell) agentCommand() *cobra.Command {
	f := &agentFlags{}
	cmd := &cobra.Command{
		Use: "agent --config FILE", Short: "Make this host part of a fleet", Long: agentLong, Example: agentExample, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.options(s, cmd.Flags())
			if err != nil {
				return err
			}
			return s.agent(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	f.peerFlags.add(flags)
	flags.StringVar(&f.config, "config", "", "YAML file with what this host is, allows and runs")
	flags.StringSliceVar(&f.c.Servers, "server", nil, "URL of a server, https://HOST:PORT (repeat, or comma); default $"+envServer)
	flags.StringVar(&f.c.Authority, "ca", "", "what servers are known by before the host has joined: a file with the fleet's authority, or its pin; default $"+envCA)
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds the one-time token to join with; default $"+envToken)
	flags.StringVar(&f.c.Root, "root", "", "folder that holds a folder for each app")
	flags.StringVar(&f.c.Host, "host", "", "name of this host in the fleet (default: the system's)")
	flags.StringArrayVar(&f.labels, "label", nil, "what selectors see of this host, KEY=VALUE (repeat)")
	flags.BoolVar(&f.c.PlainPeers, "plain-peers", false, "let content travel between hosts in the clear")
	flags.StringVar(&f.cache, "cache", "keep", "what becomes of the content's pages in memory: keep or drop")
	return cmd
}

// options puts file, environment and flags together.
func (f *agentFlags) options(s *shell, flags *pflag.FlagSet) (o node.AgentOptions, err error) {
	if o.Config, err = f.readConfig(); err != nil {
		return o, err
	}
	c := &o.Config
	env := strings.FieldsFunc(os.Getenv(envServer), func(r rune) bool { return r == ',' })
	for _, list := range [][]string{env, f.c.Servers} {
		if len(list) > 0 {
			c.Servers = list
		}
	}
	c.Authority = cmp.Or(f.c.Authority, os.Getenv(envCA), c.Authority)
	c.Root, c.Host = cmp.Or(f.c.Root, c.Root), cmp.Or(f.c.Host, c.Host)
	c.PlainPeers = c.PlainPeers || f.c.PlainPeers
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return o, err
		}
	}
	for _, text := range f.labels {
		key, value, _ := strings.Cut(text, "=")
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[key] = value
	}
	if len(c.Servers) == 0 {
		return o, usagef("--server https://HOST:PORT, "+envServer+", or servers: in the configuration", "it is not said where the control plane is")
	}
	if err := c.Check(); err != nil {
		return o, usagef("docs/operations.md has all keys", "configuration of the agent: %w", err)
	}
	f.adopt(c, flags)
	if o.Options, err = f.peerFlags.options(s); err != nil {
		return o, err
	}
	c.Datacenter, c.Rack = o.Place.Datacenter, o.Place.Rack
	if o.Content.Cache, err = parseCache(f.cache); err != nil {
		return o, err
	}
	if o.Verifier, err = verifierOf(c.Keys); err != nil {
		return o, err
	}
	o.Fleet = node.Membership{Servers: c.Servers, Authority: c.Authority, Plain: c.PlainPeers}
	o.Fleet.Token, err = f.token()
	return o, err
}

func (f *agentFlags) readConfig() (agent.Config, error) {
	if f.config == "" {
		return agent.Config{}, nil
	}
	file, err := os.Open(f.config)
	if err != nil {
		return agent.Config{}, err
	}
	defer file.Close()
	c, err := agent.ParseConfig(file)
	if err != nil {
		return c, usagef("docs/operations.md has all keys", "%s: %w", f.config, err)
	}
	return c, nil
}

// adopt takes from the configuration what no flag says.
func (f *agentFlags) adopt(c *agent.Config, flags *pflag.FlagSet) {
	if f.listen == "" {
		f.listen = c.Listen
	}
	f.place.TopologyFile = cmp.Or(f.place.TopologyFile, c.Topology)
	f.place.Datacenter = cmp.Or(f.place.Datacenter, c.Datacenter)
	f.place.Rack = cmp.Or(f.place.Rack, c.Rack)
	if len(f.addresses) == 0 {
		f.addresses = c.Addresses
	}
	for name, text := range c.Limits {
		if to := f.limits[name]; to == nil {
			f.more = append(f.more, name+"="+text)
		} else if !flags.Changed(name) {
			*to = text
		}
	}
}

// token is the one-time token; "" when there is none, which is fine for a host
// that has joined. A file that was named and is gone was used up and removed.
func (f *agentFlags) token() (string, error) {
	if f.tokenFile == "" {
		return os.Getenv(envToken), nil
	}
	text, err := readSmall(f.tokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Getenv(envToken), nil
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// verifierOf is nil when nobody has to sign.
func verifierOf(keys []string) (agent.Verifier, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	v, err := trust.ParseKeys([]byte(strings.Join(keys, "\n")))
	if err != nil {
		return nil, usagef("`shoal key` makes and shows them", "keys: %w", err)
	}
	return v, nil
}

// agentDoc is the document {"event":"agent"}.
type agentDoc struct {
	Event  string `json:"event"`
	Host   string `json:"host"`
	Root   string `json:"root"`
	Listen string `json:"listen"`
}

func (s *shell) agent(ctx context.Context, o node.AgentOptions) error {
	n := newNotifier(s.log)
	o.Alive = n.alive
	o.Ready = func(at netip.AddrPort) {
		n.ready()
		if s.json {
			s.print(agentDoc{"agent", o.Config.Host, o.Config.Root, at.String()})
		}
		s.printf("agent of %s: releases in %s, peers at %s\n", o.Config.Host, printable(o.Config.Root), at)
	}
	err := node.Agent(ctx, o)
	n.stopping()
	switch {
	case stoppedBySignal(ctx):
		return nil
	case errors.Is(err, node.ErrNoToken):
		return coded{err, CodeUsage, tokenFor(o.Config.Host) + "; give it by a --token-file that is there, or $" + envToken}
	case errors.Is(err, node.ErrNotAdmitted):
		return coded{err, CodePermission, tokenFor(o.Config.Host) + "; what the host is called is said by --host, or host: in its configuration"}
	}
	return err
}

// tokenFor says how a host gets a token to join with.
func tokenFor(host string) string {
	return fmt.Sprintf("`shoal tokens create %s --role joiner --host %[1]s` makes one", host)
}
