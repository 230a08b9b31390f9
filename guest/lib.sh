# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions of guest/build, guest/image and guest/distribution, which source this with $root set to the top of the tree
# and $cross, if set, to the prefix of the cross compiler's names.

# shellcheck source=scripts/debian.bash
. "$root/scripts/debian.bash"

say() { printf 'guest: %s\n' "$*" >&2; }

die() {
	say "$@"
	exit 1
}

# install_file FROM TO: copies to another name and renames, so that no reader sees half a file.
install_file() {
	cmp -s "$1" "$2" && return
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2.new.$$"
	mv -f "$2.new.$$" "$2"
}

# with_lock FILE COMMAND…: runs COMMAND with the lock FILE held, so that no other user of the cache runs it meanwhile.
with_lock() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(
		flock -n 9 || {
			say "waiting for another build to finish (it holds $file)"
			flock 9
		}
		"$@"
	) 9>"$file"
}

# program TO SOURCE…: compiles one program, statically.
program() {
	local to=$1 cc=(musl-gcc)
	shift
	if [ -n "${cross:-}" ] || ! command -v musl-gcc >/dev/null; then
		cc=("${cross:-}gcc")
	fi
	"${cc[@]}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
		-Wmissing-prototypes -Wvla -I"$root" -static -s -o "$to" "$@"
}

# programs FROM TO: compiles the programs in FROM into TO, or copies scripts; leaves out their suffixes.
programs() {
	local from=$1 to=$2 source
	for source in "$from"/*.c; do
		program "$to/$(basename "$source" .c)" "$source"
	done
	for source in "$from"/*.sh; do
		install -m 755 "$source" "$to/$(basename "$source" .sh)"
	done
}
