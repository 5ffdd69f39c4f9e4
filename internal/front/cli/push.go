package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/metainfo/build"
	"shoal/internal/deploy/release"
	"shoal/internal/front/api"
)

const pushLong = `Brings a release to every host of a selector: hashes PATH, signs it, registers it
at the control plane, and serves it until a server has a full copy. It is staged
everywhere first; then hosts switch in waves, each with its soak time and limits
(docs/rollouts.md). The command shows the rollout until it is over, unless
--detach; to end the command does not end the rollout.

Without PATH it pushes a release that is registered. With --register-only it
registers: the servers copy it at once, and nothing moves to any host. Otherwise
nothing moves anywhere before the plan has been told (docs/notices.md).

Exit code 0 means that the rollout is done (with --stage-only: staged; with
--detach: begun, and a server has the content).`

const pushExample = `  shoal push ./build --app web --version 1.4 --to 'role=web,dc!=lab' --sign-key release.key
  shoal push ./build --app web --version 1.5 --to role=web --waves 'canary=2 soak=10m, 10%, each-dc' --on-breach rollback
  shoal push --app web --version 1.4 --to dc=fra --stage-only --detach`

// pushFlags are the flags of push.
type pushFlags struct {
	rolloutFlags
	peerFlags
	exclude   []string
	outside   bool
	piece     string
	threads   int
	signKey   string
	serial    uint64
	advertise []string
	detach    bool
	register  bool
	plain     bool
}

func (s *shell) pushCommand() *cobra.Command {
	f := &pushFlags{}
	cmd := &cobra.Command{
		Use: "push [PATH] --app NAME --version VERSION --to SELECTOR", Short: "Bring a release to hosts and switch them in waves",
		Long: pushLong, Example: pushExample, Args: atMostOne,
	}
	f.rolloutFlags.add(cmd)
	flags := cmd.Flags()
	f.peerFlags.add(flags)
	flags.StringArrayVarP(&f.exclude, "exclude", "e", nil, "leave out what matches this GLOB (repeat)")
	flags.BoolVar(&f.outside, "allow-outside-links", false, "accept symlinks that point outside of the tree")
	flags.StringVarP(&f.piece, "piece-length", "l", "", "power-of-two exponent (18) or size (4MiB); default automatic")
	flags.IntVarP(&f.threads, "threads", "t", 0, "hashing threads (default: all cores)")
	flags.StringVar(&f.signKey, "sign-key", "", "secret key that signs the release; default $"+envSignKey)
	flags.Uint64Var(&f.serial, "serial", 0, "number that rises with every release that is signed for the app (default: the time in seconds, or one more than the newest)")
	flags.StringArrayVar(&f.advertise, "advertise", nil, "where servers reach this host for content, HOST:PORT (default: the address that it has towards the server)")
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait for the rollout, only until a server has the content")
	flags.BoolVar(&f.plain, "plain-peers", false, "serve the content in the clear, to a fleet whose hosts fetch so")
	flags.BoolVar(&f.register, "register-only", false, "only register the release")
	return s.withFleet(cmd, func(ctx context.Context, c *api.Client, args []string) error {
		return s.push(ctx, c, f, strings.Join(args, ""))
	})
}

func (s *shell) push(ctx context.Context, c *api.Client, f *pushFlags, path string) error {
	if f.register && f.to == "" {
		f.to = shoal.All // it goes to nobody
	}
	wish, err := s.wish(ctx, c, &f.rolloutFlags)
	if err != nil {
		return err
	}
	if !f.register { // before anything is hashed or registered
		hosts, err := c.Hosts(ctx, wish.To)
		if err != nil {
			return err
		}
		if len(hosts) == 0 {
			return coded{fmt.Errorf("no host matches %s, so nothing was hashed or registered", wish.To), CodeRefused, adviceToLook}
		}
	}
	var src *source
	if path != "" {
		if src, err = s.openSource(ctx, c, f, path); err != nil {
			return err
		}
		defer src.close()
	} else if f.register {
		return usagef("shoal push PATH --register-only ...", "there is nothing to register without a PATH")
	}
	if f.register {
		return src.wait(ctx, 0)
	}
	p, err := c.Push(ctx, wish)
	if err != nil {
		return err
	}
	if p.Plan != nil {
		s.printPlan(*p.Plan)
	}
	s.printRollout(p)
	if f.detach {
		return src.wait(ctx, p.Rollout.ID)
	}
	err = s.follow(ctx, c, p.Rollout.ID, wish.StageOnly)
	if ctx.Err() != nil {
		src.farewell(ctx)
	}
	return err
}

// draft is a release that was hashed and signed.
type draft struct {
	meta   *metainfo.Metafile
	upload shoal.Upload
}

// makeDraft hashes and signs. The metafile's name is the app's, so that the same
// tree is the same release from whatever folder it comes.
func (s *shell) makeDraft(ctx context.Context, c *api.Client, f *pushFlags, path string) (*draft, error) {
	key, err := signingKey(cmp.Or(f.signKey, os.Getenv(envSignKey)))
	if err != nil {
		return nil, err
	}
	o := build.Options{
		Threads: f.threads, Exclude: f.exclude, AllowOutsideLinks: f.outside, Name: f.r.App, Private: true,
		CreatedBy: "shoal " + readVersion().Version,
	}
	if o.PieceLength, err = parsePieceLength(f.piece); err != nil {
		return nil, err
	}
	var done, total atomic.Int64
	o.Progress = func(d, t int64) { done.Store(d); total.Store(t) }
	stop := s.show(func() sample { return sample{State: "hashing", Done: done.Load(), Total: total.Load(), Peers: -1} })
	meta, err := build.Build(ctx, path, o)
	stop()
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	u := shoal.Upload{App: f.r.App, Version: f.r.Version, Metafile: meta.Encode(), Serial: f.serial, Pending: !f.register}
	if u.Serial == 0 {
		if u.Serial, err = s.nextSerial(ctx, c, u.App); err != nil {
			return nil, err
		}
	}
	if key != nil {
		u.Signature = key.Sign(u.App, u.Version, release.ID(meta.Info), u.Serial)
	}
	return &draft{meta, u}, nil
}

// serialAhead is how far, in seconds, the newest serial may be ahead of this
// machine's clock before a person has to say how it goes on.
const serialAhead = 24 * 60 * 60

// nextSerial is the time in seconds, or more if a machine whose clock is ahead
// has pushed before: hosts fetch nothing with a serial below what has run there.
func (s *shell) nextSerial(ctx context.Context, c *api.Client, app string) (uint64, error) {
	list, err := c.Releases(ctx, app)
	if err != nil {
		return 0, err
	}
	now := uint64(time.Now().Unix())
	for _, r := range list {
		if r.Serial < now {
			continue
		}
		if r.Serial > now+serialAhead {
			return 0, coded{fmt.Errorf("%s has the serial %d, and the time of this machine in seconds is %d", r.Name(), r.Serial, now), CodeRefused,
				"hosts fetch nothing with a serial below what has run there: see that the clock is right, and give the serial by --serial"}
		}
		now = r.Serial + 1
	}
	return now, nil
}

// source is a release of this machine at the control plane: registered, and
// served from here for as long as no server has all of it.
type source struct {
	s      *shell
	c      *api.Client
	name   shoal.Release
	stop   func()
	failed <-chan error // of serving; closed at its end
}

func (s *shell) openSource(ctx context.Context, c *api.Client, f *pushFlags, path string) (*source, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d, err := s.makeDraft(ctx, c, f, path)
	if err != nil {
		return nil, err
	}
	src := &source{s: s, c: c, stop: func() {}}
	if there, err := find(ctx, c, d.upload.App, d.upload.Version); err != nil {
		return nil, err
	} else if !there.Held {
		if d.upload.Peers, err = src.serve(ctx, f, d, path); err != nil {
			return nil, err
		}
	}
	if src.name, err = c.Register(ctx, d.upload); err != nil {
		src.close()
		return nil, err
	}
	signed := "not signed"
	if len(d.upload.Signature) > 0 {
		signed = "signed"
	}
	if s.json {
		s.event("registered", src.name)
	}
	s.printf("registered: %s, %s in %s, %s\n", src.name.Name(), bytesText(src.name.Bytes), countText(src.name.Files, "file"), signed)
	return src, nil
}

// find is a release as the control plane knows it; zero when it does not.
func find(ctx context.Context, c *api.Client, app, version string) (shoal.Release, error) {
	list, err := c.Releases(ctx, app)
	if err != nil {
		return shoal.Release{}, err
	}
	if i := slices.IndexFunc(list, func(r shoal.Release) bool { return r.App == app && r.Version == version }); i >= 0 {
		return list[i], nil
	}
	return shoal.Release{}, nil
}

// wait returns when a server has a full copy, or when none will take one
// because the rollout was ended before that began.
func (src *source) wait(ctx context.Context, rollout uint64) error {
	if src == nil || src.failed == nil {
		return nil
	}
	for said := false; ; {
		r, err := find(ctx, src.c, src.name.App, src.name.Version)
		switch {
		case err == nil && r.Held:
			src.s.done("a server has a full copy of", src.name.Name())
			return nil
		case err != nil && !errors.Is(err, shoal.ErrUnavailable):
			return err
		case err == nil && r.Pending:
			p, err := src.c.Rollout(ctx, rollout)
			if _, ended := outcome(p, false); err == nil && ended != nil {
				return ended
			}
		}
		if !said {
			fmt.Fprintf(src.s.screen, "serves %s until a server has all of it\n", src.name.Name())
			if r.Pending {
				fmt.Fprintln(src.s.screen, "servers begin to copy when the plan has been told and the lead time is over")
			}
			said = true
		}
		select {
		case <-time.After(followEvery):
		case err := <-src.failed:
			return cmp.Or(err, errors.New("this host stopped serving before a server had a full copy"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// farewell warns whoever ends a push while hosts may still need this one.
func (src *source) farewell(ctx context.Context) {
	if src == nil || src.failed == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if r, err := find(ctx, src.c, src.name.App, src.name.Version); err != nil || !r.Held {
		fmt.Fprintf(src.s.screen, "shoal: warning: no server is known to have all of %s; the same push serves it again\n", src.name.Name())
	}
}

func (src *source) close() { src.stop() }
