package cli

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"shoal/internal/quantity"
)

// exactArgs wants n arguments and says which when they are not there.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("`"+cmd.CommandPath()+" --help` shows examples", "%s takes %s, got %d arguments", cmd.Name(), what, len(args))
		}
		return nil
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("", "%s takes no arguments, got %q", cmd.Name(), args[0])
	}
	return nil
}

// The bounds of a piece length: BEP 52 starts at the block of 16 KiB, and a
// piece must fit into the memory of a small host several times.
const (
	minPieceExponent = 14
	maxPieceExponent = 28
)

// parsePieceLength reads -l: a power-of-two exponent as in mktorrent, or bytes
// with a unit. Nothing given is 0, which means automatic.
func parsePieceLength(s string) (int64, error) {
	const hint = "write an exponent (18 is 256 KiB) or a size with its unit: 256KiB, 4MiB"
	if s == "" {
		return 0, nil
	}
	if e, err := strconv.Atoi(s); err == nil {
		if e < minPieceExponent || e > maxPieceExponent {
			return 0, usagef(hint, "piece length 2^%s is not between 2^%d and 2^%d", s, minPieceExponent, maxPieceExponent)
		}
		return 1 << e, nil
	}
	n, unit := s, 0
	for i, u := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(s, u); ok {
			n, unit = strings.TrimSpace(rest), 10*(i+1)
		}
	}
	v, err := strconv.ParseUint(n, 10, 32)
	if err != nil || unit == 0 {
		return 0, usagef(hint, "piece length %q is not understood", s)
	}
	if v <<= unit; bits.OnesCount64(v) != 1 || v < 1<<minPieceExponent || v > 1<<maxPieceExponent {
		return 0, usagef(hint, "piece length %s is not a power of two between 16KiB and 256MiB", s)
	}
	return int64(v), nil
}

// parseSize reads bytes with their unit; nothing given is 0.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := quantity.ParseBytes(s)
	if err != nil {
		return 0, usagef("write for example 500GB or 2TiB", "size %q is not understood", s)
	}
	return n, nil
}
