package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/front/api"
)

const tokensLong = `Tokens let people, machines that push, and new hosts in. Each has a role:

  viewer    looks
  pusher    registers and pushes; pauses and aborts what it pushed
  approver  approves waves, pauses, resumes and activates; may not push
  operator  all of rollouts and hosts, stop-all and freezes
  admin     also tokens and the audit log
  joiner    one new host, once

The secret is shown when the token is made, and never again: what is stored is
its hash.`

func (s *shell) tokensCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tokens", Short: "Say who may do what in the fleet", Long: tokensLong,
		Example: `  shoal tokens create ci-web --role pusher --app web --expires 2160h
  shoal tokens create rack-7 --role joiner --expires 1h
  shoal tokens list
  shoal tokens revoke 3f9a...`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("`shoal tokens --help` lists them", "tokens needs a verb")
			}
			return usagef("`shoal tokens --help` lists them", "tokens has no verb %q", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(s.tokensCreateCommand(), s.tokensListCommand(), s.tokensRevokeCommand())
	return cmd
}

func (s *shell) tokensCreateCommand() *cobra.Command {
	role, life, t := "", time.Duration(0), shoal.Token{}
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and show its secret once",
		Example: "  shoal tokens create kim --role operator --expires 720h", Args: exactArgs(1, "a name for the audit log"),
	}
	flags := cmd.Flags()
	flags.StringVar(&role, "role", "", "viewer, pusher, approver, operator, admin or joiner")
	flags.StringArrayVar(&t.Apps, "app", nil, "only this app (repeat; default: all)")
	flags.StringVar(&t.Host, "host", "", "joiner: only the host of this name")
	flags.DurationVar(&life, "expires", 0, "how long it is good (default: 1h for a joiner, else 720h)")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		t.Name, t.Role = args[0], shoal.Role(role)
		if role == "" {
			return usagef("`shoal tokens --help` says what each may", "--role says what the token may do")
		}
		usual := 720 * time.Hour
		if t.Role == shoal.Joiner {
			usual = time.Hour
		}
		now, err := s.now(ctx, c)
		if err != nil {
			return err
		}
		t.Expires = now.Add(cmp.Or(life, usual)).UTC().Truncate(time.Second)
		n, err := c.NewToken(ctx, t)
		if err != nil {
			return err
		}
		if s.json {
			s.event("token", n)
			return nil
		}
		s.printf("%s\n", n.Secret)
		fmt.Fprintf(s.screen, "token %s of %s, %s, until %s; this is the only time that its secret is shown\n", n.Token.ID, printable(n.Token.Name), n.Token.Role, dateText(n.Token.Expires))
		fmt.Fprintf(s.screen, "its user knows the fleet's servers by --ca %s\n", n.CA)
		return nil
	})
}

func (s *shell) tokensListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, without their secrets", Example: "  shoal tokens list", Args: noArgs}
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, _ []string) error {
		list, err := c.Tokens(ctx)
		if err != nil {
			return err
		}
		if s.json {
			for _, t := range list {
				s.event("token", t)
			}
			return nil
		}
		s.table(func(w io.Writer) {
			fmt.Fprintf(w, "id\tname\trole\tapps\thost\texpires\tused\tby\n")
			for _, t := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, printable(t.Name), t.Role, cmp.Or(strings.Join(t.Apps, ","), "all"),
					cmp.Or(t.Host, "-"), dateText(t.Expires), dateText(t.Used), printable(cmp.Or(t.By, "-")))
			}
		})
		return nil
	})
}

func (s *shell) tokensRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "Make a token useless", Example: "  shoal tokens revoke 3f9ac1d2e4b5a6978899", Args: exactArgs(1, "the id of a token")}
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		err := c.RevokeToken(ctx, args[0])
		if err == nil {
			s.done("revoked", args[0])
		}
		return err
	})
}
