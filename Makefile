# make        builds ./shoal, one static binary
# make test   everything CI runs: format, vet, staticcheck, all platforms, tests
# make demo   runs a whole fleet on this machine and deploys a real tree
#
# Go, make and git are all the set-up there is; modules and tools come with `go`.

GO      ?= go
FUZZTIME ?= 30s
PREFIX  ?= /usr/local
DESTDIR ?=

# The version is the module's own, stamped by `go build` from git; a tree
# without git (a tarball) builds all the same and says "(devel)".
VCS     := $(shell git status >/dev/null 2>&1 && echo true || echo false)
GOBUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -ldflags=-s
# The gofmt of that very Go, even where only `go` is on the PATH.
GOFMT   := $(or $(wildcard $(shell $(GO) env GOROOT)/bin/gofmt),gofmt)
GOFILES  = $(shell find . -name '*.go' -not -path './.git/*' -not -path '*/testdata/*')

# The race detector is C code: without a compiler the tests run without it.
CC_FOUND := $(shell command -v $$($(GO) env CC) 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race)

# What the interop tests drive; each test skips when its program is missing,
# unless SHOAL_REQUIRE_INTEROP is set, as CI does: then it fails.
CLIENTS  := rtorrent transmission-daemon transmission-show aria2c opentracker mktorrent

.PHONY: all shoal test check clients demo fuzz cross dist man install clean

all: shoal

shoal:
	$(GOBUILD) -o shoal ./cmd/shoal

test: check cross clients
	@$(if $(RACE),,echo "make test: no C compiler ($$($(GO) env CC)): the race detector is off")
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 25m ./...

check:
	@bad=$$($(GOFMT) -l $(GOFILES)); test -z "$$bad" || { echo "not gofmt'ed:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

clients:
	@for c in $(CLIENTS); do command -v $$c >/dev/null || \
		echo "make test: $$c is not installed: the interop tests that need it are skipped"; done
	@/usr/bin/python3 -c 'import libtorrent' 2>/dev/null || \
		echo "make test: python3-libtorrent is not installed: the interop tests that need it are skipped"
	@test -x "$${SHOAL_NEWER_CLIENTS:-$${XDG_CACHE_HOME:-$$HOME/.cache}/shoal/newer-clients}/bin/aria2c" || \
		echo "make test: no newer aria2 and transmission (.ci/newer-clients fetches them): their interop tests are skipped"

demo: shoal
	./demo/run.sh

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	@set -e; for p in $$(grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -n1 dirname | sort -u); do \
		for f in $$(cat $$p/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "== $$p $$f $(FUZZTIME)"; \
			$(GO) test ./$$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME); \
		done; done

# Linux is what we ship; the other Unixes must compile.
cross:
	@set -e; for t in linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64 openbsd/amd64 illumos/amd64; do \
		echo "CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build ./..."; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -buildvcs=false ./...; done

dist:
	@set -e; for a in amd64 arm64; do \
		GOOS=linux GOARCH=$$a $(GOBUILD) -o dist/shoal-linux-$$a ./cmd/shoal; echo dist/shoal-linux-$$a; done

man: shoal
	./shoal man dist/man

install: shoal man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 shoal $(DESTDIR)$(PREFIX)/bin/shoal
	install -m 644 dist/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/

clean:
	rm -rf shoal dist
