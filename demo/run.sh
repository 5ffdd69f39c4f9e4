#!/usr/bin/env bash
# Runs a whole fleet on this machine: a server, hosts in three data centres, a release of a real tree that goes live in
# waves, and a second one that one host does not take, so that all go back. Then it proves that what runs is what left.
#
#   make demo                                   the Go toolchain's own source folder, 6 hosts
#   make demo DEMO_PATH=/srv/app DEMO_HOSTS=12  any folder, 3 to 200 hosts
#
# The server, each host's agent and each push are processes of their own on addresses of 127.0.0.0/8. Everything lives
# in one temporary folder with two releases for each host, and is gone at the end however that comes. The folder is in
# $TMPDIR if that is set, else in memory (/dev/shm) if there is plenty, so that a slow disk is not what you watch, else
# in /tmp. Needs Linux, bash 5, coreutils, findutils and grep; the comparison uses find and sha256sum, not shoal.
# Exit code 0: the second release was rolled back everywhere, and every host runs exactly the tree of the first.
set -euo pipefail
export LC_ALL=C

SHOAL=${SHOAL:-./shoal}
DEMO_HOSTS=${DEMO_HOSTS:-6}
DEMO_TIMEOUT=${DEMO_TIMEOUT:-300} # seconds for each push

pids=()  # every process that was started, to stop
hosts=() # the numbers 1..DEMO_HOSTS
places=(fra nyc sgp)

fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# tidy stops what runs and removes what lies about. It is the only way out.
tidy() {
	local code=$? pid
	trap '' INT TERM HUP
	if ((${#pids[@]})); then
		kill -TERM "${pids[@]}" 2>/dev/null || true
		for _ in {1..50}; do
			any_runs || break
			sleep 0.1
		done
		kill -KILL "${pids[@]}" 2>/dev/null || true
		wait "${pids[@]}" 2>/dev/null || true
	fi
	if [[ -n ${work:-} ]]; then
		# Only folders: files may be hard links to the tree itself, whose modes are not ours to change.
		find "$work" -type d ! -perm -700 -exec chmod u+rwx {} \; 2>/dev/null || true
		printf '%s\0' "$work"/* | xargs -0 -n 1 -P 4 rm -rf
		rm -rf "$work"
	fi
	exit "$code"
}

any_runs() {
	local pid
	for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && return 0; done
	return 1
}

now_ms() { printf '%d' "$((${EPOCHREALTIME/./} / 1000))"; }

# size BYTES: for people, in MB
size() { printf '%d.%d MB' $(($1 / 1000000)) $(($1 % 1000000 / 100000)); }

# seconds MS
seconds() { printf '%d.%02d s' $(($1 / 1000)) $(($1 % 1000 / 10)); }

# workplace names the folder for everything: it must hold two copies a host, two at the server, and the source.
workplace() {
	local need=0 n free=0 available=0
	while read -r n; do need=$((need + (n + 4095) / 4096 * 4)); done < <(find "$DEMO_PATH" -type f -printf '%s\n') # KiB
	need=$((need * (2 * DEMO_HOSTS + 4)))
	if [[ -z ${TMPDIR:-} && -w /dev/shm && -r /proc/meminfo ]]; then
		free=$(df --output=avail -k /dev/shm | tail -n 1)
		while read -r n available _; do [[ $n != MemAvailable: ]] || break; done </proc/meminfo
		((free < 2 * need || available < 2 * need)) || { echo /dev/shm && return; }
	fi
	echo "${TMPDIR:-/tmp}"
}

# stage copies the tree (by hard links where that works) and adds what a source folder lacks and a release has: an
# executable, modes, links, empty folders and files, names that are no text.
stage() {
	source_dir=$work/source/$name
	mkdir "$work/source"
	if ! cp -al -- "$DEMO_PATH" "$source_dir" 2>/dev/null; then
		chmod -R u+rwX "$source_dir" 2>/dev/null || true
		rm -rf "$source_dir"
		cp -a -- "$DEMO_PATH" "$source_dir"
	fi
	local extra=$source_dir/shoal-demo-extras
	mkdir -p "$extra/empty folder/and one below" "$extra/bin"
	printf '#!/bin/sh\necho deployed\n' >"$extra/bin/hello" && chmod 755 "$extra/bin/hello"
	printf 'not for everyone\n' >"$extra/secret" && chmod 640 "$extra/secret"
	: >"$extra/empty file"
	ln -s bin/hello "$extra/current"
	ln -s "empty folder" "$extra/to a folder"
	ln -s "not there yet" "$extra/dangling"
	printf 'odd\n' >"$extra"/$'odd \xff\xfe name\nwith a line break, "quotes" and \\'
	chmod 700 "$extra/empty folder"
}

# listens ADDRESS PORT: someone accepts connections there
listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# pick_ports finds a port for peers and one for the API that are free on every address of this run.
pick_ports() {
	local k
	net=127.77.$(($$ % 250)) # several demos can run at once
	peer_port=6881 api_port=7443
	for k in "${hosts[@]}" 250 251; do
		while listens "$net.$k" "$peer_port"; do peer_port=$((peer_port + 1)); done
	done
	while listens "$net.250" "$api_port" || ((api_port == peer_port)); do api_port=$((api_port + 1)); done
}

# start NAME COMMAND...: runs it in the background; $! is its process, $work/NAME.log and .err what it says
start() {
	local what=$1
	shift
	: >"$work/$what.log" # it opens them too, perhaps after we look
	"$@" >"$work/$what.log" 2>"$work/$what.err" </dev/null &
	pids+=($!)
}

# await SECONDS PID WHAT TEST...: until TEST succeeds
await() {
	local limit=$(($(now_ms) + $1 * 1000)) pid=$2 what=$3
	shift 3
	until "$@"; do
		kill -0 "$pid" 2>/dev/null || fail "the $what ended: $(tail -n 3 "$work/$what.err")"
		(($(now_ms) < limit)) || fail "the $what is not ready: $(tail -n 3 "$work/$what.err")"
		sleep 0.05
	done
}

# says NAME TEXT: the process has said that
says() { [[ $(<"$work/$1.log") == *"$2"* ]]; }

# sent PID: bytes that the process has written since it began, by the kernel's own count (sockets included)
sent() {
	local key value
	[[ -r /proc/$1/io ]] || { printf 0 && return; }
	while read -r key value; do
		[[ $key != wchar: ]] || { printf '%d' "$value" && return; }
	done <"/proc/$1/io"
}

# field KEY LINE: the text after "KEY": in a JSON document
field() { [[ $2 =~ \"$1\":\"([^\"]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}"; }

# server starts the control plane.
server() {
	start server "$SHOAL" server --data "$work/hq" --api "$net.250:$api_port" --listen "$net.250:$peer_port" --datacenter "${places[0]}" \
		--control none --json
	server_pid=$!
	await 30 "$server_pid" server says server '"event":"server"'
	local doc
	doc=$(<"$work/server.log")
	SHOAL_SERVER=$(field url "$doc") SHOAL_CA=$(field ca "$doc")
	SHOAL_TOKEN=$(<"$(field token_file "$doc")")
	export SHOAL_SERVER SHOAL_CA
	echo "server    $SHOAL_SERVER"
}

# agent K: a host joins with a token of its own. Its health check looks at what runs; one host is particular.
agent() {
	local k=$1 root=$work/host-$1 place=${places[($1 - 1) % 3]} token
	mkdir "$root"
	cat >"$work/host-$k.yaml" <<-END
		root: $root
		host: host-$k
		datacenter: $place
		labels: {role: web}
		apps:
		  web:
		    health: {command: [$work/health, "$k"], timeout: 10s, retries: 1, interval: 200ms}
	END
	token=$(SHOAL_TOKEN=$SHOAL_TOKEN "$SHOAL" tokens create "host-$k" --role joiner --host "host-$k" --expires 1h --json)
	SHOAL_TOKEN=$(field secret "$token") start "host-$k" "$SHOAL" agent --config "$work/host-$k.yaml" --listen "$net.$k:$peer_port" \
		--control none --log-level warn --json
}

# all_online: every host has reported
all_online() { (($(SHOAL_TOKEN=$SHOAL_TOKEN "$SHOAL" hosts | grep -c " online ") == ${#hosts[@]})); }

# push VERSION DIR ARGS...: pushes and follows; what the pushing process has sent is in pushed, its exit code in code
push() {
	local version=$1 dir=$2 n pid limit=$(($(now_ms) + DEMO_TIMEOUT * 1000))
	shift 2
	SHOAL_TOKEN=$SHOAL_TOKEN "$SHOAL" push "$dir" --app web --version "$version" --to role=web --listen "$net.251:$peer_port" \
		--control none --log-level error "$@" &
	pid=$!
	pids+=("$pid")
	pushed=0 code=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$(sent "$pid" 2>/dev/null || echo 0)
		((n <= pushed)) || pushed=$n
		(($(now_ms) < limit)) || fail "the push of $version is not over after $DEMO_TIMEOUT seconds"
		sleep 0.1
	done
	wait "$pid" || code=$?
}

# fingerprint DIR: every path below DIR with its kind, mode and link text, then every file's hash. Names may be any
# bytes, so records end with NUL.
fingerprint() (
	cd -- "$1"
	find . -printf '%y %m %p -> %l\0' | sort -z
	find . -type f -print0 | sort -z | xargs -0 -r sha256sum --zero --
)

# compare counts the hosts whose tree is the source's tree, two at a time.
compare() {
	local k running=()
	fingerprint "$source_dir" >"$work/want"
	for k in "${hosts[@]}"; do
		fingerprint "$work/host-$k/web/current/" >"$work/got-$k" 2>"$work/got-$k.err" &
		running+=($!)
		((${#running[@]} < 2)) || { wait "${running[0]}" || true; running=("${running[@]:1}"); }
	done
	for k in "${running[@]}"; do wait "$k" || true; done
	identical=0
	for k in "${hosts[@]}"; do
		if [[ -s $work/want && $(sha256sum <"$work/want") == "$(sha256sum <"$work/got-$k")" ]]; then
			identical=$((identical + 1))
			continue
		fi
		echo "host $k differs (< source, > host):"
		tr '\n\0' '?\n' <"$work/want" | sort >"$work/want.txt"
		tr '\n\0' '?\n' <"$work/got-$k" | sort >"$work/got.txt"
		comm -23 "$work/want.txt" "$work/got.txt" | head -n 5 | while IFS= read -r l; do echo "  < $l"; done
		comm -13 "$work/want.txt" "$work/got.txt" | head -n 5 | while IFS= read -r l; do echo "  > $l"; done
	done
}

# since FILE: milliseconds from the first push to the last change of the file itself, by the kernel's clock
since() { echo $(($(stat -c %.3Z "$1" | tr -d .) - started)); }

# times sets staged and live, sorted, of release 1.0. It has to be asked before current is switched again.
times() {
	mapfile -t staged < <(for k in "${hosts[@]}"; do since "$work/host-$k/web/releases/1.0"; done | sort -n)
	mapfile -t live < <(for k in "${hosts[@]}"; do since "$work/host-$k/web/current"; done | sort -n)
}

# table prints how it went.
table() {
	local n=${#hosts[@]} sum=$((pushed_first + server_sent)) copies
	local last=${staged[n - 1]}
	copies=$((bytes > 0 ? 100 * sum / bytes : 0))
	echo
	printf '  %-14s %s\n' \
		"content" "$(size "$bytes"), $files files" \
		"first staged" "$(seconds "${staged[0]}") after the push began to hash" \
		"median staged" "$(seconds "${staged[n / 2]}")" \
		"last staged" "$(seconds "$last"), $(size $((last > 0 ? bytes * n / last * 1000 : 0)))/s to all hosts together" \
		"first live" "$(seconds "${live[0]}")" \
		"last live" "$(seconds "${live[n - 1]}")" \
		"sources sent" "$(printf '%d.%02d' $((copies / 100)) $((copies % 100))) copies ($(size "$pushed_first") from the pushing host, $(size "$server_sent") from the server)" \
		"all in all" "$(seconds $(($(now_ms) - began)))"
	echo
	echo "identical: $identical of $n"
}

main() {
	[[ $DEMO_HOSTS =~ ^[1-9][0-9]*$ ]] && ((DEMO_HOSTS >= 3 && DEMO_HOSTS <= 200)) || fail "DEMO_HOSTS=$DEMO_HOSTS: want 3 to 200"
	[[ -x $SHOAL ]] || fail "no $SHOAL here: run make first"
	SHOAL=$(realpath -- "$SHOAL")
	DEMO_PATH=${DEMO_PATH:-$(go env GOROOT)/src}
	[[ -d $DEMO_PATH ]] || fail "DEMO_PATH=$DEMO_PATH is not a folder"
	DEMO_PATH=$(realpath -- "$DEMO_PATH")
	name=$(basename -- "$DEMO_PATH")
	mapfile -t hosts < <(seq "$DEMO_HOSTS")
	began=$(now_ms)

	trap tidy EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	work=$(mktemp -d "$(workplace)/shoal-demo.XXXXXX")
	export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
	stage
	pick_ports
	files=$(find "$source_dir" -type f -printf . | wc -c)
	echo "release   $DEMO_PATH and a few odd things, $files files"
	echo "folder    $work"
	bytes=0
	while read -r n; do bytes=$((bytes + n)); done < <(find "$source_dir" -type f -printf '%s\n')
	sick=host-$((DEMO_HOSTS - 1))
	cat >"$work/health" <<-END
		#!/bin/sh
		test -x "\$SHOAL_DIR/shoal-demo-extras/bin/hello" || exit 1
		test "host-\$1 \$SHOAL_VERSION" != "$sick 2.0" || { echo "2.0 does not start on $sick"; exit 1; }
	END
	chmod 755 "$work/health"

	server
	local k before
	for k in "${hosts[@]}"; do agent "$k"; done
	await 60 "$server_pid" server all_online
	echo "hosts     ${#hosts[@]} in ${places[*]}"
	echo
	echo "== web 1.0: staged everywhere, then one host, half of them, all"
	before=$(sent "$server_pid")
	started=$(now_ms)
	push 1.0 "$source_dir" --waves 'canary=1 soak=1s, 50% soak=1s, 100%'
	((code == 0)) || fail "the push of 1.0 ended with code $code"
	pushed_first=$pushed server_sent=$(($(sent "$server_pid") - before))
	times

	echo
	echo "== web 2.0: $sick will not be well with it"
	mkdir "$work/next"
	cp -al -- "$source_dir" "$work/next/$name"
	echo "2.0" >"$work/next/$name/shoal-demo-extras/VERSION"
	push 2.0 "$work/next/$name" --waves 'canary=1 soak=1s, 100%' --on-breach rollback
	((code != 0)) || fail "2.0 went live although $sick is not well with it"
	SHOAL_TOKEN=$SHOAL_TOKEN "$SHOAL" audit --rollout 2 --last 20
	compare
	table
	((identical == ${#hosts[@]}))
}

main "$@"
