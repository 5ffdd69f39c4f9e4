// Command shoal gets big releases onto many servers over BitTorrent.
package main

import (
	"os"

	"shoal/internal/front/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
