package storage

import (
	"io/fs"
	"testing"
)

func TestJudgeName(t *testing.T) {
	file := func(size, allocated int64) fact {
		return fact{there: true, kind: 0o644, size: size, allocated: allocated, links: 1}
	}
	of := func(kind fs.FileMode, text string) fact { return fact{there: true, kind: kind, text: text} }
	want, link := wanted{length: 100}, wanted{link: true, text: "x"}
	for _, c := range []struct {
		name            string
		f               fact
		w               wanted
		ours            bool
		strict, forcing verdict // without and with Overwrite
	}{
		{"absent", fact{}, want, false, fine, fine},
		{"right size, ours", file(100, 4096), want, true, fine, fine},
		{"right size, not ours", file(100, 4096), want, false, unproven, unproven},
		{"shorter, ours", file(7, 4096), want, true, fine, fine},
		{"shorter, not ours", file(7, 4096), want, false, conflict, unproven},
		{"empty", file(0, 0), want, false, fine, fine},
		{"a hole", file(100, 0), want, false, fine, fine},
		{"shorter hole", file(7, 0), want, false, fine, fine},
		{"longer, ours", file(101, 4096), want, true, conflict, trim},
		{"longer, not ours", file(101, 4096), want, false, conflict, trim},
		{"longer than empty", file(1, 4096), wanted{}, false, conflict, trim},
		{"folder", of(fs.ModeDir, ""), want, false, conflict, conflict},
		{"folder, ours", of(fs.ModeDir, ""), want, true, conflict, conflict},
		{"link for a file", of(fs.ModeSymlink, "x"), want, true, conflict, replace},
		{"FIFO", of(fs.ModeNamedPipe, ""), want, false, conflict, replace},
		{"device", of(fs.ModeDevice, ""), want, false, conflict, replace},
		{"no link yet", fact{}, link, false, fine, fine},
		{"same link", of(fs.ModeSymlink, "x"), link, false, fine, fine},
		{"other link", of(fs.ModeSymlink, "y"), link, true, conflict, replace},
		{"file for a link", file(0, 0), link, false, conflict, replace},
		{"folder for a link", of(fs.ModeDir, ""), link, false, conflict, conflict},
	} {
		for _, overwrite := range []bool{false, true} {
			expect := c.strict
			if overwrite {
				expect = c.forcing
			}
			got, reason := judgeName(c.f, c.w, c.ours, overwrite)
			if got != expect || (got == conflict) != (reason != "") {
				t.Errorf("%s, overwrite %v: verdict %d %q, want %d", c.name, overwrite, got, reason, expect)
			}
		}
	}
}

func TestJudgeContent(t *testing.T) {
	one, two := fact{there: true, links: 1}, fact{there: true, links: 2}
	for _, c := range []struct {
		name            string
		f               fact
		ours, hollow    bool
		good, bad       int
		strict, forcing verdict
	}{
		{"all good", one, false, false, 5, 0, fine, fine},
		{"all good, several names", two, false, false, 5, 0, fine, fine},
		{"some good", one, false, false, 1, 4, fine, fine},
		{"none good", one, false, false, 0, 5, conflict, fine},
		{"none good, ours", one, true, false, 0, 5, fine, fine},
		{"none good, hollow", one, false, true, 0, 5, fine, fine},
		{"some good, several names", two, true, false, 1, 4, conflict, replace},
		{"absent", fact{}, false, false, 0, 5, fine, fine},
	} {
		for _, overwrite := range []bool{false, true} {
			expect := c.strict
			if overwrite {
				expect = c.forcing
			}
			if got, reason := judgeContent(c.f, c.ours, c.hollow, overwrite, c.good, c.bad); got != expect || (got == conflict) != (reason != "") {
				t.Errorf("%s, overwrite %v: verdict %d %q, want %d", c.name, overwrite, got, reason, expect)
			}
		}
	}
}
