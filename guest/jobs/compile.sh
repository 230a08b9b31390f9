#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ebb-compile [ROUNDS] [-j N] [--hold SECONDS] [--break]: builds bzip2, lets it pack and unpack its author's samples,
# compares the results byte by byte, and cleans up; ROUNDS times (1). CFLAGS (-O2) come from the environment.
# Phases of each round: copy, build, check, clean. With --hold the last round pauses for SECONDS in three states:
# built, cleaned, dropped (without caches, too). --break puts a fault into what is built, which must be found.
set -euo pipefail
# shellcheck source=guest/jobs/lib.sh
. /usr/lib/ebb/lib

source=/usr/src/bzip2

usage() {
	echo 'usage: ebb-compile [ROUNDS] [-j N] [--hold SECONDS] [--break]' >&2
	exit 2
}

parse() {
	rounds=1 jobs=$(nproc) hold='' broken=''
	while [ $# -gt 0 ]; do
		case $1 in
		-j | --hold)
			if [ $# -lt 2 ] || ! number "$2"; then usage; fi
			if [ "$1" = -j ]; then jobs=$2; else hold=$2; fi
			shift
			;;
		--break) broken=yes ;;
		*)
			number "$1" || usage
			rounds=$1
			;;
		esac
		shift
	done
}

build_round() {
	phase copy
	cp -R "$source/." "$dir/"
	# A wrong entry in the table of the checksum: everything works, but the results are wrong.
	[ -z "$broken" ] || sed -i '0,/0x04c11db7L/s//0x04c11db6L/' crctable.c
	phase build
	run make -j "$jobs" CC=gcc CFLAGS="${CFLAGS:--O2} -D_FILE_OFFSET_BITS=64" bzip2
	phase check
	run make CC=gcc test
}

parse "$@"
folder
for ((round = 1; round <= rounds; round++)); do
	build_round
	if [ -n "$hold" ] && [ "$round" = "$rounds" ]; then quiet built "$hold"; fi
	phase clean
	run make clean
	[ ! -e bzip2 ] || bad 'make clean left a program'
done
cd /
rm -r "$dir"
residue "$hold"
ok
