package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"shoal"
	"shoal/internal/trust"
)

// ClientOptions say how to reach the control plane.
type ClientOptions struct {
	Servers []string // https URLs; any of them will do
	Token   string   // "" with a Certificate
	Anchor  trust.Anchor
	// Certificate is shown to the server when there is no token; nil: none.
	Certificate func() (*tls.Certificate, error)
	// Patient clients try again until their context ends when no server answers,
	// with pauses that grow; agents do. That none of those who answer is a server
	// of the fleet does not change with time: it ends the call.
	Patient bool
	Log     *slog.Logger // says what a patient client waits for; nil: nobody is told
}

// Bounds of a client.
const (
	dialLimit    = 5 * time.Second
	answerLimit  = time.Minute // for all but watches and metafiles
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
	maxServers   = 16
	maxAnswer    = 256 << 20
)

// Client is the control plane as it looks from elsewhere. It implements
// shoal.Fleet, shoal.Access and shoal.Station, and may be used by several
// goroutines.
type Client struct {
	o     ClientOptions
	urls  []*url.URL
	first atomic.Int64 // of urls: the one that answered last
	http  *http.Client
}

// NewClient makes a client. It does not connect yet.
func NewClient(o ClientOptions) (*Client, error) {
	if len(o.Servers) == 0 || len(o.Servers) > maxServers {
		return nil, fmt.Errorf("%w: %d servers are named, it has to be 1 to %d", shoal.ErrInvalid, len(o.Servers), maxServers)
	}
	c := &Client{o: o}
	for _, s := range o.Servers {
		u, err := ParseServer(s)
		if err != nil {
			return nil, err
		}
		c.urls = append(c.urls, u)
	}
	c.first.Store(rand.Int64N(int64(len(c.urls)))) // ten thousand agents spread
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext,
			TLSClientConfig: trust.ClientTLS(o.Anchor, o.Certificate), TLSHandshakeTimeout: headerLimit,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: watchPatience,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// ParseServer reads the URL of a server.
func ParseServer(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: server %.80q: write it as https://HOST:PORT, an IPv6 address in [brackets]", shoal.ErrInvalid, s)
	}
	u.Path = ""
	return u, nil
}

// Close lets go of connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ask is one request.
type ask struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
	limit        time.Duration // for the answer
	again        bool          // may be sent twice: it does the same
	token        string        // instead of the client's own
}

// Error is a refusal of the server: of a kind of package shoal, if it said one.
type Error struct {
	Kind   error
	Status int
	Text   string
	Advice string
}

func (e *Error) Error() string { return e.Text }

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// Hint is what the operator can do.
func (e *Error) Hint() string { return e.Advice }

// call asks for a JSON document; into may be nil.
func (c *Client) call(ctx context.Context, a ask, in, into any) error {
	if in != nil {
		var err error
		if a.body, err = json.Marshal(in); err != nil {
			return err
		}
		a.header = http.Header{"Content-Type": {"application/json"}}
	}
	body, _, err := c.do(ctx, a)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: the answer to %s: %w", shoal.ErrUnavailable, a.path, err)
	}
	return nil
}

// do asks one server after the other, the one first that answered last. One
// that cannot be reached, or says that it cannot now, leaves it to the next; so
// does one that fell silent, unless nobody knows whether it has done it and
// that would matter.
func (c *Client) do(ctx context.Context, a ask) (body []byte, head http.Header, err error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		start, strangers := int(c.first.Load()), 0
		for i := range c.urls {
			at := (start + i) % len(c.urls)
			var sent bool
			body, head, sent, err = c.once(ctx, c.urls[at], a)
			if err == nil || refused(err) || ctx.Err() != nil || sent && !a.again {
				if err == nil {
					c.first.Store(int64(at))
				}
				return body, head, err
			}
			if stranger := (*trust.Stranger)(nil); errors.As(err, &stranger) {
				strangers++
			}
		}
		if !c.o.Patient || !a.again || strangers == len(c.urls) {
			return nil, nil, err
		}
		wait := pause/2 + rand.N(pause)
		if c.o.Log != nil {
			c.o.Log.Warn("no server can be asked, tries again", "err", err, "again_in", wait.Round(time.Millisecond))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// refused tells that a server has answered, and that another one would say the same.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind != shoal.ErrUnavailable
}

// once asks one server. sent tells that it may have got the request, and may
// have acted on it.
func (c *Client) once(ctx context.Context, to *url.URL, a ask) (body []byte, head http.Header, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(a.limit, answerLimit))
	defer cancel()
	u := to.JoinPath(a.path)
	u.RawQuery = a.query.Encode()
	r, err := http.NewRequestWithContext(ctx, a.method, u.String(), bytes.NewReader(a.body))
	if err != nil {
		return nil, nil, false, err
	}
	for k, v := range a.header {
		r.Header[k] = v
	}
	if token := a.token; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	} else if c.o.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		var dial *net.OpError
		sent = !(errors.As(err, &dial) && dial.Op == "dial")
		return nil, nil, sent, unreachable(to, err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, true, unreachable(to, err)
	case len(body) > maxAnswer:
		return nil, nil, true, fmt.Errorf("%w: the answer of %s has more than %d bytes", shoal.ErrUnavailable, to.Host, maxAnswer)
	case res.StatusCode/100 != 2:
		// Unavailable means that nothing was done.
		return nil, nil, res.StatusCode != http.StatusServiceUnavailable, refusalOf(to, res, body)
	}
	return body, res.Header, true, nil
}

// unreachable says in one line who was asked, without the path and method that
// net/http puts before.
func unreachable(to *url.URL, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%w: the control plane at %s: %w", shoal.ErrUnavailable, to.Host, err)
}

func refusalOf(to *url.URL, res *http.Response, body []byte) error {
	var doc Refusal
	if json.Unmarshal(body, &doc) != nil || doc.Error == "" {
		return fmt.Errorf("%w: %s answers %s, and not as a shoal server does", shoal.ErrUnavailable, to.Host, res.Status)
	}
	e := &Error{Status: res.StatusCode, Text: doc.Error, Advice: doc.Hint}
	for _, k := range kinds() {
		if k.code == doc.Code {
			e.Kind = k.err
		}
	}
	if e.Kind == errWho {
		e.Kind = shoal.ErrDenied
	}
	return e
}

// Servers are where the control plane is.
func (c *Client) Servers() []*url.URL { return c.urls }
