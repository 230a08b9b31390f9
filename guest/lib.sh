# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What guest/build and guest/image share, sourced by both, with $root set to the top of the tree and $cross, where it is
# set, to what a cross compiler's name begins with.

# shellcheck source=scripts/debian.bash
. "$root/scripts/debian.bash"

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

# programs FROM TO: the programs of a folder, static, into another, each under its name without the ending.
programs() {
	local from=$1 to=$2 source cc=(musl-gcc)
	if [ -n "${cross:-}" ] || ! command -v musl-gcc >/dev/null; then
		cc=("${cross:-}gcc")
	fi
	for source in "$from"/*.c; do
		"${cc[@]}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
			-Wmissing-prototypes -Wvla -I"$root" -static -s -o "$to/$(basename "$source" .c)" "$source"
	done
	for source in "$from"/*.sh; do
		install -m 755 "$source" "$to/$(basename "$source" .sh)"
	done
}
