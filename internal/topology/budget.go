package topology

import (
	"fmt"
	"strings"
	"time"

	"shoal/internal/quantity"
)

// Budget is how many bytes may cross a link, each way, in a period. The zero
// value is no budget. Periods begin at midnight UTC: of every day, of Monday, of
// the first of the month.
type Budget struct {
	Bytes int64
	Per   string // "day", "week" or "month"
}

// ParseBudget reads "20TB/month".
func ParseBudget(s string) (Budget, error) {
	size, per, ok := strings.Cut(s, "/")
	b := Budget{Per: strings.TrimSpace(per)}
	if !ok || b.Per != "day" && b.Per != "week" && b.Per != "month" {
		return Budget{}, fmt.Errorf("budget %q: names no period; write for example 500GB/day, 2TB/week or 20TB/month", s)
	}
	var err error
	b.Bytes, err = quantity.ParseBytes(size)
	return b, err
}

// String prints a budget as ParseBudget reads it; "none" when there is none.
func (b Budget) String() string {
	if b.Bytes == 0 {
		return "none"
	}
	return quantity.FormatBytes(b.Bytes) + "/" + b.Per
}

// Period is the beginning of the period in which now lies.
func (b Budget) Period(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	switch b.Per {
	case "week":
		d -= (int(now.UTC().Weekday()) + 6) % 7
	case "month":
		d = 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
