package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal"
	"shoal/internal/bt/metainfo"
	"shoal/internal/deploy/notify"
)

// TestNoticeFirst has a receiver of notices that takes its time with a plan: until
// it has it, no byte moves, neither to a host nor to the server's own copy.
func TestNoticeFirst(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	var mu sync.Mutex
	var told []string // kinds of notices
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p struct{ Notice shoal.Notice }
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		if p.Notice.Kind == "plan" {
			time.Sleep(3 * time.Second) // the source looks twice a second
			for _, place := range []string{filepath.Join(dir, "source/web"), filepath.Join(root, "web")} {
				if _, err := os.Stat(place); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is there before the plan was told: %v", place, err)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		told = append(told, p.Notice.Kind)
	}))
	defer hook.Close()
	f := newFleet(t, dir, "127.0.0.1:0", func(o *ServerOptions) {
		o.Notices = notify.Options{Webhooks: []notify.Webhook{{URL: hook.URL}}}
	})
	f.host(t, "web-1", root, nil)
	f.online(t, 1)
	pending := func() bool {
		list, err := f.admin.Releases(t.Context(), "web")
		must(t, err)
		return list[0].Pending
	}
	f.register(t, newRelease(t, metainfo.Hybrid), "1", func(u *shoal.Upload) { u.Pending = true })
	time.Sleep(time.Second) // a plan of a big fleet takes as long
	id := f.push(t, "1", nil)
	if !pending() {
		t.Error("it is not pending before its plan was told")
	}
	f.reaches(t, id, "done")
	sameTree(t, filepath.Join(root, "web/current"))
	wait(t, func() bool { _, err := os.Stat(filepath.Join(dir, "source/web/releases/1")); return err == nil })
	if pending() {
		t.Error("it is pending for ever")
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(told, "plan") {
		t.Errorf("told %q", told)
	}
}
