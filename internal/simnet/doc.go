// Package simnet is a network in memory: hosts with addresses and links of a
// given rate, places with latency and WAN links between them, and faults. Its
// connections are net.Conns, so the real engine runs over it unchanged.
//
// It is made for fake time (testing/synctest), where an hour of 1,000 hosts
// passes in minutes: everything waits on timers and conditions of the
// standard library and nothing spins. It works in real time as well, only
// then the machine has to keep up. All of a Network must live in the bubble
// that New was called in.
//
// # Model
//
// What is written to a connection is cut into segments (Options.Segment). A
// segment enters its host's uplink when the connection's window has room
// (Options.Window: bytes on their way or not yet read), so one slow receiver
// holds up its own connections only. The connections of a host take turns,
// segment by segment, as TCP flows that share a network card do. Then it
// passes the WAN line out of its place, the link between the two places if there
// is one and the line into the other place, if the places differ, the latency
// between the two, and the receiver's downlink.
// Each of these is a queue, first in first out, of a given rate; small segments
// (messages) overtake the bulk of other connections, unless Options.FIFO says
// no. The rates of
// two lines in a row overlap as they do with small packets: a segment that
// comes in at the line's own rate goes out when its last byte is in.
//
// One goroutine (Network.Run) moves all segments. It wakes at multiples of
// Options.Resolution and handles all that has become due since; lines are
// accounted for exactly, so the resolution delays arrivals and costs no
// capacity. There is no packet loss and no congestion control: credit for the
// window returns at once when the receiver reads, headers of TCP and IP are
// not counted, and whoever writes to a place that is cut off waits.
//
// It never reads the content and knows nothing of BitTorrent; package fleet
// puts torrents on it.
package simnet
