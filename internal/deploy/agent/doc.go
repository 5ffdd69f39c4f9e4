// Package agent makes a host what the control plane wants it to be: orders come
// in, steps are taken, reports go out. It survives being killed between any two
// of them, goes on with its last orders when no server can be reached, and puts
// the release back that ran before when a new one does no good.
//
// One loop owns all state (loop.go). What to do next for an app is decided by a
// pure function of the order, the release store's listing and the agent's own
// record (decide.go); the deed is done by one goroutine an app, whose result
// comes back to the loop as a value. Nothing counts before it is in the record,
// ROOT/.shoal/agent.json, which is replaced as a whole.
//
// How bytes move is behind Fetcher, what an operator wants to run around a
// switch behind Hooks, the control plane behind shoal.Station, whose signature
// counts behind Verifier.
package agent
