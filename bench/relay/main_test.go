package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// TestCarry: what goes in comes out, not before its time, and an end ends both sides.
func TestCarry(t *testing.T) {
	const delay, rate = 50 * time.Millisecond, 1 << 20
	send, in := net.Pipe()
	out, receive := net.Pipe()
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		(&line{rate: rate, delay: delay}).carry(out, in)
	}()
	want := bytes.Repeat([]byte("shoal"), 50_000)
	go func() {
		_, _ = send.Write(want)
		send.Close()
	}()
	got, err := io.ReadAll(receive)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d came: %v", len(got), len(want), err)
	}
	if took, least := time.Since(start), delay-late+time.Second*time.Duration(len(want))/rate; took < least {
		t.Errorf("it took %v, want at least %v", took, least)
	}
	<-done
}
