package node

import (
	"context"
	"os"
	"syscall"
	"time"

	"shoal/internal/pressure"
)

// governEvery is how often the governor looks; see pressure.Governor.
const governEvery = 500 * time.Millisecond

// watcher turns what the kernel counts into signals.
type watcher struct {
	stalls [3]time.Duration // at the last look: cpu, io, memory
	cpu    pressure.CPU
	own    time.Duration // CPU time of this process
	at     time.Time
	blind  error // why there is no pressure stall information
}

// resources are the files of /proc/pressure, in the order of watcher.stalls.
func resources() [3]string { return [3]string{"cpu", "io", "memory"} }

// look returns the signals since the last look.
func (w *watcher) look(now time.Time) (s pressure.Signals) {
	dt := now.Sub(w.at)
	var shares [3]float64
	for n, name := range resources() {
		text, err := os.ReadFile("/proc/pressure/" + name)
		var stall pressure.Stall
		if err == nil {
			stall, err = pressure.ParseStall(text)
		}
		if err != nil {
			w.blind = err
			continue
		}
		shares[n] = portion(stall.Some-w.stalls[n], dt)
		w.stalls[n] = stall.Some
	}
	own := ownCPU()
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		if cpu, err := pressure.ParseCPU(text); err == nil {
			s.Others = others(cpu.Work-w.cpu.Work, cpu.All-w.cpu.All, own-w.own)
			w.cpu = cpu
		}
	}
	first := w.at.IsZero()
	w.own, w.at = own, now
	if first {
		return pressure.Signals{}
	}
	s.CPU, s.IO, s.Memory = shares[0], shares[1], shares[2]
	return s
}

func portion(part, whole time.Duration) float64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return min(1, part.Seconds()/whole.Seconds())
}

// others is the share of all CPU time that other processes worked. A tick of
// /proc/stat is a hundredth of a second on all systems that Go runs on.
func others(work, all uint64, own time.Duration) float64 {
	if all == 0 || all > 1<<40 {
		return 0
	}
	return min(1, max(0, float64(work)-own.Seconds()*100)/float64(all))
}

// ownCPU is the CPU time of this process so far, in user space and in the kernel.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// govern yields while the host is busy with other work, until ctx ends.
func (p *process) govern(ctx context.Context) {
	var w watcher
	var g pressure.Governor
	t := time.NewTicker(governEvery)
	defer t.Stop()
	w.look(time.Now())
	if w.blind != nil {
		p.Log.Warn("this kernel gives no pressure stall information: --yield sees only the CPU use of others and full network queues; "+
			"boot Linux 4.20 or later with psi=1 for all of it", "err", w.blind)
	}
	moved, at := p.ledger.total(), time.Now()
	for {
		select {
		case now := <-t.C:
			s := w.look(now)
			s.Queue = p.queue()
			total := p.ledger.total()
			flowed := int64(float64(total-moved) / max(now.Sub(at).Seconds(), 0.1))
			moved, at = total, now
			before := g
			g = g.Step(s, flowed)
			p.limits.yield(g.Cap)
			p.yielding.Store(&g.Why)
			switch {
			case before.Cap == 0 && g.Cap > 0:
				p.Log.Info("yields: the host is busy", "why", g.Why)
			case before.Cap > 0 && g.Cap == 0:
				p.Log.Info("the host is calm: takes all it may again")
			}
		case <-ctx.Done():
			return
		}
	}
}

// queue is the longest of what the torrents' packets wait in the network.
func (p *process) queue() (longest time.Duration) {
	p.shares.Range(func(key, _ any) bool {
		if t := key.(*share).torrent.Load(); t != nil {
			longest = max(longest, t.Stats().Queue)
		}
		return true
	})
	return longest
}
