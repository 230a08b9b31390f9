# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's packages without root and without a change to the system: sourced by scripts that fetch some.

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

# debian_foreign_sources ARCH: a sources.list for Debian's ARCH: this machine's own suites, or trixie's on the
# same mirror for riscv64, which bookworm lacks.
debian_foreign_sources() {
	local suites
	suites=$(debian_suites)
	[ -n "$suites" ] || return 1
	if [ "$1" = riscv64 ] && grep -q ' bookworm$' <<<"$suites"; then
		suites=$(awk '$2 == "bookworm" { print $1, "trixie" }' <<<"$suites")
	fi
	debian_sources deb <<<"$suites"
}

# debian_foreign DIR ARCH: makes DIR an apt of its own for Debian's ARCH, on which nothing is installed, and sets
# the array debian_apt to the options that tell apt so.
debian_foreign() {
	local dir=$1
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	debian_foreign_sources "$2" >"$dir/sources.list" || {
		echo "ebb: apt on this machine has no Debian suite: packages of $2 cannot be fetched" >&2
		return 1
	}
	debian_apt=(-o "APT::Architecture=$2" -o "APT::Architectures=$2" -o "Dir::Etc::sourcelist=$dir/sources.list"
		-o Dir::Etc::sourceparts=/dev/null -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status"
		-o "Dir::Cache=$dir/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 -qq)
	# A suite that cannot be had does not matter as long as another has the package.
	apt-get "${debian_apt[@]}" update >"$dir/log" 2>&1 || :
}
