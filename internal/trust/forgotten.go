package trust

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal"
	"shoal/internal/atomicfile"
)

const (
	// overlap is how far the clocks of two servers may be apart for a host to
	// hear all the same of everybody that either of them has forgotten.
	overlap      = time.Hour
	maxForgotten = 64 << 20 // bytes of the file
)

// Forgotten are the hosts that the fleet has forgotten, as far as this host has
// heard: their certificates are good for weeks by themselves. It is kept in a
// file, because a host that starts while no server can be reached must not let
// them in again.
type Forgotten struct {
	file string

	mu sync.Mutex
	at map[string]time.Time // by host: certificates from until then are refused
}

// OpenForgotten reads a file; "" keeps none. One that cannot be understood is as
// good as none: After then asks for everything.
func OpenForgotten(file string) (*Forgotten, error) {
	f := &Forgotten{file: file, at: map[string]time.Time{}}
	if file == "" {
		return f, nil
	}
	r, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []shoal.ForgottenHost
	if json.NewDecoder(io.LimitReader(r, maxForgotten)).Decode(&list) == nil {
		f.take(list, time.Now())
	}
	return f, nil
}

// After is from when on hosts that were forgotten may not be known here.
func (f *Forgotten) After() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var newest time.Time
	for _, at := range f.at {
		if at.After(newest) {
			newest = at
		}
	}
	if newest.IsZero() {
		return newest
	}
	return newest.Add(-overlap)
}

// Learn takes in whom the fleet has forgotten, and tells whether that is news.
// It holds at once, and over a restart unless there is an error.
func (f *Forgotten) Learn(list []shoal.ForgottenHost, now time.Time) (news bool, err error) {
	if news = f.take(list, now); !news || f.file == "" {
		return news, nil
	}
	f.mu.Lock()
	list = make([]shoal.ForgottenHost, 0, len(f.at))
	for host, at := range f.at {
		list = append(list, shoal.ForgottenHost{Host: host, At: at})
	}
	f.mu.Unlock()
	slices.SortFunc(list, func(a, b shoal.ForgottenHost) int { return strings.Compare(a.Host, b.Host) })
	text, err := json.Marshal(list)
	if err == nil {
		err = atomicfile.Write(f.file, text, 0o600)
	}
	return news, err
}

// take adds to what is known, and drops those whose certificates have expired.
func (f *Forgotten) take(list []shoal.ForgottenHost, now time.Time) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range list {
		if one.At.After(f.at[one.Host]) && !Past(one.At, now) && (len(f.at) < shoal.MaxForgotten || !f.at[one.Host].IsZero()) {
			f.at[one.Host], news = one.At, true
		}
	}
	maps.DeleteFunc(f.at, func(_ string, at time.Time) bool { return Past(at, now) })
	return news
}

// Past tells that every certificate from before a time has expired, so that it
// does not matter any more who was forgotten then.
func Past(at, now time.Time) bool { return now.Sub(at) > hostLife+backdate }

// Check refuses the certificate of a host that was forgotten after it was given
// out. That it is valid has to be checked before.
func (f *Forgotten) Check(leaf *x509.Certificate) error {
	return CheckForgotten(leaf, func(host string) (time.Time, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.at[host], nil
	})
}

// CheckForgotten is that for somebody who knows when each host was forgotten.
func CheckForgotten(leaf *x509.Certificate, when func(host string) (time.Time, error)) error {
	id, err := IdentityOf(leaf)
	if err != nil || id.Kind != Host {
		return err
	}
	at, err := when(id.Name)
	if err != nil {
		return err
	}
	if !at.IsZero() && !id.Issued.After(at) {
		return fmt.Errorf("host %s was forgotten at %s", id.Name, at.UTC().Format(time.RFC3339))
	}
	return nil
}
