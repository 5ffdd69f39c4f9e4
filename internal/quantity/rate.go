// Package quantity reads and prints rates and sizes the way operators write them
// ("50MB/s", "400mbit", "20TB"), and refuses those that could be misunderstood.
package quantity

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxRate bounds what ParseRate accepts: a petabyte a second is a typing error.
const maxRate = 1 << 50

// Unlimited is how a rate without a limit is written and printed.
const Unlimited = "unlimited"

// ParseRate reads a rate with its unit: bytes ("50MB/s", "1.5GiB/s", "800kB/s") or
// bits ("400mbit", "10Gbit/s", "100Mbps"). The result is in bytes a second, 0
// for "unlimited". A number without a unit is refused, and so is one whose unit
// could mean bits as well as bytes; the error says what to write.
func ParseRate(s string) (int64, error) {
	text := strings.TrimSpace(s)
	if strings.EqualFold(text, Unlimited) {
		return 0, nil
	}
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	number, unit := text, ""
	if end >= 0 {
		number, unit = text[:end], strings.TrimSpace(text[end:])
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("rate %q: does not start with a number; write for example 50MB/s or 400mbit", s)
	}
	if unit == "" {
		return 0, fmt.Errorf("rate %q: has no unit; write %sMB/s for bytes or %smbit for bits", s, number, number)
	}
	scale, err := scaleOf(unit, number)
	if err != nil {
		return 0, fmt.Errorf("rate %q: %w", s, err)
	}
	bytes := value * scale
	switch {
	case bytes < 1:
		return 0, fmt.Errorf("rate %q: is below one byte a second; for no limit write %q", s, Unlimited)
	case bytes > maxRate:
		return 0, fmt.Errorf("rate %q: is above a petabyte a second; for no limit write %q", s, Unlimited)
	}
	return int64(math.Round(bytes)), nil
}

// scaleOf is the number of bytes a second in one unit. The number is only for
// the hint.
func scaleOf(unit, number string) (float64, error) {
	word := strings.TrimSuffix(unit, "/s")
	perSecond := word == unit && strings.HasSuffix(word, "ps") && len(word) > 2
	if perSecond {
		word = strings.TrimSuffix(word, "ps")
	}
	prefix, base, bits := splitUnit(word)
	power, binary, ok := power(prefix)
	if !ok || base == "" {
		return 0, fmt.Errorf("unknown unit %q; write for example %sMB/s, %sMiB/s or %smbit", unit, number, number, number)
	}
	if base == "b" && !perSecond {
		p := strings.ToUpper(strings.TrimSuffix(prefix, "i"))
		return 0, fmt.Errorf("unit %q could be bits or bytes; write %s%sB/s for bytes or %s%sbit for bits",
			unit, number, p, number, strings.ToLower(p))
	}
	step := 1000.0
	if binary {
		step = 1024
	}
	scale := math.Pow(step, float64(power))
	if bits {
		scale /= 8
	}
	return scale, nil
}

// splitUnit parts "Mibit" into "Mi" and "bit". base is "" if there is none.
func splitUnit(word string) (prefix, base string, bits bool) {
	lower := strings.ToLower(word)
	for _, b := range []struct {
		suffix string
		bits   bool
	}{{"bits", true}, {"bit", true}, {"bytes", false}, {"byte", false}} {
		if strings.HasSuffix(lower, b.suffix) {
			return word[:len(word)-len(b.suffix)], b.suffix, b.bits
		}
	}
	switch {
	case strings.HasSuffix(word, "B"):
		return word[:len(word)-1], "B", false
	case strings.HasSuffix(word, "b"):
		return word[:len(word)-1], "b", true
	}
	return word, "", false
}

// power reads "", "k", "M", "Gi" and so on.
func power(prefix string) (p int, binary, ok bool) {
	if prefix == "" {
		return 0, false, true
	}
	p = strings.IndexByte("kmgtp", prefix[0]|0x20) + 1
	switch strings.ToLower(prefix[1:]) {
	case "":
		return p, false, p > 0
	case "i":
		return p, true, p > 0
	}
	return 0, false, false
}

// FormatRate prints a rate with three digits and a decimal byte unit ("48.3MB/s"),
// or "unlimited" for 0. ParseRate reads what it prints.
func FormatRate(bytesPerSecond int64) string {
	if bytesPerSecond <= 0 {
		return Unlimited
	}
	return decimal(bytesPerSecond, "/s")
}

// decimal prints n with three digits and the decimal unit of bytes that fits.
func decimal(n int64, per string) string {
	value, unit := float64(n), 0
	units := [...]string{"B", "kB", "MB", "GB", "TB", "PB"}
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	digits := 2
	switch {
	case value >= 99.95:
		digits = 0
	case value >= 9.995:
		digits = 1
	}
	text := strconv.FormatFloat(value, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + units[unit] + per
}
