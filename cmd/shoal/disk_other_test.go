//go:build !linux

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func canMount(*testing.T) bool { return false }

func disk(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("no tiny disks here") }
func fill(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("no tiny disks here") }
