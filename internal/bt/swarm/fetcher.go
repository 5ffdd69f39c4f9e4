package swarm

import (
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/wire"
)

// job is one piece that one peer was asked for: everything that was missing
// of it then, in order. Its fetcher guards it.
type job struct {
	part *partial
	todo []span // not requested yet
	out  int    // requests that are on their way
}

// rest is how many bytes are not requested yet.
func (j *job) rest() (bytes int64) {
	for _, s := range j.todo {
		bytes += s.to - s.from
	}
	return bytes
}

// order is one outstanding request.
type order struct {
	job   *job
	block wire.Block
	at    time.Time
}

// fetcher turns the jobs of one peer into requests and keeps just as many
// bytes outstanding as the path needs. It is shared by the loop, which gives
// and takes jobs, and the connection's reader, which asks for the next blocks
// as soon as one has come, without waiting for the loop.
type fetcher struct {
	mu       sync.Mutex
	jobs     []*job
	out      []order
	outBytes int64
	todo     int64 // bytes of all jobs that are not requested yet
	window   int64 // bytes to keep outstanding
	unit     int64 // bytes of one request
	aligned  bool  // stock peers: requests end at multiples of unit
	// latency is the shortest time from a request to the first byte of its
	// block, 0 until one has come. It knows of what lies between us and the
	// peer that the kernel does not: a relay, a slow disk.
	latency time.Duration

	progress atomic.Int64 // unix nanoseconds when bytes last came or a job was given
}

func newFetcher(window, unit int64, aligned bool) *fetcher {
	return &fetcher{window: window, unit: unit, aligned: aligned}
}

// touch notes progress.
func (f *fetcher) touch(now time.Time) { f.progress.Store(now.UnixNano()) }

// give adds a job for all that is missing of part.
func (f *fetcher) give(part *partial) *job {
	j := &job{part: part, todo: part.left()}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = append(f.jobs, j)
	f.todo += j.rest()
	return j
}

// take removes the job for part, and returns the outstanding requests that
// should be cancelled.
func (f *fetcher) take(part *partial) []wire.Block {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(func(j *job) bool { return j.part == part })
	var blocks []wire.Block
	kept := f.out[:0]
	for _, o := range f.out {
		if o.job.part == part {
			blocks = append(blocks, o.block)
			f.outBytes -= int64(o.block.Length)
		} else {
			kept = append(kept, o)
		}
	}
	f.out = kept
	return blocks
}

// takeAll removes all jobs and forgets all requests.
func (f *fetcher) takeAll() []*job {
	f.mu.Lock()
	defer f.mu.Unlock()
	jobs := f.jobs
	f.jobs, f.out, f.outBytes, f.todo = nil, nil, 0, 0
	return jobs
}

func (f *fetcher) drop(which func(*job) bool) {
	kept := f.jobs[:0]
	for _, j := range f.jobs {
		if which(j) {
			f.todo -= j.rest()
		} else {
			kept = append(kept, j)
		}
	}
	clear(f.jobs[len(kept):])
	f.jobs = kept
}

// backlog returns the bytes that are requested or will be, and the jobs.
func (f *fetcher) backlog() (bytes int64, jobs int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outBytes + f.todo, len(f.jobs)
}

// set changes the window and the request size.
func (f *fetcher) set(window, unit int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window, f.unit = window, unit
}

// windowSize is how many bytes it keeps outstanding, and the mark below which
// it asks for more.
func (f *fetcher) windowSize() (window, low int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.window, f.low()
}

// fastest is the shortest time that a request has taken to be answered.
func (f *fetcher) fastest() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latency
}

// waiting is how long the oldest request has not been answered.
func (f *fetcher) waiting(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.out) == 0 {
		return 0
	}
	return now.Sub(f.out[0].at)
}

func (f *fetcher) outstanding() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outBytes
}

// low is the mark below which the window is filled up again: requests go out a
// handful at a time, for every message wakes somebody up at both ends.
func (f *fetcher) low() int64 { return f.window - f.window/4 }

// pump appends requests to dst until the window is full, once it has become
// empty enough. hungry is true when the jobs are used up before that.
func (f *fetcher) pump(dst []byte) (out []byte, hungry bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.outBytes >= f.low() {
		return dst, false
	}
	now := time.Now()
	for _, j := range f.jobs {
		for len(j.todo) > 0 {
			if f.outBytes >= f.window {
				return dst, false
			}
			b := f.cut(j)
			f.out = append(f.out, order{j, b, now})
			f.outBytes += int64(b.Length)
			j.out++
			dst = wire.AppendBlock(dst, wire.Request, b)
		}
	}
	return dst, f.outBytes < f.window
}

// cut takes the next block off a job.
func (f *fetcher) cut(j *job) wire.Block {
	s := &j.todo[0]
	end := min(s.to, s.from+f.unit)
	if f.aligned {
		end = min(s.to, s.from-s.from%f.unit+f.unit)
	}
	b := wire.Block{Index: uint32(j.part.piece), Begin: uint32(s.from), Length: uint32(end - s.from)}
	f.todo -= end - s.from
	s.from = end
	if s.from == s.to {
		j.todo = j.todo[1:]
	}
	return b
}

// arrived finds the request that a block answers and strikes it off; nil when
// nobody asked (any more).
func (f *fetcher) arrived(b wire.Block) *job {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, o := range f.out {
		if o.block != b {
			continue
		}
		if i == 0 { // nearly always: peers answer in order
			f.out = f.out[1:]
		} else {
			f.out = append(f.out[:i], f.out[i+1:]...)
		}
		f.outBytes -= int64(b.Length)
		if took := time.Since(o.at); f.latency == 0 || took < f.latency {
			f.latency = took
		}
		o.job.out--
		switch {
		case o.job.out > 0 || len(o.job.todo) > 0:
		case f.jobs[0] == o.job: // nearly always, as above
			f.jobs[0] = nil
			f.jobs = f.jobs[1:]
		default:
			f.drop(func(j *job) bool { return j == o.job })
		}
		return o.job
	}
	return nil
}

// rejected strikes a refused request off and returns its job, all of whose
// requests are given up.
func (f *fetcher) rejected(b wire.Block) *job {
	f.mu.Lock()
	var hit *job
	for _, o := range f.out {
		if o.block == b {
			hit = o.job
		}
	}
	f.mu.Unlock()
	if hit != nil {
		f.take(hit.part)
	}
	return hit
}
