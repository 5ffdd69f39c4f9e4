package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"shoal/internal/atomicfile"
	"shoal/internal/trust"
)

// Variables of the environment.
const (
	envSignKey      = "SHOAL_SIGN_KEY"
	envSignPassword = "SHOAL_SIGN_PASSWORD"
)

func (s *shell) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make keys that sign releases",
		Long: `Releases are signed by a key that no server has, and hosts are configured with
the public keys that they believe: so a server that was taken over cannot ship
code. The files are minisign's, and its own tools read them.`,
		Example: "  shoal key generate release.key",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("shoal key generate FILE", "key needs a verb")
			}
			return usagef("shoal key generate FILE", "key has no verb %q", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(s.keyGenerateCommand())
	return cmd
}

// keyDoc is the document {"event":"key"}.
type keyDoc struct {
	Event  string `json:"event"`
	Secret string `json:"secret_file"`
	Public string `json:"public_file"`
	Key    string `json:"public"`
	Locked bool   `json:"locked"`
}

func (s *shell) keyGenerateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "generate FILE", Short: "Make a key pair: FILE and FILE.pub",
		Long: `Writes the secret key to FILE, readable by its owner only, and the public one to
FILE.pub. With ` + envSignPassword + ` set, FILE is locked by that password.`,
		Example: "  shoal key generate release.key", Args: exactArgs(1, "the file of the secret key"),
		RunE: func(_ *cobra.Command, args []string) error {
			secretFile, publicFile, password := args[0], args[0]+".pub", os.Getenv(envSignPassword)
			for _, name := range []string{secretFile, publicFile} {
				if err := refuseExisting(name, false); err != nil {
					return coded{err, CodeRefused, "a key that is lost cannot be made again: choose another name"}
				}
			}
			public, secret, err := trust.NewSigningKey(password)
			if err != nil {
				return err
			}
			if err := atomicfile.Write(secretFile, secret, 0o600); err != nil {
				return err
			}
			if err := atomicfile.Write(publicFile, public, 0o644); err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSpace(string(public)), "\n")
			if s.json {
				s.print(keyDoc{"key", secretFile, publicFile, lines[len(lines)-1], password != ""})
			}
			s.printf("wrote %s and %s\npublic key: %s\n", secretFile, publicFile, lines[len(lines)-1])
			if password == "" {
				fmt.Fprintf(s.screen, "hint: the secret key has no password; %s sets one\n", envSignPassword)
			}
			return nil
		},
	}
}

// signingKey reads a secret key for signing; nil for no file.
func signingKey(name string) (*trust.SigningKey, error) {
	if name == "" {
		return nil, nil
	}
	text, err := readSmall(name)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	k, err := trust.ParseSigningKey(text, os.Getenv(envSignPassword))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &k, nil
}
