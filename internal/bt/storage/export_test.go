package storage

import (
	"context"
	"shoal/internal/filelock"

	"golang.org/x/sys/unix"
)

// Crash ends d as kill -9 does: nothing is written any more, and the kernel
// takes descriptors and locks back.
func (d *Disk) Crash() {
	d.mu.Lock()
	stopped := d.stopped
	if stopped != nil {
		d.stop()
	}
	d.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	r := d.rec
	r.mu.Lock()
	if r.f != nil {
		_ = filelock.Close(r.f)
		_ = r.root.Close()
		r.f = nil
	}
	r.mute = true
	r.mu.Unlock()
	d.open.close()
	d.tree.close()
}

// Reboot makes d believe that it runs under another boot of the kernel.
func (d *Disk) Reboot(n byte) { d.rec.boot, d.rec.where = [16]byte{n}, nil }

// WaitDropped waits until what was released has left the page cache.
func (d *Disk) WaitDropped() { d.window.work.Wait() }

// EarlyFiles is how many files were made ahead and not written to.
func (d *Disk) EarlyFiles() int { return len(d.ahead.room) }

// Checkpoint is what the background does every SyncEvery.
func (d *Disk) Checkpoint() error { return d.checkpoint(context.Background()) }

// Compact folds the journal now.
func (d *Disk) Compact() error { return d.rec.compact(0) }

// RecordPath is where the resume record lies.
func (d *Disk) RecordPath() string { return d.rec.dir + "/" + d.rec.name }

// OpenFiles is how many descriptors are open.
func (d *Disk) OpenFiles() int {
	d.open.mu.Lock()
	defer d.open.mu.Unlock()
	return len(d.open.slots)
}

// PiecesWritten is how many pieces the record has blocks of.
func (d *Disk) PiecesWritten() int {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	return len(d.rec.state.Written)
}

// Durable is how many pieces would survive a power loss.
func (d *Disk) Durable() int {
	d.rec.mu.Lock()
	defer d.rec.mu.Unlock()
	return d.rec.state.Durable.Count()
}

// Needed is how much space Preflight asks for.
func (d *Disk) Needed(ctx context.Context) int64 {
	facts, _, err := d.scan(ctx)
	if err != nil {
		return -1
	}
	return d.needed(facts)
}

// FailSync is what happens when the disk fails to store what was written.
func (d *Disk) FailSync() error {
	err := fault("sync", "a file", notStored(unix.EIO))
	d.distrust(err)
	return err
}
