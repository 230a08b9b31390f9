#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soak SECONDS SEED [MS]: runs memcheck for SECONDS, while everything else moves memory in the guest: huge pages of every
# size, files on a tmpfs, compaction, dropped caches, OOM kills and, if the kernel has them, reports on request.
# Repeats that up to five times until each of these has succeeded once: a guest on a busy host may be slow.
# Then prints memcheck's lines without its rounds, the counts as lines "soak: NAME=NUMBER", and "soak: over"; waits for a
# line on stdin; exits with memcheck's status.
# With KEEPER=1 in the environment nothing is killed: a keeper leaves alone a guest that had to kill.
# MS: how long a report on request may take, instead of the kernel's own second. For a guest of 512 MiB, of which the
# host may want up to 128.
# shellcheck disable=SC2317  # `again` calls these functions
thp=/sys/kernel/mm/transparent_hugepage
now=/sys/kernel/mm/page_reporting/report_now
marks=/tmp/soak names='' within=${3:+ timeout=$3}
mkdir -p $marks

# By default a kernel with less than 512 MiB gives no huge pages, and no kernel gives any of less than 2 MiB.
echo always >$thp/enabled
for size in "$thp"/hugepages-*; do
	case $size in *-2048kB) ;; *) [ ! -e "$size/enabled" ] || echo always >"$size/enabled" ;; esac
	[ ! -e "$size/shmem_enabled" ] || echo within_size >"$size/shmem_enabled"
done

# again NAME PAUSE COMMAND…: repeats COMMAND in the background until the soak is over, and counts successes.
again() {
	name=$1 pause=$2 names="$names $1"
	shift 2
	while [ -d $marks ]; do
		if "$@" >/dev/null 2>&1; then echo >>"$marks/$name"; fi
		sleep "$pause"
	done 2>/dev/null &
}
all_happened() {
	missing=''
	for name in $names; do [ -s "$marks/$name" ] || missing="$missing $name"; done
	[ -z "$missing" ]
}
say_to() { echo "$2" >"$1"; }
files() { cachefill 24M /tmp/files --files 48 --delete-every 2 && rm -r /tmp/files; }
reports() { for words in now 'now compact' 'now cache=all'; do say_to "$now" "$words$within" || return; done; }

echo 'soak: on'
# The process that `oom` starts is always killed before any of these.
echo -900 >/proc/self/oom_score_adj
again huge 0.3 hold 48M --thp --hold 0.1
again small 0.2 hold 32M --no-thp --hold 0.1
again files 0.4 files
again compact 1.1 say_to /proc/sys/vm/compact_memory 1
again drop 1.7 say_to /proc/sys/vm/drop_caches 3
[ "${KEEPER:-}" ] || again oom 3 oom
[ ! -e $now ] || again report 0.7 reports
for try in 0 1 2 3 4; do
	if [ "$try" != 0 ]; then
		if all_happened; then break; fi
		echo "soak: repeating, as these have not succeeded yet:$missing"
	fi
	memcheck 96M --processes 3 --seconds "$1" --seed $(($2 + try)) >>/tmp/memcheck
	status=$?
	[ $status = 0 ] || break
done

# Print nothing before all have ended: the kernel's lines about an OOM kill would break up a line.
mv $marks $marks.over
wait
grep -v round /tmp/memcheck
for file in "$marks.over"/*; do echo "soak: ${file##*/}=$(wc -l <"$file")"; done
echo "soak: nodes=$(cat /sys/devices/system/node/node*/meminfo 2>/dev/null | grep -c MemTotal)"
cat $thp/hugepages-*/stats/anon_fault_alloc | awk '{ sum += $1 } END { print "soak: thp_of_any_size=" sum }'
sed -nE 's/^((balloon|compact|drop|oom|page_report|thp_fault)_[a-z_]+) /soak: \1=/p' /proc/vmstat
echo 'soak: over'
read -r _
exit "$status"
