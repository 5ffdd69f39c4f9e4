#!/usr/bin/env bash
# Deploys a real tree from one seed to several hosts on this machine, and proves that what arrived is what left.
#
#   make demo                                   the Go toolchain's own source folder, 6 hosts
#   make demo DEMO_PATH=/srv/app DEMO_HOSTS=12  any folder, any number of hosts up to 200
#
# The tracker, the seed and each host are processes of their own on addresses of 127.0.0.0/8. Everything lives in one
# temporary folder with a copy for each host, and is gone at the end however that comes. The folder is in $TMPDIR if
# that is set, else in memory (/dev/shm) if there is plenty, so that a slow disk is not what you watch, else in /tmp.
# Needs Linux, bash 5, coreutils and findutils; the comparison uses find and sha256sum, not shoal.
# Exit code 0: every host has exactly the tree.
set -euo pipefail
export LC_ALL=C

SHOAL=${SHOAL:-./shoal}
DEMO_HOSTS=${DEMO_HOSTS:-6}
DEMO_TIMEOUT=${DEMO_TIMEOUT:-300} # seconds for the transfer

pids=()  # every process that was started, to stop
hosts=() # the numbers 1..DEMO_HOSTS
declare -A pid_of part state done_bytes rate peers finished # by host

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

# workplace names the folder for everything: it must hold one copy a host and the source.
workplace() {
	local need=0 n free=0 available=0
	while read -r n; do need=$((need + (n + 4095) / 4096 * 4)); done < <(find "$DEMO_PATH" -type f -printf '%s\n') # KiB
	need=$((need * (DEMO_HOSTS + 1)))
	if [[ -z ${TMPDIR:-} && -w /dev/shm && -r /proc/meminfo ]]; then
		free=$(df --output=avail -k /dev/shm | tail -n 1)
		while read -r n available _; do [[ $n != MemAvailable: ]] || break; done </proc/meminfo
		((free < 3 * need || available < 3 * need)) || { echo /dev/shm && return; }
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

# pick_ports finds a port for peers and one for the tracker that are free on every address of this run.
pick_ports() {
	local k
	net=127.77.$(($$ % 250)) # several demos can run at once
	peer_port=6881 tracker_port=6969
	for k in "${hosts[@]}" 250; do
		while listens "$net.$k" "$peer_port"; do peer_port=$((peer_port + 1)); done
	done
	while listens "$net.250" "$tracker_port" || ((tracker_port == peer_port)); do tracker_port=$((tracker_port + 1)); done
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

serves() { [[ $(<"$work/seed.log") == *'"event":"serving"'* ]]; }

# sent PID: bytes that the process has written since it began, by the kernel's own count (sockets included)
sent() {
	local key value
	[[ -r /proc/$1/io ]] || { printf 0 && return; }
	while read -r key value; do
		[[ $key != wchar: ]] || { printf '%d' "$value" && return; }
	done <"/proc/$1/io"
}

# number KEY LINE: the integer after "KEY": in a JSON document
number() { [[ $2 =~ \"$1\":([0-9]+) ]] && printf '%s' "${BASH_REMATCH[1]}" || printf 0; }

# follow K: reads what host K has said since the last time
follow() {
	local k=$1 line fd=$((10 + $1))
	while IFS= read -r line <&"$fd"; do
		line=${part[$k]}$line part[$k]=''
		case $line in
		*'"event":"progress"'*)
			[[ $line =~ \"state\":\"([a-z\ -]*)\" ]] && state[$k]=${BASH_REMATCH[1]}
			done_bytes[$k]=$(number done "$line") rate[$k]=$(number rate "$line") peers[$k]=$(number peers "$line")
			;;
		*'"event":"error"'*) fail "host $k: $line" ;;
		esac
	done
	part[$k]+=$line # the start of a line that is still being written
	if [[ -z ${finished[$k]} && -e $work/done-$k ]]; then
		finished[$k]=$(($(stat -c %.3Y "$work/done-$k" | tr -d .) - started))
		done_bytes[$k]=$bytes state[$k]=complete rate[$k]=0
	fi
	[[ -n ${finished[$k]} ]] || kill -0 "${pid_of[$k]}" 2>/dev/null ||
		fail "host $k ended before it was complete: $(tail -n 3 "$work/host-$k.err")"
}

bar='########################################' gap='........................................'

# line K: the state of host K
line() {
	local k=$1 full tail
	full=$((bytes > 0 ? 30 * done_bytes[$k] / bytes : 30))
	if [[ -n ${finished[$k]} ]]; then
		tail="complete after $(seconds "${finished[$k]}")"
	else
		tail="$(size "${rate[$k]}")/s, ${peers[$k]} peers, ${state[$k]}"
	fi
	printf '  %-14s [%s%s] %3d %%  %s' "$net.$k" "${bar:0:full}" "${gap:0:$((30 - full))}" \
		$((bytes > 0 ? 100 * done_bytes[$k] / bytes : 100)) "$tail"
}

# watch shows a line a host until all are complete: in place on a terminal, else once a second.
watch() {
	local k left drawn='' limit=$((started + DEMO_TIMEOUT * 1000)) next=0 screen='' width=1000 text
	[[ ! -t 1 ]] || { screen=yes && read -r _ width < <(stty size <&1 2>/dev/null || echo 24 80); }
	while :; do
		left=0
		for k in "${hosts[@]}"; do
			follow "$k"
			[[ -n ${finished[$k]} ]] || left=$((left + 1))
		done
		if [[ -n $screen ]] || ((left == 0 || $(now_ms) >= next)); then
			[[ -z $screen || -z $drawn ]] || printf '\e[%dA' "${#hosts[@]}"
			for k in "${hosts[@]}"; do
				text=$(line "$k")
				printf '%s%s\n' "${text:0:width > 0 ? width : 80}" "${screen:+$'\e[K'}"
			done
			drawn=yes next=$(($(now_ms) + 1000))
			[[ -n $screen || $left == 0 ]] || echo
		fi
		((left)) || return 0
		(($(now_ms) < limit)) || fail "$left hosts are not complete after $DEMO_TIMEOUT seconds"
		sleep 0.2
	done
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
		fingerprint "$work/host-$k/$name" >"$work/got-$k" 2>"$work/got-$k.err" &
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

# table prints how it went.
table() {
	local times=() n=${#hosts[@]} copies
	mapfile -t times < <(printf '%s\n' "${finished[@]}" | sort -n)
	local median=$(((times[(n - 1) / 2] + times[n / 2]) / 2)) last=${times[n - 1]}
	copies=$((bytes > 0 ? 100 * source_sent / bytes : 0))
	echo
	printf '  %-14s %s\n' \
		"content" "$(size "$bytes"), $files files" \
		"first host" "$(seconds "${times[0]}")" \
		"median host" "$(seconds "$median")" \
		"last host" "$(seconds "$last")" \
		"source sent" "$(printf '%d.%02d' $((copies / 100)) $((copies % 100))) copies ($(size "$source_sent"))" \
		"delivered" "$(size $((last > 0 ? n * bytes * 1000 / last : 0)))/s ($n copies in $(seconds "$last"))"
	echo
	echo "identical: $identical of $n"
}

main() {
	[[ $DEMO_HOSTS =~ ^[1-9][0-9]*$ ]] && ((DEMO_HOSTS <= 200)) || fail "DEMO_HOSTS=$DEMO_HOSTS: want 1 to 200"
	[[ -x $SHOAL ]] || fail "no $SHOAL here: run make first"
	SHOAL=$(realpath -- "$SHOAL")
	DEMO_PATH=${DEMO_PATH:-$(go env GOROOT)/src}
	[[ -d $DEMO_PATH ]] || fail "DEMO_PATH=$DEMO_PATH is not a folder"
	DEMO_PATH=$(realpath -- "$DEMO_PATH")
	name=$(basename -- "$DEMO_PATH")
	mapfile -t hosts < <(seq "$DEMO_HOSTS")

	trap tidy EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	work=$(mktemp -d "$(workplace)/shoal-demo.XXXXXX")
	stage
	pick_ports
	files=$(find "$source_dir" -type f -printf . | wc -c)
	echo "release   $DEMO_PATH and a few odd things, $files files"
	echo "folder    $work"
	"$SHOAL" create "$source_dir" -a "http://$net.250:$tracker_port/announce" -o "$work/release.torrent" >"$work/create.log" 2>&1 ||
		fail "create: $(<"$work/create.log")"
	bytes=0
	while read -r n; do bytes=$((bytes + n)); done < <(find "$source_dir" -type f -printf '%s\n')

	start tracker "$SHOAL" tracker --listen "$net.250:$tracker_port"
	await 10 $! tracker listens "$net.250" "$tracker_port"
	start seed "$SHOAL" seed "$work/release.torrent" --dir "$work/source" --listen "$net.250:$peer_port" --json
	seed_pid=$!
	await 60 "$seed_pid" seed serves
	echo "source    $net.250:$peer_port, tracker $net.250:$tracker_port"

	local k before
	before=$(sent "$seed_pid")
	started=$(now_ms)
	for k in "${hosts[@]}"; do
		mkdir "$work/host-$k"
		start "host-$k" "$SHOAL" get "$work/release.torrent" --dir "$work/host-$k" --listen "$net.$k:$peer_port" --seed \
			--json --on-complete ": > $(printf %q "$work/done-$k")"
		pid_of[$k]=$! part[$k]='' state[$k]=starting done_bytes[$k]=0 rate[$k]=0 peers[$k]=0 finished[$k]=''
		eval "exec $((10 + k))<\$work/host-$k.log"
	done
	echo "hosts     ${#hosts[@]}"
	watch
	source_sent=$(($(sent "$seed_pid") - before))
	compare
	table
	((identical == ${#hosts[@]}))
}

main "$@"
