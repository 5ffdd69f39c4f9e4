package httpfront

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Overview is what the page shows.
type Overview struct {
	Title     string        // what and where
	Up        time.Duration // since the start
	Open      bool          // serves any swarm, not only those of a folder
	Interval  time.Duration
	Announces uint64  // since the start
	Rate      float64 // announces a second, lately
	Swarms    []Swarm // in the order of the page
	Places    bool    // a topology is known
}

// Swarm is one line of the page.
type Swarm struct {
	Hash      string // hex
	Name      string // raw bytes; empty when not known
	Version   string // "v1", "v2", "hybrid"; empty when not known
	File      string // metafile to be had; empty when none
	Size      int64  // bytes of content; below zero when not known
	Seeds     int
	Partial   int // peers that want no more, but have not all (BEP 21)
	Leeches   int
	Completed int64
	Down, Up  int64         // bytes received and sent, as peers say
	Idle      time.Duration // since the last announce; below zero: never
	Places    []PlaceCount  // peers by data centre, those that have any
	Ledger    *Ledger       // nil: no peer has told what it moved
	Homes     []Home        // hosts with several addresses, at most some
	Deaf      []DeafPeer    // those that the tracker could not connect to, for longest first
}

// Home is a host with several addresses.
type Home struct {
	Peer      string        `json:"peer"` // as everybody is told of it
	Addresses []HomeAddress `json:"addresses"`
}

// HomeAddress is one of its addresses, and whether the tracker could connect to it.
type HomeAddress struct {
	Net     string `json:"network,omitempty"` // none: the one for everybody
	Address string `json:"address"`
	State   string `json:"connect_back,omitempty"` // reached, refused, no answer, no route, ...; none: not looked at
}

// DeafPeer is a peer that the tracker could not connect to.
type DeafPeer struct {
	Peer    string `json:"peer"`    // address and port
	Seconds int64  `json:"seconds"` // since the first try
	Why     string `json:"why"`     // refused, no answer, no route, ...
}

// How many of them are listed on the page.
const (
	shownDeaf  = 20
	shownHomes = 50
)

// PlaceCount is the number of peers in a data centre.
type PlaceCount struct {
	Name  string
	Peers int
}

// Ledger is what shoal peers have moved between data centres, as they say.
type Ledger struct {
	Size   int64      `json:"size"`          // bytes of the content
	Source float64    `json:"source_copies"` // that sources have sent
	Sites  []Site     `json:"datacenters"`
	Flows  []Flow     `json:"flows"`
	Slow   []SlowHost `json:"slow"` // those that will be done last, the last one first
}

// Site is a data centre of a Ledger.
type Site struct {
	Name   string  `json:"name"`
	Hosts  int     `json:"hosts"`
	Done   int     `json:"done"`
	Copies float64 `json:"copies"` // that came in from others
}

// Flow is what went from one data centre to another.
type Flow struct {
	Link   string  `json:"link"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	Bytes  int64   `json:"bytes"`
	Copies float64 `json:"copies"`
}

// SlowHost is a host that lacks something.
type SlowHost struct {
	Host       string  `json:"host"`
	Datacenter string  `json:"datacenter"`
	Have       float64 `json:"have"` // share of the content
	Rate       int64   `json:"rate"` // bytes a second
	Why        string  `json:"why"`  // limit, disk, cpu, nobody, unreachable, silent; empty: not known
}

//go:embed page.html
var pageHTML string

const perPage = 200

// view is the data of one page.
type view struct {
	*Overview
	Rows             []Swarm
	Seeds, Leeches   int
	Completed, Moved int64
	Page, Pages      int // from 1
}

func newPage() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"bytes": formatBytes,
		"ago":   formatAgo,
		"text":  readable,
		"link":  metafilePath,
		"per":   func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) },
		"add":   func(a, b int) int { return a + b },
		"few":   func(all []Home) []Home { return all[:min(len(all), shownHomes)] },
		"some":  func(all []DeafPeer) []DeafPeer { return all[:min(len(all), shownDeaf)] },
	}).Parse(pageHTML))
}

func (f *Front) page(w http.ResponseWriter, r *http.Request, now time.Time) {
	o := f.o.Overview(now)
	v := view{Overview: o, Pages: max(1, (len(o.Swarms)+perPage-1)/perPage)}
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	v.Page = min(max(n, 1), v.Pages)
	v.Rows = o.Swarms[(v.Page-1)*perPage : min(v.Page*perPage, len(o.Swarms))]
	for i := range o.Swarms {
		s := &o.Swarms[i]
		v.Seeds += s.Seeds
		v.Leeches += s.Partial + s.Leeches
		v.Completed += s.Completed
		v.Moved += s.Down
	}
	var buf bytes.Buffer
	if err := f.html.Execute(&buf, v); err != nil {
		f.o.Log.Error("the page cannot be made", "err", err)
		http.Error(w, "the page cannot be made; the log tells why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(buf.Bytes()) // nobody is left to tell when the client is gone
}

// ledgers serves what the page shows of what was moved, as JSON.
func (f *Front) ledgers(w http.ResponseWriter, now time.Time) {
	type doc struct {
		InfoHash string `json:"info_hash"`
		Name     string `json:"name,omitempty"`
		*Ledger
		Deaf  []DeafPeer `json:"unreachable,omitempty"`
		Homes []Home     `json:"multihomed,omitempty"`
	}
	out := struct {
		Swarms []doc `json:"swarms"`
	}{[]doc{}}
	for _, s := range f.o.Overview(now).Swarms {
		if s.Ledger != nil || len(s.Deaf)+len(s.Homes) > 0 {
			out.Swarms = append(out.Swarms, doc{s.Hash, readable(s.Name), s.Ledger, s.Deaf, s.Homes})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out) // nobody is left to tell when the client is gone
}

const metafileRoot = "/torrents/"

// metafilePath is where a metafile is served.
func metafilePath(file string) string { return metafileRoot + url.PathEscape(file) }

// metafile serves /torrents/NAME. Names are looked up, never joined to a path.
func (f *Front) metafile(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, metafileRoot)
	if !ok || name == "" {
		http.NotFound(w, r)
		return
	}
	file, err := f.o.Metafile(name)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		f.o.Log.Error("a metafile cannot be read", "file", name, "err", err)
		http.Error(w, "this metafile cannot be read just now", http.StatusInternalServerError)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		http.Error(w, "this metafile cannot be read just now", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-bittorrent")
	w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(name))
	http.ServeContent(w, r, "", info.ModTime(), file)
}

// formatBytes writes a size with three digits: 999 B, 1.00 KiB, 12.3 MiB.
func formatBytes(n int64) string {
	if n < 0 {
		return "?"
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), -1
	for v >= 999.5 {
		v /= 1024
		unit++
	}
	digits := 2
	switch {
	case v >= 99.95:
		digits = 0
	case v >= 9.995:
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, v, "KMGTPE"[unit])
}

func formatAgo(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// readable makes a raw name fit to show; html/template does the escaping.
func readable(s string) string {
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.Trim(strconv.QuoteToGraphic(s), `"`)
}
