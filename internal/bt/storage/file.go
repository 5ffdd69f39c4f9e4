package storage

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// handle is an open content file. It is a bare descriptor: package os spends
// three more system calls on opening a file, and a torrent may have a hundred
// thousand of them. An os.File is made when somebody asks for one.
type handle struct {
	fd    int
	write bool
	exact atomic.Bool // the kernel reads nothing ahead

	mu   sync.Mutex
	file *os.File // owns fd from then on
}

// Close gives the descriptor back.
func (h *handle) Close() error {
	if h.file != nil {
		return h.file.Close()
	}
	return unix.Close(h.fd)
}

// asFile is the handle as an os.File, which lives as long as the handle.
func (h *handle) asFile(name string) *os.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		h.file = os.NewFile(uintptr(h.fd), name)
	}
	return h.file
}

// readAt is an io.ReaderAt's.
func (h *handle) readAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(h.fd, p[done:], off+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// writeAt is an io.WriterAt's.
func (h *handle) writeAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(h.fd, p[done:], off+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrShortWrite
		}
		done += n
	}
	return done, nil
}

func (h *handle) stat() (fact, error) { return statFd(h.fd) }

func (h *handle) truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(h.fd, size) })
}

func retry(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
