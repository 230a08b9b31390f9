# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the jobs share; each sources it as /usr/lib/ebb/lib. A job works in a folder of its own under /scratch and
# says where it is, a line each: "ebb-job: phase NAME", and once at the end "ebb-job: NAME ok seconds=S" or
# "ebb-job: NAME BAD: why" with status 1. The output of its tools is shown only if they fail.
job=${0##*/ebb-}
began=$EPOCHREALTIME

phase() { echo "ebb-job: phase $1"; }

bad() {
	echo "ebb-job: $job BAD: $*"
	exit 1
}

ok() { awk -v name="$job" -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "ebb-job: %s ok seconds=%.1f\n", name, b - a }'; }

# For every other failure. A failure in a subshell fails in the shell around it, too, and is reported there.
set -E
trap '[ "$BASH_SUBSHELL" != 0 ] || bad "stopped in line $LINENO"' ERR

# folder: makes the job's own folder and changes to it.
folder() {
	dir=$(mktemp -d "/scratch/$job.XXXXXX") || bad 'no room in /scratch'
	cd "$dir" || exit
}

# run COMMAND…: runs it, and shows the end of its output only if it fails.
run() {
	"$@" >"$dir/log" 2>&1 || {
		tail -n 20 "$dir/log"
		bad "$* failed"
	}
}

# quiet NAME SECONDS: a phase in which nothing happens, so that the memory in use can be measured.
quiet() {
	phase "$1"
	sleep "$2"
}

# residue SECONDS: quiet phases after a clean-up, first with what the guest keeps, then without its caches. "": none.
residue() {
	[ -n "$1" ] || return 0
	sync
	quiet cleaned "$1"
	echo 3 >/proc/sys/vm/drop_caches
	quiet dropped "$1"
}

number() { [[ $1 =~ ^[0-9]+$ ]]; }
