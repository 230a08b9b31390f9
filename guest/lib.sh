# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What guest/build and guest/image share, sourced by both, with $root set to the top of the tree.

say() { printf 'guest: %s\n' "$*" >&2; }

die() {
	say "$@"
	exit 1
}

# install_file FROM TO: copies by way of a rename, so that nobody ever reads half a file.
install_file() {
	cmp -s "$1" "$2" && return
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2.new.$$"
	mv -f "$2.new.$$" "$2"
}

# with_lock FILE COMMAND…: runs COMMAND alone among all who share the cache.
with_lock() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(
		flock -n 9 || {
			say "waiting for another build of the same (it holds $file)"
			flock 9
		}
		"$@"
	) 9>"$file"
}

# debian_suites: "URI SUITE" of each suite that could be Debian's in this machine's apt configuration. Asking
# apt itself what it would fetch spares knowing about the styles of its files, and needs no lists.
debian_suites() {
	local names='bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable'
	apt-get update --print-uris |
		sed -nE "s#^'(.*)/dists/(($names)(-[a-z-]+)?)/main/binary-[a-z0-9]+/Packages[^']*'.*#\1 \2#p" | sort -u
}

# debian_sources TYPE…: lines for a sources.list from "URI SUITE" on stdin, each for every TYPE.
debian_sources() {
	local signed='' file type uri suite
	for file in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
		[ ! -e "$file" ] || signed="[signed-by=$file] "
	done
	while read -r uri suite; do
		for type; do
			echo "$type $signed$uri $suite main"
		done
	done
}

# programs FROM TO: the programs of a folder, static, into another, each under its name without the ending.
programs() {
	local from=$1 to=$2 source cc=(musl-gcc)
	if [ -n "${CROSS_COMPILE:-}" ] || ! command -v musl-gcc >/dev/null; then
		cc=("${CROSS_COMPILE:-}gcc")
	fi
	for source in "$from"/*.c; do
		"${cc[@]}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
			-Wmissing-prototypes -Wvla -I"$root" -static -s -o "$to/$(basename "$source" .c)" "$source"
	done
	for source in "$from"/*.sh; do
		install -m 755 "$source" "$to/$(basename "$source" .sh)"
	done
}
