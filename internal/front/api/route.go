package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"shoal"
)

// route is a row of the table: one thing that can be asked.
type route struct {
	method, pattern string // of http.ServeMux
	verb            string
	// do is what shoal.Allowed is asked about. The handler of a route whose app
	// stands in the body, or has to be looked up, asks again for that app; until
	// then own says that it may be allowed to those who have pushed it.
	do    shoal.Deed
	app   bool // it concerns an app and not the fleet
	own   bool
	about string // for docs/openapi.yaml
	query []string
	in    any // example of the body; nil: none; raw: a metafile
	out   any // of the answer; nil: none
	serve func(*Server, *call) (any, error)
}

// raw stands for a body that is no JSON but a metafile.
type raw struct{}

// toEnroll is the deed of those who come for a certificate: hosts that have a
// one-time token or renew, and machines that may register a release.
const toEnroll shoal.Deed = "enroll"

// may tells why a principal does not get through.
func (r route) may(p shoal.Principal) error {
	if r.do == toEnroll {
		if p.Role == shoal.Joiner || p.Role == shoal.Agent || shoal.Allowed(shoal.Principal{Name: p.Name, Role: p.Role}, shoal.ToRegister, "", "") == nil {
			return nil
		}
		return fmt.Errorf("%w: %q of role %q may not %s", shoal.ErrDenied, p.Name, p.Role, r.do)
	}
	if r.app {
		p.Apps = nil // the handler holds it to them
	}
	owner := ""
	if r.own {
		owner = p.Name // the handler looks whether that is so
	}
	return shoal.Allowed(p, r.do, "", owner)
}

// routes are all there is to ask, but for what Options.Members adds.
func routes() []route {
	return slices.Concat(catalogRoutes(), campaignRoutes(), hostRoutes(), brakeRoutes(), accessRoutes(), stationRoutes())
}

func catalogRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/releases", verb: "releases", do: shoal.ToLook, app: true, about: "Registered releases, the newest first.",
			query: []string{"app"}, out: []shoal.Release{}, serve: (*Server).releases},
		{method: http.MethodPut, pattern: "/v1/releases/{app}/{version}", verb: "register", do: shoal.ToRegister, app: true, about: "Register a release: the body is its metafile. The same again does nothing.",
			query: []string{"serial", "peer", "pending"}, in: raw{}, out: shoal.Release{}, serve: (*Server).register},
	}
}

func campaignRoutes() []route {
	rs := []route{
		{method: http.MethodPost, pattern: "/v1/plan", verb: "plan", do: shoal.ToPush, app: true, about: "What a rollout would do. Changes nothing.",
			in: shoal.Rollout{}, out: shoal.Plan{}, serve: (*Server).plan},
		{method: http.MethodPost, pattern: "/v1/rollouts", verb: "push", do: shoal.ToPush, app: true, about: "Start a rollout of a registered release.",
			in: shoal.Rollout{}, out: shoal.Progress{}, serve: (*Server).push},
		{method: http.MethodGet, pattern: "/v1/rollouts", verb: "rollouts", do: shoal.ToLook, app: true, about: "Rollouts under way, the newest first, without members; with over=true those too that are over.",
			query: []string{"app", "over"}, out: []shoal.Progress{}, serve: (*Server).rollouts},
		{method: http.MethodGet, pattern: "/v1/rollouts/{id}", verb: "rollout", do: shoal.ToLook, app: true, about: "A rollout with its hosts.",
			out: shoal.Progress{}, serve: (*Server).rollout},
	}
	for _, c := range commands() {
		rs = append(rs, route{method: http.MethodPost, pattern: "/v1/rollouts/{id}/" + string(c.do), verb: string(c.do), do: c.do, app: true, own: true, about: c.about,
			in: order{}, out: shoal.Progress{}, serve: commandOf(c.do)})
	}
	return rs
}

// command is a verb of shoal.Command.
type command struct {
	do    shoal.Deed
	about string
}

func commands() []command {
	return []command{
		{shoal.ToApprove, "Let a wave begin that waits for approval, by its number."},
		{shoal.ToPause, "Order nothing more."},
		{shoal.ToResume, "Go on; failures that led to the pause are forgiven."},
		{shoal.ToActivate, "Let a rollout switch that was to stage only."},
		{shoal.ToRetry, "Give a failed or drifted host another try."},
		{shoal.ToAbort, "Stop; hosts stay as they are."},
		{shoal.ToRollback, "Hosts that were switched go back to what they ran before."},
	}
}

// order is the body of a command: which one is in the path.
type order struct {
	Reason string `json:"reason,omitempty"`
	Wave   int    `json:"wave,omitempty"` // approve: which, 1 is the first
	Host   string `json:"host,omitempty"` // retry
}

func hostRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/hosts", verb: "hosts", do: shoal.ToLook, app: true, about: "Hosts of a selector (default: all) with what they last said.",
			query: []string{"to"}, out: []shoal.Host{}, serve: (*Server).hosts},
		{method: http.MethodDelete, pattern: "/v1/hosts/{host}", verb: "forget", do: shoal.ToForget, about: "Forget a host: certificates that it has are refused from now on.",
			serve: (*Server).forget},
		{method: http.MethodGet, pattern: "/v1/hosts/{host}/why", verb: "why", do: shoal.ToLook, app: true, about: "What holds a host up, with the evidence and the remedy.",
			out: []shoal.Why{}, serve: (*Server).why},
	}
}

// reason is the body of stop.
type reason struct {
	Reason string `json:"reason,omitempty"`
}

func brakeRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/situation", verb: "situation", do: shoal.ToLook, about: "What holds for the whole fleet: brakes, freezes, how many hosts.",
			out: shoal.Situation{}, serve: (*Server).situation},
		{method: http.MethodPost, pattern: "/v1/stop", verb: "stop-all", do: shoal.ToStop, about: "Stop all transfers and switches of the fleet.",
			in: reason{}, serve: (*Server).stopAll},
		{method: http.MethodPost, pattern: "/v1/start", verb: "start-all", do: shoal.ToStop, about: "Let them go on.",
			serve: (*Server).startAll},
		{method: http.MethodPost, pattern: "/v1/freezes", verb: "freeze", do: shoal.ToFreeze, about: "Name a time in which no host switches.",
			in: shoal.Freeze{}, serve: (*Server).freeze},
		{method: http.MethodDelete, pattern: "/v1/freezes/{from}", verb: "thaw", do: shoal.ToFreeze, about: "Remove the freeze that begins at this time (RFC 3339).",
			serve: (*Server).thaw},
	}
}

// NewToken is the answer to create: the only time that the secret is told.
type NewToken struct {
	Secret string      `json:"secret"`
	Token  shoal.Token `json:"token"`
	// CA is the pin of the fleet's authority, for the one who uses the token.
	CA string `json:"ca"`
}

func accessRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/tokens", verb: "tokens", do: shoal.ToToken, about: "Tokens, without their secrets.",
			out: []shoal.Token{}, serve: (*Server).tokens},
		{method: http.MethodPost, pattern: "/v1/tokens", verb: "create-token", do: shoal.ToToken, about: "Make a token. Its secret is told once.",
			in: shoal.Token{}, out: NewToken{}, serve: (*Server).createToken},
		{method: http.MethodDelete, pattern: "/v1/tokens/{id}", verb: "revoke-token", do: shoal.ToToken, about: "Make a token useless.",
			serve: (*Server).revokeToken},
		{method: http.MethodGet, pattern: "/v1/audit", verb: "audit", do: shoal.ToAudit, about: "Who did what, the oldest first.",
			query: []string{"after", "rollout", "limit"}, out: []shoal.AuditEntry{}, serve: (*Server).audit},
	}
}

func stationRoutes() []route {
	return []route{
		{method: http.MethodPost, pattern: "/v1/enroll", verb: "enroll", do: toEnroll, about: "A certificate for a host that joins (one-time token), a new one for a host that shows its own, or one for a day for a machine that pushes.",
			in: shoal.Enrollment{}, out: shoal.Credentials{}, serve: (*Server).enroll},
		{method: http.MethodPost, pattern: "/v1/agent/hello", verb: "hello", do: shoal.ToServe, about: "Begin a session of a host.",
			in: shoal.Hello{}, out: shoal.Welcome{}, serve: (*Server).hello},
		{method: http.MethodGet, pattern: "/v1/agent/orders", verb: "watch", do: shoal.ToServe, about: "The host's orders, as soon as they differ from the version since; after " + watchText + " in any case.",
			query: []string{"since"}, out: shoal.Orders{}, serve: (*Server).watch},
		{method: http.MethodPost, pattern: "/v1/agent/report", verb: "report", do: shoal.ToServe, about: "What the host is. An older report than is known does nothing.",
			in: shoal.Report{}, serve: (*Server).report},
		{method: http.MethodGet, pattern: "/v1/forgotten", verb: "forgotten", do: shoal.ToMeet, about: "Hosts that were forgotten after a time (RFC 3339; default: all of whom it still matters): certificates from until then are refused, by peers too.",
			query: []string{"after"}, out: []shoal.ForgottenHost{}, serve: (*Server).forgotten},
		{method: http.MethodGet, pattern: "/v1/agent/releases/{app}/{version}", verb: "bundle", do: shoal.ToServe, about: "A release's metafile, with signature, serial and trackers in the header.",
			out: raw{}, serve: (*Server).bundle},
	}
}

const watchText = "30 s"

// writeLimit is how long a client may take to read an answer; for metafiles it
// begins anew with each part.
const writeLimit = time.Minute
