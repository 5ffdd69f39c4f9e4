package trust

import (
	"slices"

	"shoal"
)

// Covers tells whether who has a role may do what another one is needed for.
// Agent and Joiner are roles of machines: nobody covers them, and they cover
// nothing else.
func Covers(has, needed shoal.Role) bool {
	if has == needed {
		return has != ""
	}
	switch has {
	case shoal.Admin:
		return slices.Contains([]shoal.Role{shoal.Viewer, shoal.Pusher, shoal.Approver, shoal.Operator}, needed)
	case shoal.Operator:
		return slices.Contains([]shoal.Role{shoal.Viewer, shoal.Pusher, shoal.Approver}, needed)
	case shoal.Pusher, shoal.Approver:
		return needed == shoal.Viewer
	}
	return false
}

// InScope tells whether somebody may touch an app.
func InScope(p shoal.Principal, app string) bool {
	return len(p.Apps) == 0 || slices.Contains(p.Apps, app)
}
