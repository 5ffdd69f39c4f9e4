package trust

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// TestClockOff has a client whose clock is off talk to a server: by an hour it
// is let, and by more than certificates bear it is told what is wrong.
func TestClockOff(t *testing.T) {
	now, a := time.Now(), authority(t)
	server := must[*ServerCertificate](t)(a.Serve("s1", nil))
	shown := tls.ConnectionState{ServerName: "control.example", PeerCertificates: chainOf(t, server)}
	for off, ok := range map[time.Duration]bool{
		0: true, time.Hour: true, -time.Hour: true, -backdate + time.Minute: true,
		-backdate - time.Hour: false, serverLife + time.Hour: false,
	} {
		for name, anchor := range map[string]Anchor{"pin": {Pin: a.Pin()}, "file": {Authorities: a.Pool}} {
			err := anchor.verify(shown, now.Add(off))
			if (err == nil) != ok {
				t.Errorf("%s, %s off: %v", name, off, err)
			}
			if says := "this machine's clock says that it is " + now.Add(off).UTC().Format(time.RFC3339); !ok && err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s, %s off: %v, want %q in it", name, off, err, says)
			}
		}
	}
}
