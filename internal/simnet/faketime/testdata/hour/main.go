// Command hour sleeps for an hour of fake time and tells how long that was.
package main

import (
	"fmt"
	"time"

	"shoal/internal/simnet/faketime"
)

func main() {
	faketime.Run(func() {
		start := time.Now()
		time.Sleep(time.Hour)
		fmt.Println(time.Since(start))
	})
}
