//go:build !linux

package node

import "errors"

func stepAside() error { return errors.ErrUnsupported }

func stepForward(int) error { return errors.ErrUnsupported }
