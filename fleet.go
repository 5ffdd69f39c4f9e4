package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kinds of refusal, one of which is in the chain of every error that Fleet,
// Access and Station return on purpose. Over HTTP each is a status.
var (
	ErrInvalid     = errors.New("invalid")     // the request makes no sense
	ErrDenied      = errors.New("denied")      // the caller's role does not allow it
	ErrNotFound    = errors.New("not found")   // no such release, rollout, host
	ErrConflict    = errors.New("conflict")    // it contradicts what is there
	ErrUnavailable = errors.New("unavailable") // nothing is wrong with it, try again later
)

// Fleet is the control plane as people use it. There are two: the controller
// itself, and the client that talks to one over HTTP.
//
// Who asks is in the context (WithPrincipal) and is what the audit log says.
type Fleet interface {
	Catalog
	Campaigns
	Inventory
	Brakes
}

// Catalog is the releases that hosts can be told to run.
type Catalog interface {
	// Register takes a release in. The same again does nothing; another content
	// under a name that is taken is ErrConflict.
	Register(ctx context.Context, u Upload) (Release, error)
	Releases(ctx context.Context, app string) ([]Release, error) // all apps if app is ""
}

// Campaigns are the rollouts, as their makers see them.
type Campaigns interface {
	// Plan says what Push would do, and why it would be refused. It changes nothing.
	Plan(ctx context.Context, r Rollout) (Plan, error)
	// Push starts a rollout. ID, By and Created are filled in by the server.
	Push(ctx context.Context, r Rollout) (Progress, error)
	Rollouts(ctx context.Context, q RolloutQuery) ([]Progress, error) // the newest first, without members
	Rollout(ctx context.Context, id uint64) (Progress, error)
	Command(ctx context.Context, id uint64, c Command) (Progress, error)
}

// Inventory is the hosts of the fleet.
type Inventory interface {
	Hosts(ctx context.Context, to Selector) ([]Host, error)
	Forget(ctx context.Context, host string) error // its certificate is refused from now on
	Why(ctx context.Context, host string) ([]Why, error)
}

// Brakes hold the whole fleet.
type Brakes interface {
	// Stop stops all transfers and switches of the fleet, Start lets them go on.
	Stop(ctx context.Context, reason string) error
	Start(ctx context.Context) error
	Situation(ctx context.Context) (Situation, error)
	Freeze(ctx context.Context, f Freeze) error
	Thaw(ctx context.Context, from time.Time) error // removes the freeze that begins then
}

// Access is who may do what in the control plane, and who did.
type Access interface {
	// CreateToken's answer is the only time that the secret is told.
	CreateToken(ctx context.Context, t Token) (secret string, made Token, err error)
	Tokens(ctx context.Context) ([]Token, error)
	RevokeToken(ctx context.Context, id string) error
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) // the oldest first
}

// Station is the control plane as an agent uses it. The host's name comes from
// its certificate, so no host speaks for another one.
type Station interface {
	// Enroll gives a host its certificate for a one-time token, or a new one
	// for the certificate that the connection already shows.
	Enroll(ctx context.Context, e Enrollment) (Credentials, error)
	// Hello begins a session: the answer numbers it.
	Hello(ctx context.Context, h Hello) (Welcome, error)
	// Watch returns when the orders of the host differ from the ones that the
	// agent knows under the version since (0: none), or unchanged after a while
	// (at most WatchFor).
	Watch(ctx context.Context, host string, since uint64) (Orders, error)
	// Report tells what the host is. An older one than is known does nothing.
	Report(ctx context.Context, r Report) error
	// Bundle is a release as it was registered.
	Bundle(ctx context.Context, app, version string) (Bundle, error)
}

// WatchFor is how long a Watch waits at the most. A host that watches is there:
// one that has nothing to report is heard by that alone.
const WatchFor = OfflineAfter / 2

// Bounds of what the control plane takes in.
const (
	MaxMetafile  = 256 << 20 // bytes
	MaxSignature = 4 << 10   // bytes
	MaxHosts     = 50_000
	// MaxForgotten is how many hosts may be forgotten within the life of a
	// certificate; after that nobody needs to know of them any more.
	MaxForgotten = 4 * MaxHosts
)

// Upload registers a release.
type Upload struct {
	App       string `json:"app"`
	Version   string `json:"version"`
	Metafile  []byte `json:"metafile"`
	Serial    uint64 `json:"serial"`              // of the Statement
	Signature []byte `json:"signature,omitempty"` // over the Statement; none when nobody asks for one
	// Peers are where the pushing host serves the content, host:port.
	Peers []string `json:"peers,omitempty"`
	// Pending says that a rollout follows: no server takes a copy before that
	// one's plan was told and its lead time is over.
	Pending bool `json:"pending,omitempty"`
}

// Bundle is what an agent needs to fetch a release, and to believe it.
type Bundle struct {
	App       string   `json:"app"`
	Version   string   `json:"version"`
	Metafile  []byte   `json:"metafile"`
	Serial    uint64   `json:"serial"`
	Signature []byte   `json:"signature,omitempty"`
	Trackers  []string `json:"trackers"` // URLs of the fleet's own, for members only
}

// Statement is what a release's signature is over: that this content is this
// version of this app. id is the SHA-256 of the metafile's info dictionary in
// hex (the v2 info-hash of BEP 52). serial rises with every release that is
// signed for an app; agents do not go below the newest that they have run,
// except back to what they still hold: a server that was taken over cannot
// bring an old hole back.
func Statement(app, version, id string, serial uint64) []byte {
	return fmt.Appendf(nil, "shoal release 1\napp %s\nversion %s\ncontent %s\nserial %d\n", app, version, id, serial)
}

// RolloutQuery picks rollouts.
type RolloutQuery struct {
	App  string `json:"app,omitempty"`  // all apps if it is empty
	Over bool   `json:"over,omitempty"` // those too that are over
}

// Progress is a rollout and how far it has come, for people.
type Progress struct {
	Rollout Rollout `json:"rollout"`
	Phase   string  `json:"phase"` // docs/rollouts.md has their picture
	Paused  string  `json:"paused,omitempty"`
	End     string  `json:"end,omitempty"`   // why it was aborted or rolled back
	Waits   Why     `json:"waits,omitzero"`  // for what, as a whole
	Wave    int     `json:"wave,omitempty"`  // the open one, 1 is the first
	Waves   int     `json:"waves,omitempty"` // how many
	// Counts are hosts by status (staging, staged, switching, live, failed, ...).
	Counts  map[string]int `json:"counts,omitempty"`
	Members []MemberStatus `json:"members,omitempty"`
	Plan    *Plan          `json:"plan,omitempty"` // made when it was pushed
}

// MemberStatus is a host in a rollout.
type MemberStatus struct {
	Host       string `json:"host"`
	Datacenter string `json:"dc"`
	Status     string `json:"status"`
	Wave       int    `json:"wave,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Online     bool   `json:"online"`
	Work       *Work  `json:"work,omitempty"` // what it says that it is doing
}

// Command is what a person asks of a rollout; docs/rollouts.md has the verbs:
// approve, pause, resume, activate, retry, abort, rollback.
type Command struct {
	Do     string `json:"do"`
	Reason string `json:"reason,omitempty"`
	Wave   int    `json:"wave,omitempty"` // approve: which, 1 is the first
	Host   string `json:"host,omitempty"` // retry
}

// Why is the answer to what holds something up.
type Why struct {
	Host     string `json:"host,omitempty"`
	App      string `json:"app,omitempty"`
	What     string `json:"what"`               // holds it up; or that nothing does
	Evidence string `json:"evidence,omitempty"` // what that is known from
	Remedy   string `json:"remedy,omitempty"`   // what to do; empty is wait
}

// Situation is what holds for the whole fleet.
type Situation struct {
	Stopped   bool      `json:"stopped"`
	StoppedBy string    `json:"stopped_by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Freezes   []Freeze  `json:"freezes,omitempty"`
	Hosts     int       `json:"hosts"`
	Online    int       `json:"online"`
	ClockOff  int       `json:"clock_off,omitempty"` // hosts online whose clocks are off
	Leader    string    `json:"leader,omitempty"`    // the server that runs rollouts
	Trackers  []string  `json:"trackers,omitempty"`  // URLs of the fleet's own: who serves announces to each, for they share nothing
	Now       time.Time `json:"now"`
}

// Enrollment asks for a certificate.
type Enrollment struct {
	Host  string `json:"host"`
	Token string `json:"token,omitempty"` // one-time; none to renew
	CSR   []byte `json:"csr"`             // PKCS #10, DER
}

// Credentials are a host's certificate and what it trusts.
type Credentials struct {
	Certificate []byte    `json:"certificate"` // PEM, with the chain
	CA          []byte    `json:"ca"`          // PEM
	Expires     time.Time `json:"expires"`
}

// Hello is what a host says of itself when it connects.
type Hello struct {
	Host       string            `json:"host"`
	Datacenter string            `json:"datacenter,omitempty"` // "" lets the server's topology say
	Rack       string            `json:"rack,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Up         int64             `json:"up,omitempty"`   // bytes a second; 0 is unknown
	Down       int64             `json:"down,omitempty"` // bytes a second; 0 is unknown
	Software   string            `json:"software"`       // of the agent
	Clock      time.Time         `json:"clock"`          // the host's; only to notice that it is off
	Instance   string            `json:"instance"`       // random, kept on disk: two agents of one name differ in it
}

// Welcome begins a session.
type Welcome struct {
	Session    uint64        `json:"session"`
	Datacenter string        `json:"datacenter"`
	Rack       string        `json:"rack,omitempty"`
	Skew       time.Duration `json:"skew,omitempty"` // of the host's clock, ahead of the server's
}

// Orders are all that is wanted of a host.
type Orders struct {
	Version uint64  `json:"version"` // differs whenever the rest does
	Orders  []Order `json:"orders"`
	// Stopped is stop-all: no byte of content may move.
	Stopped bool `json:"stopped,omitempty"`
	// Keep are releases that the host must go on to hold and serve (app@version):
	// a rollout under way needs its copy.
	Keep []string `json:"keep,omitempty"`
	// Forgotten is another number whenever the fleet has forgotten another host:
	// time to ask which. 0 is none.
	Forgotten uint64 `json:"forgotten,omitempty"`
}

// ForgottenHost is one that was told to go: the certificates that it got until
// then are not good any more.
type ForgottenHost struct {
	Host string    `json:"host"`
	At   time.Time `json:"at"`
}

// Role is what a token may do. Each of viewer, pusher, approver, operator and
// admin may do what those before it may, except that an approver may not push:
// whoever pushes must not be the only one who approves.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // look
	Pusher   Role = "pusher"   // register, push; pause and abort what it pushed
	Approver Role = "approver" // approve, pause, resume, activate
	Operator Role = "operator" // all of rollouts and hosts; stop-all, freeze
	Admin    Role = "admin"    // tokens, audit
	Agent    Role = "agent"    // a host: Station, by its certificate
	Joiner   Role = "joiner"   // a one-time token of a host that has no certificate yet
)

// Principal is who asks.
type Principal struct {
	Name string   `json:"name"`
	Role Role     `json:"role"`
	Apps []string `json:"apps,omitempty"` // a scope: only these; none is all
}

type principalKey struct{}

// WithPrincipal says who asks.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf is who asks; the zero value when nobody said.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// Token lets somebody in. What is stored of the secret is its hash.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // of the person or machine, for the audit log
	Role    Role      `json:"role"`
	Apps    []string  `json:"apps,omitempty"`
	Host    string    `json:"host,omitempty"` // Joiner: the only host that may use it; "" is any
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"`
	Used    time.Time `json:"used,omitzero"` // Joiner: when it was
}

// AuditEntry is one thing that somebody did, or that a rollout decided.
type AuditEntry struct {
	N       uint64    `json:"n"` // rises, with gaps
	At      time.Time `json:"at"`
	By      string    `json:"by"`   // a principal, or "rollout"
	Do      string    `json:"do"`   // push, approve, token-create, stage, switch, ...
	What    string    `json:"what"` // app@version, host, token
	Rollout uint64    `json:"rollout,omitempty"`
	Action  uint64    `json:"action,omitempty"` // number of the rollout's action: once an audit log
	Text    string    `json:"text,omitempty"`
}

// AuditQuery picks entries.
type AuditQuery struct {
	After   uint64 `json:"after,omitempty"` // N
	Rollout uint64 `json:"rollout,omitempty"`
	Limit   int    `json:"limit,omitempty"` // 0 is 1,000
}

// Notice is what operators are told.
type Notice struct {
	Kind    string    `json:"kind"` // plan, start, wave, problem, approval, end, stop, ...
	At      time.Time `json:"at"`
	Rollout *Rollout  `json:"rollout,omitempty"`
	Text    string    `json:"text"`           // one line
	Plan    *Plan     `json:"plan,omitempty"` // of kind plan
	Link    string    `json:"link,omitempty"` // where to look and to stop it
	Sites   []string  `json:"sites,omitempty"`
	ID      string    `json:"id"` // the same when it is sent twice
}
