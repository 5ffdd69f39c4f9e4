package announcer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"shoal/internal/bt/announce"
)

const (
	maxBody      = 1 << 20
	maxRedirects = 5
)

// newTransport makes a transport that connects over one family only. It uses no
// proxy: behind one the tracker would see an address that is not ours.
func newTransport(fam family, local netip.Addr, secure func(host string) *tls.Config) *http.Transport {
	d := dialer("tcp", local)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, fam.network("tcp"), addr)
	}
	t := &http.Transport{
		DialContext:            dial,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        4,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if secure != nil {
		t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{NetDialer: d, Config: secure(host)}
			return d.DialContext(ctx, fam.network("tcp"), addr)
		}
	}
	return t
}

// announceHTTP is one announce by HTTP (BEP 3, 7, 23). ctx bounds all of it.
func (c *client) announceHTTP(ctx context.Context, fam family, base string, r announce.Request) (announce.Response, error) {
	full := string(r.AppendURL(nil, base))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, full, nil)
	if err != nil {
		return announce.Response{}, err
	}
	req.Header.Set("User-Agent", c.agent)
	hc := http.Client{Transport: c.http[fam], CheckRedirect: checkRedirect}
	resp, err := hc.Do(req)
	if err != nil {
		return announce.Response{}, shorten(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return announce.Response{}, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxBody {
		return announce.Response{}, fmt.Errorf("the answer has more than %d bytes", maxBody)
	}
	return parseHTTP(resp, body)
}

// parseHTTP reads an answer; trackers send their refusals with any status.
func parseHTTP(resp *http.Response, body []byte) (announce.Response, error) {
	a, err := announce.ParseReply(body)
	if f := refusal(err); f != nil {
		f.RetryIn = max(f.RetryIn, retryAfter(resp))
		return a, f
	}
	if resp.StatusCode != http.StatusOK {
		return a, &announce.Failure{Reason: "HTTP status " + strconv.Itoa(resp.StatusCode), RetryIn: retryAfter(resp)}
	}
	return a, err
}

// retryAfter is how long an overloaded server wants to be left alone; 0 if it does not say.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 24)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// shorten drops the URL, which holds binary hashes, from an error of net/http.
func shorten(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
