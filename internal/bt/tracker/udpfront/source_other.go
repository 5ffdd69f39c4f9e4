//go:build !linux

package udpfront

// canChooseSource: elsewhere a socket bound to all addresses answers from the one that routing gives it.
const canChooseSource = false

func answerFrom([]byte) []byte { return nil }
