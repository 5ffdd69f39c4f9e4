package cli

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how a daemon is (sd_notify(3)); without one
// it tells nobody.
type notifier struct {
	log   *slog.Logger
	every time.Duration // between two signs of life; 0: nobody waits for them
	mu    sync.Mutex
	last  time.Time
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	if limit, err := daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog cannot be understood", "err", err)
	} else {
		n.every = limit / 3
	}
	return n
}

func (n *notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("cannot tell the service manager", "state", state, "err", err)
	}
}

func (n *notifier) ready()    { n.tell(daemon.SdNotifyReady) }
func (n *notifier) stopping() { n.tell(daemon.SdNotifyStopping) }

// alive is a sign of life. It may be called as often as one likes.
func (n *notifier) alive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); n.every > 0 && now.Sub(n.last) >= n.every {
		n.last = now
		n.tell(daemon.SdNotifyWatchdog)
	}
}
