package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (s *shell) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the man pages into a folder",
		Long:    "Writes one man page a verb into DIR, from the same text as --help.",
		Example: "  shoal man /usr/local/share/man/man1",
		Hidden:  true,
		Args:    exactArgs(1, "the folder to write into"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			root.Long += "\n\n" + exitCodesText() // help has a topic of its own for it
			header := &doc.GenManHeader{Section: "1", Source: "shoal", Manual: "shoal"}
			if t, err := time.Parse(time.RFC3339, readVersion().Time); err == nil {
				header.Date = &t // the same bytes for the same source
			}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write man pages: %w", err)
			}
			return nil
		},
	}
}
