package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (s *shell) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Long:    "Prints the version that `go build` stamped from git, the Go release and the platform.",
		Example: "  shoal version\n  shoal version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			if s.json {
				s.print(v)
				return nil
			}
			s.printf("shoal %s\n", v)
			return nil
		},
	}
}

// versionDoc says which build this is.
type versionDoc struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v versionDoc) String() string { return v.Version + " " + v.Go + " " + v.Platform }

// readVersion reads what the go command left in the binary.
func readVersion() versionDoc {
	v := versionDoc{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}
