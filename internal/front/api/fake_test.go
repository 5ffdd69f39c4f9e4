package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal"
	"shoal/internal/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a control plane that does nothing: it notes what it is asked, and
// answers what it was told to.
type fake struct {
	mu        sync.Mutex
	calls     []string // name and arguments, as JSON
	principal shoal.Principal
	answers   map[string]any
	err       error
	tokens    map[string]trust.Sealed
	forgotten map[string]time.Time
	waits     chan func(shoal.Orders, error) // of hosts that wait for orders
}

func newFake() *fake {
	return &fake{answers: map[string]any{}, tokens: map[string]trust.Sealed{}, forgotten: map[string]time.Time{}, waits: make(chan func(shoal.Orders, error), 10)}
}

// saw notes a call and gives its answer, the zero value if none was set.
func saw[T any](ctx context.Context, f *fake, name string, args ...any) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	f.calls = append(f.calls, name+string(text))
	f.principal = shoal.PrincipalOf(ctx)
	v, _ := f.answers[name].(T)
	return v, f.err
}

func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fake) Register(ctx context.Context, u shoal.Upload) (shoal.Release, error) {
	return saw[shoal.Release](ctx, f, "Register", u)
}
func (f *fake) Releases(ctx context.Context, app string) ([]shoal.Release, error) {
	return saw[[]shoal.Release](ctx, f, "Releases", app)
}
func (f *fake) Plan(ctx context.Context, r shoal.Rollout) (shoal.Plan, error) {
	return saw[shoal.Plan](ctx, f, "Plan", r)
}
func (f *fake) Push(ctx context.Context, r shoal.Rollout) (shoal.Progress, error) {
	return saw[shoal.Progress](ctx, f, "Push", r)
}
func (f *fake) Rollouts(ctx context.Context, q shoal.RolloutQuery) ([]shoal.Progress, error) {
	return saw[[]shoal.Progress](ctx, f, "Rollouts", q)
}
func (f *fake) Rollout(ctx context.Context, id uint64) (shoal.Progress, error) {
	return saw[shoal.Progress](ctx, f, "Rollout", id)
}
func (f *fake) Command(ctx context.Context, id uint64, c shoal.Command) (shoal.Progress, error) {
	return saw[shoal.Progress](ctx, f, "Command", id, c)
}
func (f *fake) Hosts(ctx context.Context, to shoal.Selector) ([]shoal.Host, error) {
	return saw[[]shoal.Host](ctx, f, "Hosts", to)
}
func (f *fake) Forget(ctx context.Context, host string) error {
	_, err := saw[any](ctx, f, "Forget", host)
	return err
}
func (f *fake) Why(ctx context.Context, host string) ([]shoal.Why, error) {
	return saw[[]shoal.Why](ctx, f, "Why", host)
}
func (f *fake) Stop(ctx context.Context, reason string) error {
	_, err := saw[any](ctx, f, "Stop", reason)
	return err
}
func (f *fake) Start(ctx context.Context) error {
	_, err := saw[any](ctx, f, "Start")
	return err
}
func (f *fake) Situation(ctx context.Context) (shoal.Situation, error) {
	return saw[shoal.Situation](ctx, f, "Situation")
}
func (f *fake) Freeze(ctx context.Context, z shoal.Freeze) error {
	_, err := saw[any](ctx, f, "Freeze", z)
	return err
}
func (f *fake) Thaw(ctx context.Context, from time.Time) error {
	_, err := saw[any](ctx, f, "Thaw", from)
	return err
}
func (f *fake) CreateToken(ctx context.Context, t shoal.Token) (string, shoal.Token, error) {
	made, err := saw[shoal.Token](ctx, f, "CreateToken", t)
	return "shoal_secret", made, err
}
func (f *fake) Tokens(ctx context.Context) ([]shoal.Token, error) {
	return saw[[]shoal.Token](ctx, f, "Tokens")
}
func (f *fake) RevokeToken(ctx context.Context, id string) error {
	_, err := saw[any](ctx, f, "RevokeToken", id)
	return err
}
func (f *fake) Audit(ctx context.Context, q shoal.AuditQuery) ([]shoal.AuditEntry, error) {
	return saw[[]shoal.AuditEntry](ctx, f, "Audit", q)
}
func (f *fake) Hello(ctx context.Context, h shoal.Hello) (shoal.Welcome, error) {
	return saw[shoal.Welcome](ctx, f, "Hello", h)
}
func (f *fake) Report(ctx context.Context, r shoal.Report) error {
	_, err := saw[any](ctx, f, "Report", r)
	return err
}
func (f *fake) ForgottenSince(ctx context.Context, after time.Time) ([]shoal.ForgottenHost, error) {
	return saw[[]shoal.ForgottenHost](ctx, f, "ForgottenSince", after)
}

func (f *fake) Bundle(ctx context.Context, app, version string) (shoal.Bundle, error) {
	return saw[shoal.Bundle](ctx, f, "Bundle", app, version)
}

// Await tells at once if since is 0, and else leaves tell to the test.
func (f *fake) Await(ctx context.Context, host string, since uint64, tell func(shoal.Orders, error)) {
	o, err := saw[shoal.Orders](ctx, f, "Watch", host, since)
	if since == 0 || err != nil {
		tell(o, err)
		return
	}
	f.waits <- tell
}

func (f *fake) Token(_ context.Context, id string) (trust.Sealed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tokens[id]
	if !ok {
		return t, fmt.Errorf("token %s: %w", id, shoal.ErrNotFound)
	}
	return t, nil
}
func (f *fake) UseToken(_ context.Context, id, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.tokens[id].Use(by, time.Now())
	f.tokens[id] = t
	return err
}
func (f *fake) Forgotten(_ context.Context, host string) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forgotten[host], nil
}

// token makes a token and returns its secret.
func (f *fake) token(t *testing.T, wish shoal.Token, made time.Time) string {
	t.Helper()
	if wish.Name == "" {
		wish.Name = string(wish.Role)
	}
	wish.Expires = made.Add(time.Hour)
	secret, sealed, err := trust.NewToken(wish, made)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[sealed.ID] = sealed
	return secret
}

// site is a server that runs, over a fake.
type site struct {
	*fake
	authority *trust.Authority
	url       string
	stop      func()
}

func newAuthority(t *testing.T) *trust.Authority {
	t.Helper()
	a, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newSite(t *testing.T) *site {
	t.Helper()
	return siteAt(t, newFake(), newAuthority(t), "127.0.0.1:0")
}

func siteAt(t *testing.T, f *fake, a *trust.Authority, addr string) *site {
	t.Helper()
	cert, err := a.Serve("s1", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(Options{
		Fleet: f, Access: f, Agents: f, Door: f, Authority: a, Certificate: cert.Certificate, Log: slog.New(slog.DiscardHandler),
		Held: func(app, version string) bool { return version == "held" },
		Members: map[string]http.Handler{"GET /announce": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "member ", MemberOf(r))
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &site{f, a, "https://" + l.Addr().String(), stop}
}

// client makes a client with a token or a wallet; both may be missing.
func (s *site) client(t *testing.T, secret string, w *trust.Wallet) *Client {
	t.Helper()
	o := ClientOptions{Servers: []string{s.url}, Token: secret, Anchor: trust.Anchor{Pin: s.authority.Pin()}}
	if w != nil {
		o.Certificate = w.Certificate
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// host makes a wallet with a certificate.
func host(t *testing.T, a *trust.Authority, k trust.Kind, name string, now time.Time) *trust.Wallet {
	t.Helper()
	w, err := trust.OpenWallet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := w.Request()
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.Issue(k, name, csr, now)
	if err == nil {
		err = w.Keep(made)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
