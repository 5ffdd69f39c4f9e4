package simulate

import (
	"math"
	"time"
)

// Scale is what a simulation leaves out so that it ends soon.
type Scale struct {
	Pieces      int     // of the content that is really moved
	PieceLength int     // bytes
	Time        float64 // real seconds that a simulated second stands for
	bytes       float64 // real bytes that a simulated byte stands for
}

const (
	simPiece  = 16 << 10
	minPieces = 320
	maxPieces = 1024
	// pieceHosts is how many times a piece may come to a host: most of the work of a run.
	pieceHosts = 230_000
	// hostSeconds is for how long all hosts together may live: engines look ten
	// times a second at what they do.
	hostSeconds = 3_000
	maxSeconds  = 60.0
	// maxPieceRate is how many pieces may pass a line in a second that is busy to the
	// end. With twice as many, news of pieces come too late, and copies are told that
	// no real push makes.
	maxPieceRate = 32.0
)

// wire is what a byte of content is on a line: 1,448 of the 1,514 bytes of a full
// frame, which is what counters and queues see.
const wire = 1514.0 / 1448

// choose fills in what is not given. Fewer pieces than the release has make the
// last ones weigh more, which makes a prediction longer; a shorter time makes the
// engine's own pauses weigh more. Where work has to be saved, time is the cheaper
// of the two to save (docs/simulate.md).
func (s Scale) choose(o *Options, bound time.Duration) Scale {
	n := o.hosts()
	if s.PieceLength == 0 {
		s.PieceLength = simPiece
	}
	if s.Pieces == 0 {
		s.Pieces = min(max(pieceHosts/n, minPieces), maxPieces)
	}
	if s.Time == 0 {
		seconds := max(min(hostSeconds/float64(n), maxSeconds), float64(s.Pieces)/maxPieceRate)
		s.Time = max(1, bound.Seconds()/seconds)
	}
	s.bytes = float64(o.Size) / float64(s.Pieces*s.PieceLength)
	return s
}

// rate is what a line of a real rate carries of content, in the small; none stays
// none.
func (s Scale) rate(bytesPerSecond int64) int64 {
	if bytesPerSecond == 0 {
		return 0
	}
	return max(1, int64(math.Round(float64(bytesPerSecond)/wire*s.Time/s.bytes)))
}

// time is a simulated time in real terms.
func (s Scale) time(d time.Duration) time.Duration { return time.Duration(float64(d) * s.Time) }

// real is a number of simulated bytes in real terms.
func (s Scale) real(bytes int64) int64 { return int64(math.Round(float64(bytes) * s.bytes)) }

// bound is a time that nothing on these lines can beat: a copy has to leave the
// source and its data centre, enter every other one and every host, and all
// uplinks of a data centre with what comes in carry the copies of its hosts.
func (o *Options) bound() time.Duration {
	size, host := float64(o.Size)*wire, float64(o.HostRate)
	worst := max(size/float64(o.SourceRate), size/host)
	wan := map[string]float64{}
	for _, l := range o.links() {
		r := orEndless(o.rate(l))
		wan[l.A] += r
		wan[l.B] += r
	}
	for name, r := range wan {
		wan[name] = min(r, orEndless(o.uplink(name)))
	}
	for _, s := range o.Sites {
		in := wan[s.Name]
		if s.Name == o.Source {
			in += float64(o.SourceRate)
		} else {
			worst = max(worst, size/in, size/wan[o.Source])
		}
		worst = max(worst, float64(s.Hosts)*size/(in+float64(s.Hosts)*host))
	}
	return time.Duration(worst * 1e9)
}

func orEndless(rate int64) float64 {
	if rate == 0 {
		return math.Inf(1)
	}
	return float64(rate)
}
