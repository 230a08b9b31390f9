#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ebb-pack [MIB] [--rounds N] [--with zstd|xz] [--hold SECONDS] [--break]: makes a tree of MIB (128), always the same,
# of which half can be compressed; packs and unpacks it, compares the two, deletes everything; N times (1). It needs
# three times as much room in /scratch. Phases of each round: make, pack, unpack, compare, clean.
# With --hold the last round pauses for SECONDS in three states: unpacked, cleaned, dropped (without caches, too).
# --break changes one byte of what was unpacked, which must be found.
set -euo pipefail
# shellcheck source=guest/jobs/lib.sh
. /usr/lib/ebb/lib

usage() {
	echo 'usage: ebb-pack [MIB] [--rounds N] [--with zstd|xz] [--hold SECONDS] [--break]' >&2
	exit 2
}

parse() {
	mib=128 rounds=1 with=zstd hold='' broken=''
	while [ $# -gt 0 ]; do
		case $1 in
		--rounds | --hold)
			if [ $# -lt 2 ] || ! number "$2"; then usage; fi
			if [ "$1" = --rounds ]; then rounds=$2; else hold=$2; fi
			shift
			;;
		--with)
			case ${2:-} in zstd | xz) with=$2 ;; *) usage ;; esac
			shift
			;;
		--break) broken=yes ;;
		*)
			number "$1" || usage
			mib=$1
			;;
		esac
		shift
	done
}

# tree MIB: a folder for each, with files of several sizes.
tree() {
	local i
	for ((i = 1; i <= $1; i++)); do
		mkdir -p "tree/$i"
		ebb-noise 512K "$i" | split -b 120K - "tree/$i/noise."
		ebb-noise 512K "$i" 2 | split -b 24K - "tree/$i/text."
	done
}

# sums FOLDER: a line for each file of it.
sums() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum); }

pack_round() {
	phase make
	tree "$mib"
	sums tree >made
	phase pack
	tar -c --"$with" -f tree.tar tree
	phase unpack
	mkdir unpacked
	tar -x --"$with" -C unpacked -f tree.tar
	[ -z "$broken" ] || printf x | dd of=unpacked/tree/1/noise.aa bs=1 seek=1000 conv=notrunc status=none
	phase compare
	sums unpacked/tree >found
	cmp -s made found || bad "not what was packed: $(comm -13 <(sort made) <(sort found) | wc -l) of $(wc -l <made) files"
}

parse "$@"
folder
for ((round = 1; round <= rounds; round++)); do
	pack_round
	if [ -n "$hold" ] && [ "$round" = "$rounds" ]; then quiet unpacked "$hold"; fi
	phase clean
	rm -r tree unpacked tree.tar made found
done
cd /
rm -r "$dir"
residue "$hold"
ok
