package release

import "shoal"

// State is how far a release has come on one host.
type State string

// The states. Whether a release is the current one of its app is not part of
// its state: a good release that was replaced stays good.
const (
	Staging State = "staging" // being fetched, seen by nobody
	Staged  State = "staged"  // verified and on disk, not in use
	Active  State = "active"  // in use, not yet known to work
	Good    State = "good"    // has been in use and works: can be rolled back to
	Failed  State = "failed"  // has been in use and did not work
)

// Check refuses names that cannot be a release's.
func Check(app, version string) error {
	if err := checkApp(app); err != nil {
		return err
	}
	return checkVersion(version)
}

// checkVersion refuses what cannot name a release.
func checkVersion(version string) error { return nameError(shoal.CheckVersion(version)) }

// checkApp refuses what cannot name an app.
func checkApp(name string) error { return nameError(shoal.CheckApp(name)) }

func nameError(err error) error {
	if err == nil {
		return nil
	}
	return refuse(ErrName, "", "%v", err)
}
