package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"shoal"
)

// Webhook is a URL that gets each notice as a POST.
type Webhook struct {
	URL    string
	Secret string      // signs the body; "" does not
	TLS    *tls.Config // nil is the system's roots
	Filter Filter
}

// payload is the body: text is what Slack, Mattermost and others show.
type payload struct {
	Text   string       `json:"text"`
	Notice shoal.Notice `json:"notice"`
}

const webhookTimeout = 15 * time.Second

func (w *Webhook) filter() Filter { return w.Filter }

// String leaves out the path, which is the secret of many services.
func (w *Webhook) String() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return "webhook"
	}
	return "webhook at " + u.Host
}

func (w *Webhook) check() error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("the URL of a webhook begins with https:// and a host")
	}
	return nil
}

func (w *Webhook) send(ctx context.Context, n shoal.Notice) error {
	text := n.Text
	if n.Link != "" {
		text += "\n" + n.Link
	}
	data, err := json.Marshal(payload{text, n})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(data))
	if err != nil {
		return errors.New("the URL is no good") // the error would have it in full
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "shoal")
	req.Header.Set("Idempotency-Key", n.ID)
	if w.Secret != "" {
		mac := hmac.New(sha256.New, []byte(w.Secret))
		_, _ = mac.Write(data) // never fails (hash.Hash)
		req.Header.Set("Shoal-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	// Notices are few: no connection is kept, and a redirect is an error, for a
	// POST that follows one loses its body.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: w.TLS}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // only for the message
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it answers %s: %s", resp.Status, oneLine(string(answer)))
	}
	return nil
}
