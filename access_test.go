package shoal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"shoal"
)

// TestAllowed states who may do what, deed by deed: every pair that is not
// named here is denied. + is always, o is what one has pushed oneself.
func TestAllowed(t *testing.T) {
	roles := []shoal.Role{shoal.Viewer, shoal.Pusher, shoal.Approver, shoal.Operator, shoal.Admin, shoal.Agent, shoal.Joiner, "", "root"}
	for deed, want := range map[shoal.Deed]string{
		shoal.ToLook:     "+++++----",
		shoal.ToRegister: "-+-++----",
		shoal.ToPush:     "-+-++----",
		shoal.ToApprove:  "--+++----",
		shoal.ToPause:    "-o+++----",
		shoal.ToResume:   "--+++----",
		shoal.ToActivate: "--+++----",
		shoal.ToRetry:    "---++----",
		shoal.ToAbort:    "-o-++----",
		shoal.ToRollback: "---++----",
		shoal.ToForget:   "---++----",
		shoal.ToStop:     "---++----",
		shoal.ToFreeze:   "---++----",
		shoal.ToToken:    "----+----",
		shoal.ToAudit:    "----+----",
		shoal.ToServe:    "-----+---",
		"something new":  "---------",
	} {
		for i, role := range roles {
			p := shoal.Principal{Name: "kim", Role: role}
			own, other := shoal.Allowed(p, deed, "web", "kim"), shoal.Allowed(p, deed, "web", "lee")
			for _, err := range []error{own, other} {
				if err != nil && (!errors.Is(err, shoal.ErrDenied) || !strings.Contains(err.Error(), string(deed))) {
					t.Errorf("%s, %s: refused with %v", role, deed, err)
				}
			}
			got := map[string]string{"true true": "+", "true false": "o", "false false": "-"}[fmt.Sprint(own == nil, other == nil)]
			if got != want[i:i+1] {
				t.Errorf("%s, %s: %q, want %q", role, deed, got, want[i:i+1])
			}
		}
	}
}

func TestAllowedScope(t *testing.T) {
	p := shoal.Principal{Name: "kim", Role: shoal.Operator, Apps: []string{"web", "api"}}
	for _, c := range []struct {
		do  shoal.Deed
		app string
		ok  bool
	}{
		{shoal.ToPush, "web", true}, {shoal.ToPush, "db", false}, {shoal.ToLook, "db", false}, {shoal.ToLook, "", true},
		{shoal.ToStop, "", false}, {shoal.ToForget, "", false}, {shoal.ToFreeze, "", false},
	} {
		if err := shoal.Allowed(p, c.do, c.app, ""); (err == nil) != c.ok {
			t.Errorf("%s of %q: %v", c.do, c.app, err)
		}
	}
}
