package storage_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/internal/bt/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/storage"
	"shoal/internal/bt/storage/storagetest"
)

// Tests that need a process to kill or another user run this binary again with
// one of these roles, which are tests that do nothing otherwise.
const (
	roleVar = "SHOAL_STORAGE_TEST_ROLE"
	dirVar  = "SHOAL_STORAGE_TEST_DIR"
	killVar = "SHOAL_STORAGE_TEST_KILL" // blocks after which the process kills itself; "": never
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func again(t *testing.T, role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+role+"$", "-test.v")
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
	return cmd
}

// killedTorrent is what the killed process fetches.
func killedTorrent(t testing.TB, v metainfo.Version) *storagetest.Torrent {
	entries := []storagetest.Entry{{Path: "big", Data: storagetest.Bytes(300*piece, 1), Mode: 0o644}}
	for i := range 60 {
		entries = append(entries, storagetest.Entry{Path: "small/" + strconv.Itoa(i), Data: storagetest.Bytes(9000, byte(i)), Mode: 0o644})
	}
	return storagetest.Make(t, v, piece, entries...)
}

// inFlight is how many pieces the killed process fetches at a time.
const inFlight = 8

// TestRoleFetch is the process that is killed: it fetches what is missing,
// several pieces at a time and block by block, and prints what it fetches. It
// sends itself the SIGKILL, so that a busy machine cannot delay it.
func TestRoleFetch(t *testing.T) {
	if os.Getenv(roleVar) != t.Name() {
		return
	}
	version, err := metainfo.ParseVersion(filepath.Base(os.Getenv(dirVar)))
	must(t, err)
	tor := killedTorrent(t, version)
	d := open(t, os.Getenv(dirVar), tor, storage.Options{SyncEvery: 20 * time.Millisecond})
	must(t, d.Preflight(t.Context()))
	have, hashed := check(t, d)
	fmt.Println("\nhashed", hashed)
	must(t, d.Allocate(t.Context()))
	partial := map[metainfo.Piece]*bitfield.Set{}
	for _, p := range d.Partial() {
		partial[p.Piece] = p.Blocks
	}
	var fetched atomic.Int64
	last, err := strconv.ParseInt(os.Getenv(killVar), 10, 64)
	count := func() {
		if err == nil && fetched.Add(1) == last {
			time.AfterFunc(rand.N(time.Millisecond), func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, inFlight)
	for _, p := range rand.Perm(tor.Info.NumPieces()) {
		if have.Has(p) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			fetchPiece(t, tor, d, metainfo.Piece(p), partial[metainfo.Piece(p)], count)
			<-slots
		})
	}
	wg.Wait()
	must(t, d.Finish(t.Context()), d.Close())
	fmt.Println("\nfinished")
}

func fetchPiece(t *testing.T, tor *storagetest.Torrent, d *storage.Disk, p metainfo.Piece, blocks *bitfield.Set, count func()) {
	data, start := tor.Piece(p), tor.Info.PieceOffset(p)
	for off := 0; off < len(data); off += metainfo.BlockSize {
		if blocks != nil && blocks.Has(off/metainfo.BlockSize) {
			continue
		}
		time.Sleep(time.Duration(rand.N(2000)) * time.Microsecond) // the network, so that kills find pieces in flight
		b := data[off:min(off+metainfo.BlockSize, len(data))]
		fmt.Println("\nfetched", len(b))
		count()
		if _, err := d.WriteAt(b, start+int64(off)); err != nil {
			t.Error(err)
			return
		}
	}
	got := make([]byte, len(data))
	if _, err := d.ReadAt(got, start); err != nil || !bytes.Equal(got, data) {
		t.Errorf("piece %d is not what was written, %v", p, err)
		return
	}
	d.MarkHave(p)
}

// TestKill9 kills a fetch with SIGKILL at 20 random moments: it ends with the
// right content, and what was fetched twice is little.
func TestKill9(t *testing.T) {
	for v, times := range map[metainfo.Version]int{metainfo.Hybrid: 20, metainfo.V1: 6} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), v.String())
			tor := killedTorrent(t, v)
			var fetched, hashed int64
			for kills, finished := 0, false; !finished; kills++ {
				var f, h int64
				f, h, finished = runAndKill(t, dir, kills < times)
				fetched, hashed = fetched+f, hashed+h
				if finished && kills < times {
					t.Errorf("finished after %d kills: the content is too small for this test", kills)
				}
			}
			d := open(t, dir, tor, storage.Options{ReadOnly: true})
			if r, err := d.Verify(t.Context(), nil); err != nil || !r.OK() {
				t.Errorf("verify: %+v, %v", r, err)
			}
			size := tor.Info.ContentLength()
			twice := fetched - size
			t.Logf("fetched %d bytes twice of %d, hashed %d in all starts", twice, size, hashed)
			if twice < 0 || twice > size/10 {
				t.Errorf("fetched %d bytes for %d", fetched, size)
			}
		})
	}
}

// runAndKill starts a fetch that is killed after a random share, or is not. It
// returns the bytes that the process says to have fetched and hashed.
func runAndKill(t *testing.T, dir string, kill bool) (fetched, hashed int64, finished bool) {
	cmd := again(t, "TestRoleFetch", dir)
	if kill {
		cmd.Env = append(cmd.Env, killVar+"="+strconv.Itoa(1+rand.N(45)))
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int64
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "fetched "):
			_, err = fmt.Sscanf(line, "fetched %d", &n)
			fetched += n
		case strings.HasPrefix(line, "hashed "):
			_, err = fmt.Sscanf(line, "hashed %d", &n)
			hashed += n
		case line == "finished":
			finished = true
		default:
			said = append(said, line)
		}
		must(t, err)
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fetched, hashed, finished
	}
	if err != nil || !finished {
		t.Fatalf("the fetching process failed: %v\n%s\n%s", err, strings.Join(said, "\n"), stderr.String())
	}
	return fetched, hashed, true
}

// TestRoleNobody runs as a user who may not write.
func TestRoleNobody(t *testing.T) {
	if os.Getenv(roleVar) != t.Name() {
		return
	}
	dir := os.Getenv(dirVar)
	tor := library(t, metainfo.V1)
	locked := filepath.Join(dir, "locked")
	d := open(t, locked, tor, storage.Options{})
	if err := d.Preflight(t.Context()); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), locked) {
		t.Errorf("preflight: %v", err)
	}
	if _, err := d.WriteAt(tor.Piece(0), 0); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), locked) {
		t.Errorf("write: %v", err)
	}
	if err := d.Allocate(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("allocate: %v", err)
	}
	// A read-only tree can be seeded all the same.
	seed := open(t, filepath.Join(dir, "done"), tor, storage.Options{ReadOnly: true})
	if have, _ := check(t, seed); !have.All() {
		t.Errorf("seed has %d of %d", have.Count(), have.Len())
	}
	// And a get that finds it complete has nothing to write.
	again := open(t, filepath.Join(dir, "done"), tor, storage.Options{})
	must(t, again.Preflight(t.Context()))
	if have, _ := check(t, again); !have.All() {
		t.Errorf("get has %d of %d", have.Count(), have.Len())
	}
	must(t, again.Finish(t.Context()))
	// A finished tree of ours, whose folders and files are read-only, is repaired.
	mine, err := os.MkdirTemp("", "shoal-storage-nobody")
	must(t, err)
	defer os.RemoveAll(mine)
	animals := zoo(t, metainfo.Hybrid)
	writableAgain(t, path(mine, "locked"))
	must(t, fetch(t, mine, animals, storage.Options{}).Close())
	must(t, os.Chmod(path(mine, "locked"), 0o755), os.Remove(path(mine, "locked/in")), os.Chmod(path(mine, "locked"), 0o555))
	fetch(t, mine, animals, storage.Options{})
	if r, err := open(t, mine, animals, storage.Options{ReadOnly: true}).Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("verify: %+v, %v", r, err)
	}
	must(t, os.Chmod(path(mine, "locked"), 0o755))
}

func TestReadOnlyFolder(t *testing.T) {
	dir, err := os.MkdirTemp("", "shoal-storage")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "locked"), 0o555))
	must(t, fetch(t, filepath.Join(dir, "done"), library(t, metainfo.V1), storage.Options{}).Close())
	cmd := again(t, "TestRoleNobody", dir)
	if os.Getuid() == 0 {
		// The binary lies in a folder that only root can reach.
		copied := filepath.Join(dir, "test")
		put(t, copied, read(t, os.Args[0]))
		must(t, os.Chmod(copied, 0o755))
		cmd.Path = copied
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestReadError: an error of the disk names the file. A folder that is swapped
// in for a file is the nearest that can be had without a broken disk.
func TestReadError(t *testing.T) {
	tor, dir := library(t, metainfo.V1), t.TempDir()
	must(t, fetch(t, dir, tor, storage.Options{}).Close())
	d := open(t, dir, tor, storage.Options{ReadOnly: true})
	check(t, d)
	must(t, d.Close(), os.Remove(path(dir, "tiny")), os.Mkdir(path(dir, "tiny"), 0o755))
	d = open(t, dir, tor, storage.Options{ReadOnly: true})
	end := int64(len(tor.Space))
	if _, err := d.ReadAt(make([]byte, 10), end-10); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "app/tiny") {
		t.Errorf("read: %v", err)
	}
}
