#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ebb-compile [ROUNDS] [-j N] [--hold SECONDS] [--break]: builds Lua, runs it, cleans up; ROUNDS times (1).
# Phases of each round: copy, build, check, clean. With --hold the last one stays for SECONDS as it is at three
# places: built, cleaned, dropped (its caches as well). --break puts a fault into what is built, which must be found.
set -euo pipefail
# shellcheck source=guest/jobs/lib.sh
. /usr/lib/ebb/lib

source=/usr/src/lua5.4

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

# What Lua says must be what arithmetic, strings, tables and closures make of it anywhere.
check() {
	local said
	said=$("$dir/src/lua" - 2>&1 <<'LUA') || bad "lua ended with status $?: $said"
local sieve, sum, count = {}, 0, 0
for n = 2, 20000 do
	if not sieve[n] then
		sum, count = sum + n, count + 1
		for m = n * n, 20000, n do sieve[m] = true end
	end
end
local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words, function(a, b) return a > b end)
local fib = coroutine.wrap(function() local a, b = 0, 1 while true do coroutine.yield(a) a, b = b, a + b end end)
for _ = 1, 90 do fib() end
print(count, sum, table.concat(words, " "), fib(), string.format("%.6f", math.sqrt(2)))
LUA
	[ "$said" = $'2262\t21171191\tthe the quick over lazy jumps fox dog brown\t2880067194370816120\t1.414214' ] ||
		bad "lua said: $said"
}

build_round() {
	phase copy
	cp -R "$source/." "$dir/"
	[ -z "$broken" ] || sed -i 's/^#define l_addi.*/#define l_addi(L,a,b) intop(-, a, b)/' src/lvm.c
	phase build
	# Not `linux-readline` and not -g: what every Linux has.
	run make -C src -j "$jobs" CC=gcc linux
	phase check
	check
}

parse "$@"
folder
for ((round = 1; round <= rounds; round++)); do
	build_round
	if [ -n "$hold" ] && [ "$round" = "$rounds" ]; then quiet built "$hold"; fi
	phase clean
	run make -C src clean
	[ ! -e src/lua ] || bad 'make clean left lua'
done
cd /
rm -r "$dir"
residue "$hold"
ok
