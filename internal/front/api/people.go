package api

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"shoal"
)

// scope refuses an app that the caller's token is not for.
func (c *call) scope(app string) error { return shoal.Allowed(c.Principal, c.do, app, c.Name) }

// sees tells whether an app may be shown to the caller.
func (c *call) sees(app string) bool {
	return shoal.Allowed(c.Principal, shoal.ToLook, app, "") == nil
}

func (s *Server) releases(c *call) (any, error) {
	list, err := s.Fleet.Releases(c.ctx(), c.r.URL.Query().Get("app"))
	list = visible(list, func(r shoal.Release) bool { return c.sees(r.App) })
	for i := range list {
		list[i].Held = s.Held != nil && s.Held(list[i].App, list[i].Version)
	}
	return list, err
}

// visible keeps what a scope shows, and makes none an empty list of JSON.
func visible[T any](list []T, show func(T) bool) []T {
	out := make([]T, 0, len(list))
	for _, v := range list {
		if show(v) {
			out = append(out, v)
		}
	}
	return out
}

func (s *Server) wish(c *call) (r shoal.Rollout, err error) {
	if err := c.decode(&r, true); err != nil {
		return r, err
	}
	return r, c.scope(r.App)
}

func (s *Server) plan(c *call) (any, error) {
	r, err := s.wish(c)
	if err != nil {
		return nil, err
	}
	return s.Fleet.Plan(c.ctx(), r)
}

func (s *Server) push(c *call) (any, error) {
	r, err := s.wish(c)
	if err != nil {
		return nil, err
	}
	if r.IgnoreFreeze {
		// Whoever may not set a freeze may not step over one.
		who := c.Principal
		who.Apps = nil
		if err := shoal.Allowed(who, shoal.ToFreeze, "", ""); err != nil {
			return nil, fmt.Errorf("a rollout that ignores freezes: %w", err)
		}
	}
	return s.Fleet.Push(c.ctx(), r)
}

func (s *Server) rollouts(c *call) (any, error) {
	q := c.r.URL.Query()
	list, err := s.Fleet.Rollouts(c.ctx(), shoal.RolloutQuery{App: q.Get("app"), Over: q.Get("over") == "true"})
	return visible(list, func(p shoal.Progress) bool { return c.sees(p.Rollout.App) }), err
}

func (s *Server) rollout(c *call) (any, error) {
	id, err := c.number("id")
	if err != nil {
		return nil, err
	}
	p, err := s.Fleet.Rollout(c.ctx(), id)
	if err == nil {
		err = c.scope(p.Rollout.App)
	}
	return p, err
}

// commandOf makes the handler of a command.
func commandOf(do shoal.Deed) func(*Server, *call) (any, error) {
	return func(s *Server, c *call) (any, error) {
		id, err := c.number("id")
		if err != nil {
			return nil, err
		}
		var o order
		if err := c.decode(&o, true); err != nil {
			return nil, err
		}
		p, err := s.Fleet.Rollout(c.ctx(), id)
		if err != nil {
			return nil, err
		}
		if err := shoal.Allowed(c.Principal, do, p.Rollout.App, p.Rollout.By); err != nil {
			return nil, err
		}
		return s.Fleet.Command(c.ctx(), id, shoal.Command{Do: string(do), Reason: o.Reason, Wave: o.Wave, Host: o.Host})
	}
}

func (s *Server) hosts(c *call) (any, error) {
	to, err := shoal.ParseSelector(cmp.Or(c.r.URL.Query().Get("to"), shoal.All))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	list, err := s.Fleet.Hosts(c.ctx(), to)
	if err != nil || len(c.Apps) == 0 {
		return visible(list, func(shoal.Host) bool { return true }), err
	}
	out := slices.Clone(list)
	for i := range out {
		out[i].Report.Apps = visible(out[i].Report.Apps, func(a shoal.AppReport) bool { return c.sees(a.App) })
	}
	return out, nil
}

func (s *Server) forget(c *call) (any, error) {
	return nil, s.Fleet.Forget(c.ctx(), c.r.PathValue("host"))
}

func (s *Server) why(c *call) (any, error) {
	list, err := s.Fleet.Why(c.ctx(), c.r.PathValue("host"))
	return visible(list, func(w shoal.Why) bool { return w.App == "" || c.sees(w.App) }), err
}

func (s *Server) situation(c *call) (any, error) { return s.Fleet.Situation(c.ctx()) }

func (s *Server) stopAll(c *call) (any, error) {
	var q reason
	if err := c.decode(&q, true); err != nil {
		return nil, err
	}
	return nil, s.Fleet.Stop(c.ctx(), q.Reason)
}

func (s *Server) startAll(c *call) (any, error) { return nil, s.Fleet.Start(c.ctx()) }

func (s *Server) freeze(c *call) (any, error) {
	var f shoal.Freeze
	if err := c.decode(&f, true); err != nil {
		return nil, err
	}
	return nil, s.Fleet.Freeze(c.ctx(), f)
}

func (s *Server) thaw(c *call) (any, error) {
	from, err := time.Parse(time.RFC3339Nano, c.r.PathValue("from"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shoal.ErrInvalid, err)
	}
	return nil, s.Fleet.Thaw(c.ctx(), from)
}

func (s *Server) tokens(c *call) (any, error) {
	list, err := s.Access.Tokens(c.ctx())
	return visible(list, func(shoal.Token) bool { return true }), err
}

func (s *Server) createToken(c *call) (any, error) {
	var t shoal.Token
	if err := c.decode(&t, true); err != nil {
		return nil, err
	}
	secret, made, err := s.Access.CreateToken(c.ctx(), t)
	return NewToken{secret, made, s.Authority.Pin().String()}, err
}

func (s *Server) revokeToken(c *call) (any, error) {
	return nil, s.Access.RevokeToken(c.ctx(), c.r.PathValue("id"))
}

func (s *Server) audit(c *call) (any, error) {
	var q shoal.AuditQuery
	for name, to := range map[string]*uint64{"after": &q.After, "rollout": &q.Rollout} {
		n, err := c.number(name)
		if err != nil {
			return nil, err
		}
		*to = n
	}
	limit, err := c.number("limit")
	if err != nil || limit > maxAudit {
		return nil, cmp.Or(err, fmt.Errorf("%w: limit=%d is more than %d", shoal.ErrInvalid, limit, maxAudit))
	}
	q.Limit = int(limit)
	list, err := s.Access.Audit(c.ctx(), q)
	return visible(list, func(shoal.AuditEntry) bool { return true }), err
}

// maxAudit bounds an answer; the rest is asked for by after.
const maxAudit = 10_000
