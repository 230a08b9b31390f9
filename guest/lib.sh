# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions of guest/build, guest/image and guest/distribution, which source this with $root set to the top of the tree,
# $here to its folder guest, and $cross, if set, to the prefix of the cross compiler's names.

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

# The drivers of what ebb's machines have, overlayfs for `ebb sandbox`, and ext4 for files as memory, by their names without
# suffix; those that a kernel has built in are no files.
modules=(virtio_mmio virtio_balloon virtio_blk virtio-rng virtio_net virtiofs virtio_console virtio_pmem nd_pmem
	vmw_vsock_virtio_transport overlay ext4 crc32c_generic button gpio_keys pvpanic-mmio rtc-pl031 rtc-goldfish)

# needed DIR: prints the wanted modules and what they need, as paths within the folder DIR of a kernel's modules.
needed() {
	local module
	for module in "${modules[@]}"; do
		# A line of modules.dep is a module and what it needs.
		awk -v name="/$module.ko" '
			{ sub(/:/, ""); path = $1; sub(/\.(xz|zst|gz)$/, "", path) }
			substr(path, length(path) - length(name) + 1) == name { for (i = 1; i <= NF; i++) print $i }
		' "$1/modules.dep"
	done | sort -u
}

# modules_cpio TREE VERSION FILE: makes FILE of the wanted modules below TREE, unpacked, with a program that loads them.
modules_cpio() {
	local tree=$1 version=$2 dir=lib/modules/$2 path file
	mkdir -p "$tree/small/$dir" "$tree/small/bin"
	busybox depmod -b "$tree" "$version"
	while read -r path; do
		file=$tree/small/$dir/kernel/$(basename "${path%.ko*}").ko
		mkdir -p "$(dirname "$file")"
		case $path in
		*.xz) xz -dc ;;
		*.zst) zstd -dc ;;
		*) cat ;;
		esac <"$tree/$dir/$path" >"$file"
	done < <(needed "$tree/$dir")
	busybox depmod -b "$tree/small" "$version"
	install -m 755 "$here/coldplug.sh" "$tree/small/bin/coldplug"
	(cd "$tree/small" && find . -type f -o -type d -name '[^.]*' | busybox cpio -o -H newc 2>/dev/null) >"$3"
}
