# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Fetches Debian's packages without root and without a change to the system. Sourced by scripts.

# debian_suites: prints "URI SUITE" for each suite in this machine's apt configuration that has a Debian suite's name.
# Asks apt which files it would fetch: that works for each format of its configuration, and needs no lists.
debian_suites() {
	local names='bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable'
	apt-get update --print-uris |
		sed -nE "s#^'(.*)/dists/(($names)(-[a-z-]+)?)/main/binary-[a-z0-9]+/Packages[^']*'.*#\1 \2#p" | sort -u
}

# debian_sources TYPE…: reads lines "URI SUITE" and prints lines for a sources.list, each for every TYPE.
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

# debian_foreign_sources ARCH [SUITE…]: prints a sources.list for Debian's ARCH: of the SUITEs on this machine's own mirror;
# without any, of this machine's own suites, or of trixie on the same mirror for riscv64, which bookworm lacks.
debian_foreign_sources() {
	local suites arch=$1
	shift
	suites=$(debian_suites)
	[ -n "$suites" ] || return 1
	if [ $# -gt 0 ]; then
		suites=$(awk -v wanted="$*" '$2 !~ /-/ { n = split(wanted, suite, " "); for (i = 1; i <= n; i++) print $1, suite[i]; exit }' <<<"$suites")
	elif [ "$arch" = riscv64 ] && grep -q ' bookworm$' <<<"$suites"; then
		suites=$(awk '$2 == "bookworm" { print $1, "trixie" }' <<<"$suites")
	fi
	debian_sources deb <<<"$suites"
}

# debian_foreign DIR ARCH [SUITE…]: sets up DIR for an apt of its own for Debian's ARCH, with no package installed, and sets
# the array debian_apt to the options that apt needs for that. SUITEs as above.
debian_foreign() {
	local dir=$1 arch=$2
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
	: >"$dir/status"
	debian_foreign_sources "${@:2}" >"$dir/sources.list" || {
		echo "ebb: apt on this machine has no Debian suite: packages of $arch cannot be fetched" >&2
		return 1
	}
	debian_apt=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::Etc::sourcelist=$dir/sources.list"
		-o Dir::Etc::sourceparts=/dev/null -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status"
		-o "Dir::Cache=$dir/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 -qq)
	# Ignore a suite that cannot be fetched: another may have the package.
	apt-get "${debian_apt[@]}" update >"$dir/log" 2>&1 || :
}
