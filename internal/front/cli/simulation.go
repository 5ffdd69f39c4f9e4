package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"shoal/internal/quantity"
	"shoal/internal/simulate"
)

// simulationDoc is the document of simulate. Times are in seconds, sizes in bytes.
type simulationDoc struct {
	Event string `json:"event"`
	File  string `json:"file"`
	Size  int64  `json:"size"`
	simulated
	WithFailures *simulated `json:"with_failures,omitempty"`
}

// simulated is what one run has shown.
type simulated struct {
	Bound        float64       `json:"bound"`
	First        float64       `json:"first"`
	Median       float64       `json:"median"`
	Last         float64       `json:"last"`
	Hosts        int           `json:"hosts"`
	Done         int           `json:"done"`
	SourceCopies float64       `json:"source_copies"`
	Sites        []simSiteDoc  `json:"sites"`
	Links        []simLinkDoc  `json:"links"`
	Failures     []failureDoc  `json:"failures,omitempty"`
	Notes        []string      `json:"notes,omitempty"`
	Scale        simScaleDoc   `json:"scale"`
	took         time.Duration // of this machine
}

type simSiteDoc struct {
	Name   string  `json:"name"`
	Hosts  int     `json:"hosts"`
	Done   int     `json:"done"`
	Copies float64 `json:"copies"`
	First  float64 `json:"first"`
	Median float64 `json:"median"`
	Last   float64 `json:"last"`
}

type simLinkDoc struct {
	Name   string  `json:"name"`
	A      string  `json:"a"`
	B      string  `json:"b"`
	Rate   int64   `json:"rate"` // that transfers may use; 0: no limit
	AB     int64   `json:"a_to_b"`
	BA     int64   `json:"b_to_a"`
	Budget string  `json:"budget"`
	Share  float64 `json:"budget_share"` // that the busier direction takes
}

type failureDoc struct {
	What  string  `json:"what"`
	Name  string  `json:"name,omitempty"`
	Share float64 `json:"share"`
	Since float64 `json:"since"`
	For   float64 `json:"for,omitempty"` // 0: for good
}

type simScaleDoc struct {
	Pieces      int     `json:"pieces"`
	PieceLength int     `json:"piece_length"`
	Time        float64 `json:"time"` // real seconds a simulated one stands for
}

func describeSimulation(r *simulate.Result) simulated {
	d := simulated{
		Bound: r.Bound.Seconds(), First: r.First.Seconds(), Median: r.Median.Seconds(), Last: r.Last.Seconds(),
		Hosts: r.Hosts, Done: r.Done, SourceCopies: r.SourceCopies, Notes: r.Notes, took: r.Took,
		Sites: []simSiteDoc{}, Links: []simLinkDoc{}, Scale: simScaleDoc{r.Scale.Pieces, r.Scale.PieceLength, r.Scale.Time},
	}
	for _, s := range r.Sites {
		d.Sites = append(d.Sites, simSiteDoc{s.Name, s.Hosts, s.Done, s.Copies, s.First.Seconds(), s.Median.Seconds(), s.Last.Seconds()})
	}
	for _, l := range r.Links {
		d.Links = append(d.Links, simLinkDoc{l.Name, l.A, l.B, l.Rate, l.AB, l.BA, l.Budget.String(), l.Share()})
	}
	for _, b := range r.Broken {
		d.Failures = append(d.Failures, failureDoc{b.What, b.Name, b.At, b.Since.Seconds(), b.For.Seconds()})
	}
	return d
}

// text is the document for people.
func (d simulationDoc) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s in %s\n\n", quantity.FormatBytes(d.Size), countText(d.Hosts, "host"), countText(len(d.Sites), "data centre"))
	d.simulated.write(&b, nil)
	if f := d.WithFailures; f != nil {
		b.WriteString("\nWITH FAILURES\n")
		for _, x := range f.Failures {
			fmt.Fprintf(&b, "%s %s fails after %s, at %g %%%s\n", x.What, x.Name, clock(x.Since), 100*x.Share, lasting(x.For))
		}
		if len(f.Failures) == 0 {
			b.WriteString("none has happened\n")
		}
		b.WriteString("\n")
		f.write(&b, &d.simulated)
	}
	fmt.Fprintf(&b, "\nscaled: %s of %s stand for the release, %.3g s for a second; took %s\n", countText(d.Scale.Pieces, "piece"),
		quantity.FormatBytes(int64(d.Scale.PieceLength)), d.Scale.Time, d.took.Round(100*time.Millisecond))
	b.WriteString("bytes are content, headers add 2 to 5 %; docs/simulate.md says what is assumed\n")
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func lasting(seconds float64) string {
	if seconds == 0 {
		return ", for good"
	}
	return ", for " + clock(seconds)
}

// write is one run as tables, beside an undisturbed one if there is one.
func (d *simulated) write(b *strings.Builder, plain *simulated) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name string, t float64, than float64) {
		switch {
		case t == 0:
			fmt.Fprintf(w, "%s\t-\n", name)
		case plain != nil && than > 0:
			fmt.Fprintf(w, "%s\t%s\t%+.0f %%\n", name, clock(t), 100*(t/than-1))
		default:
			fmt.Fprintf(w, "%s\t%s\t%.2f of the bound\n", name, clock(t), t/d.Bound)
		}
	}
	was := simulated{}
	if plain != nil {
		was = *plain
	}
	row("first host", d.First, was.First)
	row("median host", d.Median, was.Median)
	row("last host", d.Last, was.Last)
	fmt.Fprintf(w, "complete\t%d of %d hosts\n", d.Done, d.Hosts)
	fmt.Fprintf(w, "source sends\t%.2f copies\n", d.SourceCopies)
	w.Flush()
	b.WriteString("\n")
	w = tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATA CENTRE\tHOSTS\tDONE\tCOPIES IN\tFIRST\tMEDIAN\tLAST")
	for _, s := range d.Sites {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%s\t%s\t%s\n", s.Name, s.Hosts, s.Done, s.Copies, clock(s.First), clock(s.Median), clock(s.Last))
	}
	w.Flush()
	if len(d.Links) == 0 {
		return
	}
	b.WriteString("\n")
	w = tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LINK\tFROM A\tTO B\tA TO B\tB TO A\tMAY CARRY\tBUDGET\tTAKES")
	for _, l := range d.Links {
		takes := "-"
		if l.Share > 0 {
			takes = fmt.Sprintf("%.1f %%", 100*l.Share)
			if l.Share > 1 {
				takes += " OVER"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.A, l.B, quantity.FormatBytes(round3(l.AB)), quantity.FormatBytes(round3(l.BA)),
			knownRate(l.Rate), l.Budget, takes)
	}
	w.Flush()
}

// round3 keeps three digits: a prediction has no more.
func round3(n int64) int64 {
	unit := int64(1)
	for n/unit >= 1000 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

// clock is a time as people say it, to the second or, below a minute, to a tenth.
func clock(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	grain := time.Second
	if seconds < 60 {
		grain = 100 * time.Millisecond
	}
	return time.Duration(seconds * 1e9).Round(grain).String()
}
