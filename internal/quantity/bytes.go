package quantity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxBytes bounds what ParseBytes accepts: more than an exabyte is a typing error.
const maxBytes = 1 << 60

// ParseBytes reads a size with its unit: "20TB", "500GiB", "0.5 GB". The result
// is at least one byte. A bare number and bits are refused; the error says what
// to write.
func ParseBytes(s string) (int64, error) {
	text := strings.TrimSpace(s)
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return 0, fmt.Errorf("size %q: has no unit; write for example 20TB or 500GiB", s)
	}
	value, err := strconv.ParseFloat(text[:end], 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: does not start with a number; write for example 20TB or 500GiB", s)
	}
	prefix, base, bits := splitUnit(strings.TrimSpace(text[end:]))
	exponent, binary, ok := power(prefix)
	if !ok || bits || base == "" {
		return 0, fmt.Errorf("size %q: unknown unit; write for example %sTB or %sGiB", s, text[:end], text[:end])
	}
	step := 1000.0
	if binary {
		step = 1024
	}
	bytes := math.Round(value * math.Pow(step, float64(exponent)))
	if bytes < 1 || bytes > maxBytes {
		return 0, fmt.Errorf("size %q: is not between 1B and 1EiB", s)
	}
	return int64(bytes), nil
}

// FormatBytes prints a size with three digits in a decimal unit ("1.23GB").
// ParseBytes reads what it prints of more than zero.
func FormatBytes(n int64) string { return decimal(n, "") }
