package rollout

import (
	"cmp"
	"slices"

	"shoal"
)

// One host runs one release of an app, so rollouts of one app take turns on
// the hosts they share. Rollouts of disjoint hosts do not wait for each other.

// claim says that another rollout has a host.
type claim struct {
	by      uint64
	forever bool // a newer one has switched it, or stands for it: what an older one wanted is over
}

// claimsOn are the hosts that other rollouts of the app have.
func claimsOn(r shoal.Rollout, others []State) map[string]claim {
	claims := map[string]claim{}
	for i := range others {
		o := &others[i]
		if o.Rollout.App != r.App || o.Rollout.ID == r.ID {
			continue
		}
		newer := o.Rollout.ID > r.ID
		for j := range o.Members {
			m := &o.Members[j]
			forever := newer && (m.Switch != 0 || o.Phase == Done) && m.Status.counted()
			if forever || o.Phase.Active() && m.Status.counted() {
				was := claims[m.Host]
				claims[m.Host] = claim{max(was.by, o.Rollout.ID), was.forever || forever}
			}
		}
	}
	return claims
}

// aheadOf is the oldest rollout that a queued one has to wait for; 0 is none.
func aheadOf(s *State, v View) uint64 {
	var ahead uint64
	for i := range v.Others {
		o := &v.Others[i]
		if o.Rollout.App != s.Rollout.App || o.Rollout.ID == s.Rollout.ID {
			continue
		}
		waits := o.Phase.Active() || o.Phase == Queued && o.Rollout.ID < s.Rollout.ID
		if waits && (ahead == 0 || o.Rollout.ID < ahead) && share(o, s, v.Hosts) {
			ahead = o.Rollout.ID
		}
	}
	return ahead
}

// supersededBy is the newer rollout that ends this one; 0 is none. One that is
// on its way back is let finish.
func supersededBy(s *State, v View) uint64 {
	if s.Phase != Queued && (!s.Phase.Active() || s.Phase == RollingBack) {
		return 0
	}
	for i := range v.Others {
		o := &v.Others[i]
		ended := o.Phase == Aborted || o.Phase == RolledBack
		if o.Rollout.App == s.Rollout.App && o.Rollout.ID > s.Rollout.ID && o.Rollout.Supersede && !ended && share(s, o, v.Hosts) {
			return o.Rollout.ID
		}
	}
	return 0
}

// share tells whether two rollouts have a host in common, now or if they began.
func share(a, b *State, hosts []shoal.Host) bool {
	return slices.ContainsFunc(hosts, func(h shoal.Host) bool { return has(a, h) && has(b, h) })
}

func has(s *State, h shoal.Host) bool {
	if m := s.Member(h.Name); m != nil && m.Status.counted() {
		return true
	}
	return s.Rollout.To.Matches(h)
}

// Orders are what is wanted of hosts right now, by all rollouts together: at
// most one order a host and app, that of the newest rollout that wants
// anything. They are sorted by host and app.
func Orders(rollouts []State, stopped bool) []shoal.Order {
	byAge := make([]*State, len(rollouts))
	for i := range rollouts {
		byAge[i] = &rollouts[i]
	}
	slices.SortFunc(byAge, func(a, b *State) int { return cmp.Compare(b.Rollout.ID, a.Rollout.ID) })
	type place struct{ host, app string }
	taken := map[place]bool{}
	var orders []shoal.Order
	for _, s := range byAge {
		for i := range s.Members {
			m := &s.Members[i]
			o, ok := wish(s, m)
			if at := (place{m.Host, s.Rollout.App}); ok && !taken[at] {
				taken[at] = true
				o.Hold = s.Pause != nil || stopped && !o.Back // going back moves no byte
				orders = append(orders, o)
			}
		}
	}
	slices.SortFunc(orders, func(a, b shoal.Order) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.App, b.App))
	})
	return orders
}

// wish is what a rollout wants of a member; false when nothing.
func wish(s *State, m *Member) (shoal.Order, bool) {
	o := shoal.Order{ID: shoal.OrderID{Rollout: s.Rollout.ID, Serial: m.Serial}, Host: m.Host, App: s.Rollout.App}
	back := s.Phase == RollingBack || s.Phase == RolledBack || s.Phase == Aborted && m.Status == HostRestoring
	switch m.Status {
	case HostSwitching:
		o.Stage, o.Live = s.Rollout.Version, s.Rollout.Version
	case HostRestoring:
		o.Live, o.Back = m.Previous, true
	case HostLost:
		if back {
			o.Live, o.Back = m.Previous, true
		} else {
			o.Stage = s.Rollout.Version
		}
	case HostStaging, HostStaged, HostQuarantined:
		o.Stage = s.Rollout.Version
	case HostLive, HostFailed: // keep the copy until the rollout is over
		o.Stage = s.Rollout.Version
		return o, s.Phase == Staging || s.Phase == Ready || s.Phase == Switching
	default:
		return o, false
	}
	if s.Phase == Aborted && o.Live == "" {
		return o, false
	}
	return o, true
}
