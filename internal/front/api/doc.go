// Package api is the control plane over HTTPS: a server in front of shoal.Fleet,
// Access and Station, and a client that implements the same interfaces. It
// checks who asks, bounds what comes in, and turns values into JSON; it decides
// nothing about hosts and releases.
//
// The table of routes is the whole of it. A request that no row lets through is
// refused, and docs/openapi.yaml is made of the same table.
package api
