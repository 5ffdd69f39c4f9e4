package shoal

import (
	"fmt"
	"strconv"
	"strings"
)

// Amount is a number of hosts: a count ("2") or a share of a whole ("10%",
// "0.5%"). The zero Amount is unset, which is not the same as 0.
//
// A share is rarely a whole number of hosts. Up is for what must be reached
// (the size of a wave, a gate), Down for what may be spent (a failure
// threshold), so that rounding never makes a rollout less careful.
type Amount struct {
	kind amountKind
	n    int // hosts, or hundredths of a percent
}

type amountKind uint8

const (
	unset amountKind = iota
	count
	share
)

const wholeShare = 100_00 // 100 % in hundredths of a percent

// Count is an amount of n hosts.
func Count(n int) Amount { return Amount{count, max(n, 0)} }

// Percent is an amount of n percent.
func Percent(n int) Amount { return Amount{share, min(max(n, 0), 100) * 100} }

// ParseAmount reads a count or a percentage of up to two decimals.
func ParseAmount(s string) (Amount, error) {
	digits, percent := strings.CutSuffix(s, "%")
	whole, decimals, point := strings.Cut(digits, ".")
	if !percent && point || point && (len(decimals) == 0 || len(decimals) > 2) {
		return Amount{}, fmt.Errorf("amount %.40q: write a count such as 2, or a percentage such as 10%% or 0.25%%", s)
	}
	n, err := parseDigits(whole)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %.40q: write a count such as 2, or a percentage such as 10%%", s)
	}
	if !percent {
		return Count(n), nil
	}
	d := 0
	if point {
		if d, err = parseDigits((decimals + "0")[:2]); err != nil {
			return Amount{}, fmt.Errorf("amount %.40q: the decimals are no digits", s)
		}
	}
	if n > 100 || n*100+d > wholeShare {
		return Amount{}, fmt.Errorf("amount %.40q: more than 100%%", s)
	}
	return Amount{share, n*100 + d}, nil
}

func parseDigits(s string) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// IsZero tells that the amount is unset.
func (a Amount) IsZero() bool { return a.kind == unset }

// Up is the amount out of total, a fraction of a host counting as a whole one.
func (a Amount) Up(total int) int {
	if a.kind == share {
		return int((int64(a.n)*int64(total) + wholeShare - 1) / wholeShare)
	}
	return a.n
}

// Down is the amount out of total, a fraction of a host counting for nothing.
func (a Amount) Down(total int) int {
	if a.kind == share {
		return int(int64(a.n) * int64(total) / wholeShare)
	}
	return a.n
}

// Or is a, or b when a is unset.
func (a Amount) Or(b Amount) Amount {
	if a.IsZero() {
		return b
	}
	return a
}

// String is the form that ParseAmount reads; empty when unset.
func (a Amount) String() string {
	switch a.kind {
	case count:
		return strconv.Itoa(a.n)
	case share:
		if a.n%100 == 0 {
			return strconv.Itoa(a.n/100) + "%"
		}
		return strings.TrimRight(fmt.Sprintf("%d.%02d", a.n/100, a.n%100), "0") + "%"
	}
	return ""
}

// MarshalText is String.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAmount; an empty text is unset.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*a = Amount{}
		return nil
	}
	*a, err = ParseAmount(string(text))
	return err
}
