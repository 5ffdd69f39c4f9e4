package shoal

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Deed is something that a principal may be allowed to do. What a Command does
// to a rollout is a deed by the same word.
type Deed string

// The deeds.
const (
	ToLook     Deed = "look"
	ToRegister Deed = "register"
	ToPush     Deed = "push" // and to plan one
	ToApprove  Deed = "approve"
	ToPause    Deed = "pause"
	ToResume   Deed = "resume"
	ToActivate Deed = "activate"
	ToRetry    Deed = "retry"
	ToAbort    Deed = "abort"
	ToRollback Deed = "rollback"
	ToForget   Deed = "forget" // a host
	ToStop     Deed = "stop"   // the whole fleet, and to start it again
	ToFreeze   Deed = "freeze" // and to thaw
	ToToken    Deed = "token"  // make, list and revoke them
	ToAudit    Deed = "audit"
	ToServe    Deed = "serve" // Station but for Enroll: be told, and report
	ToMeet     Deed = "meet"  // peers of the fleet, and so know whom it has forgotten
)

// allowed is the whole table: who may do what. What is not in it is denied.
func allowed(r Role) (any, own []Deed) {
	operator := []Deed{
		ToLook, ToRegister, ToPush, ToApprove, ToPause, ToResume, ToActivate, ToRetry, ToAbort, ToRollback,
		ToForget, ToStop, ToFreeze, ToMeet,
	}
	switch r {
	case Viewer:
		return []Deed{ToLook}, nil
	case Pusher:
		return []Deed{ToLook, ToRegister, ToPush, ToMeet}, []Deed{ToPause, ToAbort}
	case Approver:
		return []Deed{ToLook, ToApprove, ToPause, ToResume, ToActivate}, nil
	case Operator:
		return operator, nil
	case Admin:
		return append(operator, ToToken, ToAudit), nil
	case Agent:
		return []Deed{ToServe, ToMeet}, nil
	}
	return nil, nil
}

// Allowed tells why somebody may not do something to an app, or with app "" to
// the fleet; nil when they may. owner is who pushed the rollout that it is done
// to, "" when it is none. Whoever is held to some apps may look at the fleet,
// and do nothing to it.
func Allowed(p Principal, do Deed, app, owner string) error {
	whole, own := allowed(p.Role)
	who := fmt.Sprintf("%q of role %q", p.Name, p.Role)
	if p.Name == "" || p.Role == "" {
		who = "somebody unknown"
	}
	switch {
	case len(p.Apps) > 0 && app == "" && do != ToLook && do != ToMeet:
		return fmt.Errorf("%w: %s is held to some apps, and %s is for the whole fleet", ErrDenied, who, do)
	case len(p.Apps) > 0 && app != "" && !slices.Contains(p.Apps, app):
		return fmt.Errorf("%w: %s has nothing to do with the app %s", ErrDenied, who, app)
	case slices.Contains(whole, do):
		return nil
	case slices.Contains(own, do) && owner == "":
		return fmt.Errorf("%w: %s may %s only what they pushed", ErrDenied, who, do)
	case slices.Contains(own, do) && owner != p.Name:
		return fmt.Errorf("%w: %s may %s only what they pushed, and %s pushed this", ErrDenied, who, do, owner)
	case slices.Contains(own, do):
		return nil
	}
	return fmt.Errorf("%w: %s may not %s", ErrDenied, who, do)
}

type addrKey struct{}

// WithAddr says from which address somebody asks. A host that does not say in
// which data centre it is gets the one that the address is in.
func WithAddr(ctx context.Context, a netip.Addr) context.Context {
	return context.WithValue(ctx, addrKey{}, a)
}

// AddrOf is the address; the zero value when nobody said.
func AddrOf(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(addrKey{}).(netip.Addr)
	return a
}
