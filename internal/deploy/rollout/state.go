// Package rollout decides how a release goes over a fleet: who stages it, when
// the gate opens, which host switches next, what a failure leads to.
//
// A rollout is a State, a value that can be stored. Decide takes it, a View of
// the fleet and the time, and gives the State that follows; Apply does the
// same for what a person asks for. What is wanted of hosts is part of the
// State (Orders reads it off), and what is to be told stands numbered in its
// Outbox. So whoever runs a rollout does three things over and over:
//
//  1. Decide, and store the State if it changed, by compare-and-swap.
//  2. Then serve Orders to the agents, and perform the Outbox: write it to the
//     audit log under its numbers, send the notices.
//  3. Apply Delivered, which empties the Outbox.
//
// A crash anywhere repeats at most step 2, whose parts are idempotent by their
// numbers; a second controller that decides at the same time fails to store.
// Nothing here does I/O, keeps time, starts goroutines or logs. The state
// machine is drawn in docs/rollouts.md.
package rollout

import (
	"slices"
	"strings"
	"time"

	"shoal"
)

// State is how far a rollout has come. The zero value is not one; New makes it.
type State struct {
	Rollout shoal.Rollout `json:"rollout"`
	Phase   Phase         `json:"phase"`
	Pause   *Pause        `json:"pause,omitempty"` // nil while it runs
	End     string        `json:"end,omitempty"`   // why it was aborted or rolled back

	Waves     []Wave `json:"waves,omitempty"`     // each-dc unfolded; none before the gate is reached
	Wave      int    `json:"wave,omitempty"`      // the one that is open, or opens next
	Activated bool   `json:"activated,omitempty"` // somebody lifted StageOnly

	// Clock is the time that was watched while the rollout could go on. Soaks
	// and deadlines are measured in it, so that a jump of the server's clock, a
	// night without a controller or a pause can neither end a soak early nor
	// miss a deadline for a host.
	Clock   time.Duration `json:"clock"`
	At      time.Time     `json:"at,omitzero"` // wall clock of the last Decide
	PhaseAt time.Duration `json:"phase_at,omitempty"`

	Serial  uint64   `json:"serial"` // of the last action
	Members []Member `json:"members,omitempty"`
	Outbox  []Action `json:"outbox,omitempty"` // what is not known to have been performed
}

// New is the state of a rollout that nobody has looked at yet.
func New(r shoal.Rollout) State { return State{Rollout: r, Phase: Queued} }

// Phase is where a rollout is.
type Phase string

// The phases. A rollout that is Done stands: it goes on to catch up hosts that
// come late, until a newer rollout takes them.
const (
	Queued      Phase = "queued"       // for its start time, or behind another rollout of the app
	Staging     Phase = "staging"      // bytes move, nothing switches
	Ready       Phase = "ready"        // the gate is reached; for its time, or for somebody to say activate
	Switching   Phase = "switching"    // wave by wave
	Done        Phase = "done"         // every wave has passed
	RollingBack Phase = "rolling-back" // hosts that were switched go back
	RolledBack  Phase = "rolled-back"
	Aborted     Phase = "aborted" // hosts stay as they are
)

// Active tells that the rollout holds its hosts: no other one of its app may
// touch them.
func (p Phase) Active() bool {
	return p == Staging || p == Ready || p == Switching || p == RollingBack
}

// Pause is why a rollout stands still.
type Pause struct {
	Cause  PauseCause `json:"cause"`
	Reason string     `json:"reason"`
}

// PauseCause tells apart who paused; what Resume does depends on it.
type PauseCause string

// The causes.
const (
	PauseByHand   PauseCause = "by-hand"
	PauseBreach   PauseCause = "breach"   // too many failures; resume forgives those
	PauseDeadline PauseCause = "deadline" // too many stragglers; resume starts the deadline again
)

// Wave is a step of this rollout, and how far it has come.
type Wave struct {
	shoal.Wave
	Asked      bool          `json:"asked,omitempty"` // for approval
	ApprovedBy string        `json:"approved_by,omitempty"`
	Open       bool          `json:"open,omitempty"`
	OpenAt     time.Duration `json:"open_at,omitempty"`
	Soaking    bool          `json:"soaking,omitempty"`
	SoakAt     time.Duration `json:"soak_at,omitempty"`
}

// Member is a host in a rollout.
type Member struct {
	Host       string        `json:"host"`
	Datacenter string        `json:"dc"`
	Status     Status        `json:"status"`
	Since      time.Duration `json:"since,omitempty"`    // Clock when the status began
	Wave       int           `json:"wave,omitempty"`     // 1 is the first; 0 is none yet
	Serial     uint64        `json:"serial,omitempty"`   // of the newest order to it
	Switch     uint64        `json:"switch,omitempty"`   // of the newest order to switch; 0 is never
	Judged     uint64        `json:"judged,omitempty"`   // of the newest order to switch whose failure was counted
	Previous   string        `json:"previous,omitempty"` // what was live before the switch
	Broken     bool          `json:"broken,omitempty"`   // counts against the limits
	Reason     string        `json:"reason,omitempty"`   // of the status, one line
}

// Status is where a host is in a rollout.
type Status string

// The statuses.
const (
	HostStaging     Status = "staging"     // is to fetch and verify the release
	HostStaged      Status = "staged"      // has said that every byte is verified
	HostSwitching   Status = "switching"   // is to make it live
	HostLive        Status = "live"        // runs it, and is healthy
	HostFailed      Status = "failed"      // could not run it, or could not go back
	HostLost        Status = "lost"        // was to switch, and was not heard of again
	HostQuarantined Status = "quarantined" // missed a deadline before it was to switch; caught up later
	HostDrifted     Status = "drifted"     // ran it, and runs something else by another hand
	HostRestoring   Status = "restoring"   // is to go back
	HostRestored    Status = "restored"    // runs what it ran before
	HostUntouched   Status = "untouched"   // the rollout ended before it switched
	HostTaken       Status = "taken"       // a newer rollout has it
	HostGone        Status = "gone"        // left the fleet, or the selector
)

// settled tells that a wave need not wait for a host any more.
func (s Status) settled() bool {
	return s != HostStaging && s != HostStaged && s != HostSwitching
}

// counted tells that the host is one of the hosts of the rollout, of which
// sizes and limits are shares.
func (s Status) counted() bool {
	return s != HostGone && s != HostTaken && s != HostUntouched
}

// Action is one thing that was decided, under a number that is never used again.
type Action struct {
	N    uint64     `json:"n"`
	Kind ActionKind `json:"kind"`
	Host string     `json:"host,omitempty"`
	Text string     `json:"text,omitempty"`
}

// ActionKind says what kind of thing. Those with a host are orders and go to
// the audit log; Orders has what the agent gets. The others are notices too.
type ActionKind string

// The kinds.
const (
	ActStage    ActionKind = "stage"
	ActSwitch   ActionKind = "switch"
	ActRecall   ActionKind = "recall"   // an order to switch that nobody took, or that failed, is taken back
	ActRestore  ActionKind = "restore"  // go back
	ActWithdraw ActionKind = "withdraw" // nothing is wanted of the host any more

	NoteStart    ActionKind = "start"
	NoteReady    ActionKind = "ready"
	NoteApproval ActionKind = "approval" // somebody has to approve
	NoteWave     ActionKind = "wave"     // a wave begins
	NoteProblem  ActionKind = "problem"
	NotePause    ActionKind = "pause"
	NoteResume   ActionKind = "resume"
	NoteRollback ActionKind = "rollback"
	NoteEnd      ActionKind = "end"
)

// Member finds a host; nil when it is not in the rollout. It points into the state.
func (s *State) Member(host string) *Member {
	i, ok := slices.BinarySearchFunc(s.Members, host, func(m Member, h string) int { return strings.Compare(m.Host, h) })
	if !ok {
		return nil
	}
	return &s.Members[i]
}

// Count is how many members are in a status.
func (s *State) Count(status Status) (n int) {
	for i := range s.Members {
		if s.Members[i].Status == status {
			n++
		}
	}
	return n
}

// size is how many hosts the rollout has, for shares.
func (s *State) size() (n int) {
	for i := range s.Members {
		if s.Members[i].Status.counted() {
			n++
		}
	}
	return n
}

// clone is a copy that shares nothing that Decide or Apply write to.
func (s State) clone() State {
	s.Members = slices.Clone(s.Members)
	s.Waves = slices.Clone(s.Waves)
	s.Outbox = slices.Clone(s.Outbox)
	return s
}

// act notes an action and gives its number.
func (s *State) act(kind ActionKind, host, text string) uint64 {
	s.Serial++
	s.Outbox = append(s.Outbox, Action{s.Serial, kind, host, text})
	return s.Serial
}

// order notes an order to a member, and that the status that goes with it began.
func (s *State) order(m *Member, kind ActionKind, status Status, reason string) {
	m.Serial = s.act(kind, m.Host, reason)
	s.set(m, status, reason)
}

func (s *State) set(m *Member, status Status, reason string) {
	m.Status, m.Since, m.Reason = status, s.Clock, reason
}

func (s *State) enter(p Phase) { s.Phase, s.PhaseAt = p, s.Clock }

func (s *State) pause(cause PauseCause, reason string) { s.Pause = &Pause{cause, reason} }
