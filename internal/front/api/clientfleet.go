package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"shoal"
)

// The client is the same to its callers as the controller itself.
var (
	_ shoal.Fleet   = (*Client)(nil)
	_ shoal.Access  = (*Client)(nil)
	_ shoal.Station = (*Client)(nil)
)

func get(path string) ask { return ask{method: http.MethodGet, path: path, again: true} }

func post(path string) ask { return ask{method: http.MethodPost, path: path} }

func (a ask) with(key, value string) ask {
	if a.query == nil {
		a.query = url.Values{}
	}
	if value != "" {
		a.query.Add(key, value)
	}
	return a
}

// part makes one element of a path of a name that may hold anything.
func part(s string) string { return url.PathEscape(s) }

// Register implements shoal.Catalog. The same again does nothing, so it may be
// sent twice.
func (c *Client) Register(ctx context.Context, u shoal.Upload) (r shoal.Release, err error) {
	a := ask{
		method: http.MethodPut, path: "/v1/releases/" + part(u.App) + "/" + part(u.Version), again: true, body: u.Metafile, limit: time.Hour,
		header: http.Header{"Content-Type": {typeMetafile}, headSignature: {base64.StdEncoding.EncodeToString(u.Signature)}},
	}.with("serial", strconv.FormatUint(u.Serial, 10))
	for _, p := range u.Peers {
		a = a.with("peer", p)
	}
	if u.Pending {
		a = a.with("pending", "true")
	}
	body, _, err := c.do(ctx, a)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	return r, err
}

// Releases implements shoal.Catalog.
func (c *Client) Releases(ctx context.Context, app string) (list []shoal.Release, err error) {
	err = c.call(ctx, get("/v1/releases").with("app", app), nil, &list)
	return list, err
}

// Plan implements shoal.Campaigns.
func (c *Client) Plan(ctx context.Context, r shoal.Rollout) (p shoal.Plan, err error) {
	a := post("/v1/plan")
	a.again = true
	err = c.call(ctx, a, r, &p)
	return p, err
}

// Push implements shoal.Campaigns.
func (c *Client) Push(ctx context.Context, r shoal.Rollout) (p shoal.Progress, err error) {
	err = c.call(ctx, post("/v1/rollouts"), r, &p)
	return p, err
}

// Rollouts implements shoal.Campaigns.
func (c *Client) Rollouts(ctx context.Context, q shoal.RolloutQuery) (list []shoal.Progress, err error) {
	a := get("/v1/rollouts").with("app", q.App)
	if q.Over {
		a = a.with("over", "true")
	}
	err = c.call(ctx, a, nil, &list)
	return list, err
}

func rolloutPath(id uint64) string { return "/v1/rollouts/" + strconv.FormatUint(id, 10) }

// Rollout implements shoal.Campaigns.
func (c *Client) Rollout(ctx context.Context, id uint64) (p shoal.Progress, err error) {
	err = c.call(ctx, get(rolloutPath(id)), nil, &p)
	return p, err
}

// Command implements shoal.Campaigns. Each can be given twice without harm.
func (c *Client) Command(ctx context.Context, id uint64, cmd shoal.Command) (p shoal.Progress, err error) {
	a := post(rolloutPath(id) + "/" + part(cmd.Do))
	a.again = true
	err = c.call(ctx, a, order{cmd.Reason, cmd.Wave, cmd.Host}, &p)
	return p, err
}

// Hosts implements shoal.Inventory.
func (c *Client) Hosts(ctx context.Context, to shoal.Selector) (list []shoal.Host, err error) {
	err = c.call(ctx, get("/v1/hosts").with("to", to.String()), nil, &list)
	return list, err
}

// Forget implements shoal.Inventory.
func (c *Client) Forget(ctx context.Context, host string) error {
	return c.call(ctx, ask{method: http.MethodDelete, path: "/v1/hosts/" + part(host), again: true}, nil, nil)
}

// Why implements shoal.Inventory.
func (c *Client) Why(ctx context.Context, host string) (list []shoal.Why, err error) {
	err = c.call(ctx, get("/v1/hosts/"+part(host)+"/why"), nil, &list)
	return list, err
}

// Stop implements shoal.Brakes.
func (c *Client) Stop(ctx context.Context, why string) error {
	a := post("/v1/stop")
	a.again = true
	return c.call(ctx, a, reason{why}, nil)
}

// Start implements shoal.Brakes.
func (c *Client) Start(ctx context.Context) error { return c.call(ctx, post("/v1/start"), nil, nil) }

// Situation implements shoal.Brakes.
func (c *Client) Situation(ctx context.Context) (s shoal.Situation, err error) {
	err = c.call(ctx, get("/v1/situation"), nil, &s)
	return s, err
}

// Freeze implements shoal.Brakes.
func (c *Client) Freeze(ctx context.Context, f shoal.Freeze) error {
	return c.call(ctx, post("/v1/freezes"), f, nil)
}

// Thaw implements shoal.Brakes.
func (c *Client) Thaw(ctx context.Context, from time.Time) error {
	return c.call(ctx, ask{method: http.MethodDelete, path: "/v1/freezes/" + part(from.Format(time.RFC3339Nano))}, nil, nil)
}

// CreateToken implements shoal.Access.
func (c *Client) CreateToken(ctx context.Context, t shoal.Token) (secret string, made shoal.Token, err error) {
	n, err := c.NewToken(ctx, t)
	return n.Secret, n.Token, err
}

// NewToken is CreateToken with all that its user needs.
func (c *Client) NewToken(ctx context.Context, t shoal.Token) (n NewToken, err error) {
	err = c.call(ctx, post("/v1/tokens"), t, &n)
	return n, err
}

// Tokens implements shoal.Access.
func (c *Client) Tokens(ctx context.Context) (list []shoal.Token, err error) {
	err = c.call(ctx, get("/v1/tokens"), nil, &list)
	return list, err
}

// RevokeToken implements shoal.Access.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, ask{method: http.MethodDelete, path: "/v1/tokens/" + part(id)}, nil, nil)
}

// Audit implements shoal.Access.
func (c *Client) Audit(ctx context.Context, q shoal.AuditQuery) (list []shoal.AuditEntry, err error) {
	a := get("/v1/audit")
	for name, n := range map[string]uint64{"after": q.After, "rollout": q.Rollout, "limit": uint64(max(q.Limit, 0))} {
		if n > 0 {
			a = a.with(name, strconv.FormatUint(n, 10))
		}
	}
	err = c.call(ctx, a, nil, &list)
	return list, err
}

// Enroll implements shoal.Station. A client with a certificate renews it; the
// connections that were made with the old one are let go.
func (c *Client) Enroll(ctx context.Context, e shoal.Enrollment) (made shoal.Credentials, err error) {
	a := post("/v1/enroll")
	a.again, a.token = true, e.Token
	e.Token = ""
	err = c.call(ctx, a, e, &made)
	c.Close()
	return made, err
}

// Hello implements shoal.Station.
func (c *Client) Hello(ctx context.Context, h shoal.Hello) (w shoal.Welcome, err error) {
	a := post("/v1/agent/hello")
	a.again = true
	err = c.call(ctx, a, h, &w)
	return w, err
}

// Watch implements shoal.Station. The host is who the certificate says.
func (c *Client) Watch(ctx context.Context, _ string, since uint64) (o shoal.Orders, err error) {
	a := get("/v1/agent/orders").with("since", strconv.FormatUint(since, 10))
	a.limit = shoal.WatchFor + answerLimit/2
	err = c.call(ctx, a, nil, &o)
	return o, err
}

// ForgottenSince are the hosts that were forgotten after a time.
func (c *Client) ForgottenSince(ctx context.Context, after time.Time) (list []shoal.ForgottenHost, err error) {
	a := get("/v1/forgotten")
	if !after.IsZero() {
		a = a.with("after", after.UTC().Format(time.RFC3339Nano))
	}
	err = c.call(ctx, a, nil, &list)
	return list, err
}

// Report implements shoal.Station.
func (c *Client) Report(ctx context.Context, r shoal.Report) error {
	a := post("/v1/agent/report")
	a.again = true
	return c.call(ctx, a, r, nil)
}

// Bundle implements shoal.Station.
func (c *Client) Bundle(ctx context.Context, app, version string) (shoal.Bundle, error) {
	a := get("/v1/agent/releases/" + part(app) + "/" + part(version))
	a.limit = time.Hour
	body, head, err := c.do(ctx, a)
	if err != nil {
		return shoal.Bundle{}, err
	}
	b := shoal.Bundle{App: app, Version: version, Metafile: body, Trackers: head.Values(headTracker)}
	if b.Serial, err = strconv.ParseUint(head.Get(headSerial), 10, 64); err != nil {
		return b, fmt.Errorf("%w: the answer lacks %s", shoal.ErrUnavailable, headSerial)
	}
	if b.Signature, err = base64.StdEncoding.DecodeString(head.Get(headSignature)); err != nil {
		return b, fmt.Errorf("%w: the answer's %s is no base64", shoal.ErrUnavailable, headSignature)
	}
	return b, nil
}
