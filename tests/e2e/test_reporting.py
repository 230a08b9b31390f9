# SPDX-License-Identifier: Apache-2.0
"""What free page reporting is for: the host has back what a guest has freed. Each with its control.

The figures are Cloud Hypervisor's and libvirt's own acceptance tests, at a quarter of their size: RSS after
boot under a quarter of the guest's memory; above what is taken within 60 s, below it within 120 s of its being
freed; with reporting at least 80 % of it comes back, without at most 50 MiB do.
"""

import collections
import re
import time

import pytest
from conftest import LIMIT, host_memory, lib
from test_monitor import run

pytestmark = pytest.mark.linux

MIB = lib.MIB
GUEST = 1024 * MIB
TAKE = 512 * MIB
# Published limits, which the waits have: as much is taken within 60 s, and given back within 120. The slowest emulated
# hosts, those of other architectures, take longer to touch it.
TAKING = LIMIT if lib.CROSS else 60
RETURNING = 120
UNCHANGED = 50 * MIB

BLOCKS = "quiet page_reporting.piece_order=20"  # nothing below 2 MiB is reported
REPORTING = re.compile(
    r"free page reporting: (\d+) reports, (\d+) blocks, (\d+) MiB given back in (\d+) ranges, (\d+) failures$"
)
Counters = collections.namedtuple("Counters", "reports blocks mib ranges failures")


def counters(started):
    """The line that --debug gives when a guest has ended."""
    for _, line in started.errors:
        match = REPORTING.search(line)
        if match:
            return Counters(*(int(number) for number in match.groups()))
    raise AssertionError(f"no counters on stderr:\n{started.stderr()}")


class Round:
    """A guest that takes TAKE, and frees it when it is told."""

    def __init__(self, box, pages, *options, **more):
        job = f"echo ready; read line; hold {TAKE // MIB}M {pages} --wait; sleep 100000"
        self.guest = box.start(job, *options, memory="1G", **more)
        self.guest.wait_for("^ready$", LIMIT)
        self.booted = self.guest.stable_rss(timeout=LIMIT)

    def take(self):
        self.guest.send("\n")
        self.guest.wait_for("^hold: taken", TAKING)
        self.taken = self.guest.rss()

    def free(self):
        self.guest.send("\n")
        self.guest.wait_for("^hold: freed", LIMIT)


class Reported(Round):
    """The whole of it, with reporting."""

    def __init__(self, box, pages):
        super().__init__(box, pages, "--debug", params=BLOCKS)  # nobody has to ask for it
        self.take()
        self.free()
        _, self.seconds = self.guest.wait_for_rss(lambda rss: rss < self.taken - TAKE * 0.8, RETURNING)
        self.kept = self.guest.stable_rss(timeout=LIMIT)
        self.guest.process.terminate()
        box.ended(self.guest, 0)


@pytest.fixture(scope="module", params=["--thp", "--no-thp"])
def reported(module_ebb, request):
    result = Reported(module_ebb, request.param)
    result.pages = request.param
    return result


@pytest.mark.cross
def test_memory_comes_back(reported):
    assert reported.booted < GUEST / 4
    assert reported.taken >= TAKE
    assert reported.kept < TAKE
    assert reported.taken - reported.kept >= TAKE * 0.8


@pytest.mark.cross
def test_counters_agree(reported):
    """What ebb says that it gave back is what the host got, and more: the guest's first free memory counts too."""
    found = counters(reported.guest)
    assert found.reports > 0
    assert found.reports <= found.ranges <= found.blocks <= 32 * found.reports
    assert found.failures == 0
    assert found.mib * MIB >= reported.taken - reported.kept
    # A block is 2 MiB or more.
    assert found.mib >= 2 * found.blocks


@pytest.mark.parametrize(
    "options", [["--no-balloon"], pytest.param(["--free-page-reporting=off"], marks=pytest.mark.cross)],
    ids=["no balloon", "off"],
)
def test_without_reporting_it_does_not(ebb, reported, options):
    """The control: the same guest without reporting keeps everything, for longer than it took to come back."""
    control = Round(ebb, reported.pages, *options)
    control.take()
    assert control.taken >= TAKE
    control.free()
    end = time.monotonic() + 2 * reported.seconds + 5
    lowest = control.taken
    while time.monotonic() < end:
        lowest = min(lowest, control.guest.rss())
        time.sleep(0.1)
    assert control.taken - lowest <= UNCHANGED


def test_again_and_again(ebb):
    """Memory goes and comes as often as it is wanted, and each time as much."""
    job = f"echo ready; while read line; do hold {TAKE // MIB}M --wait; done"
    started = ebb.start(job, "--free-page-reporting", "--debug", memory="1G")
    started.wait_for("^ready$", LIMIT)
    at, kept = 0, []
    for _ in range(3):
        started.send("\n")
        at = started.wait_for("^hold: taken", LIMIT, at)[0] + 1
        full = started.rss()
        assert full >= TAKE
        started.send("\n")
        # Firecracker's figure for the second time round, where 4 KiB of page tables are counted too. It is waited
        # for: a guest that learns its rhythm reports later the next time.
        most = min(kept, default=full - TAKE * 0.8) + 20000 * 1024
        started.wait_for_rss(lambda rss, most=most: rss < most, LIMIT)
        kept.append(started.stable_rss(LIMIT))
    started.process.terminate()
    ebb.ended(started, 0)
    assert counters(started).failures == 0


def test_page_cache_comes_back(ebb):
    """Deleted files are free memory as well, when every second one of them goes in small pieces too."""
    started = ebb.start(
        "cachefill 256M /tmp --files 64; echo filled; read line; rm -r /tmp/*; echo deleted; sleep 100000",
        "--free-page-reporting", memory="1G",
    )
    started.wait_for("^filled$", LIMIT)
    full = started.rss()
    assert full >= 256 * MIB
    started.send("\n")
    started.wait_for("^deleted$", LIMIT)
    started.wait_for_rss(lambda rss: rss < full - 256 * MIB * 0.7, LIMIT)


# Page cache of a disk, in MiB: read once, read again and again, mapped, and written to, while nobody has it written out.
# There is swap as well, to see that none is used.
CACHE_PARTS = {"once": (0, 96), "again": (96, 32), "mapped": (128, 16), "dirty": (144, 16)}
CACHE_JOB = "; ".join((
    "exec 2>/dev/null; echo 0 >/proc/sys/vm/dirty_writeback_centisecs",
    "echo 64M >/sys/block/zram0/disksize; mkswap /dev/zram0; swapon /dev/zram0",
    "truncate -s 256M /tmp/disk; losetup /dev/loop0 /tmp/disk; exec 3<>/dev/loop0",
    "look() { %s; grep -E '^(pgpgout|pswpout) ' /proc/vmstat; echo looked; read -r line; }",
    "load() { dd if=/dev/loop0 bs=1M skip=$1 count=$2 of=/dev/null; }",
    "gen=/sys/kernel/mm/lru_gen/enabled; lrus=0; [ ! -e $gen ] || lrus='0 7'",
    "for lru in $lrus; do [ ! -e $gen ] || echo $lru >$gen; echo lru $lru",
    "sync; echo 1 >/proc/sys/vm/drop_caches; load 0 96; for time in 1 2 3; do load 96 32; done",
    "dd if=/dev/zero of=/dev/loop0 bs=1M seek=144 count=16 conv=notrunc",
    "cached /dev/loop0 128M 16M --map >/tmp/map & until grep -q cached /tmp/map; do usleep 10000; done",
    "look; look; look; kill $!; rm /tmp/map; done",
)) % "; ".join(f"echo {name}; cached /dev/loop0 {start}M {size}M" for name, (start, size) in CACHE_PARTS.items())


def test_page_cache_comes_back_on_request(ebb):
    """Up to so much of it, what was used least first, whichever way the guest's kernel tells that. What would have to be
    written or unmapped stays. The control: nothing of it goes before it is asked for.
    """
    started = ebb.start(CACHE_JOB, "--free-page-reporting", "--name", "cache", memory="512M")
    at = 0

    def look():
        nonlocal at
        found = {}
        for name in CACHE_PARTS:
            at = started.wait_for(f"^{name}$", LIMIT, at)[0] + 1
            at, match = started.wait_for(r"^cached: (\d+) of ", LIMIT, at)
            found[name] = int(match[1])
        for name in ("pgpgout", "pswpout"):
            at, match = started.wait_for(rf"^{name} (\d+)$", LIMIT, at)
            found[name] = int(match[1])
        at = started.wait_for("^looked$", LIMIT, at)[0] + 1
        return found

    def ask(size):
        run(ebb, "reclaim", "-n", "cache", f"--cache={size}", "--timeout=60")
        started.send("\n")
        return look()

    for lru in ("0", "7"):
        at, match = started.wait_for(r"^lru (\d)$|^ebb-guest: exit=", LIMIT, at)
        if lru == "7" and not match[1]:
            pytest.skip("the guest's kernel has no LRU_GEN: asked under the other LRU only")
        assert match[1] == lru
        full = look()
        assert {name: full[name] for name in CACHE_PARTS} == {name: size for name, (_, size) in CACHE_PARTS.items()}
        held = started.rss()
        some = ask("64M")
        assert 24 <= some["once"] <= 40 and some["again"] == 32, (full, some)
        started.wait_for_rss(lambda rss, held=held: rss < held - 40 * MIB, LIMIT)
        none = ask("all")
        assert none["once"] == none["again"] == 0, (full, none)
        for after in (some, none):
            # Of what was dirty the kernel wrote some while dd went on, more the slower the guest is: that is clean.
            assert after["mapped"] == 16 and after["dirty"] >= 8, (full, after)
            assert [after[name] for name in ("pgpgout", "pswpout")] == [full[name] for name in ("pgpgout", "pswpout")]
        started.send("\n")


def test_pieces_come_back(ebb):
    """Small files, every second one deleted: 72 MiB are free, and no two pages of them side by side. The guest makes them
    whole by itself; the control, with compact_ms=0, does not. Other pieces stay in both.
    """
    job = "cachefill 144M /tmp/pieces --files 36864 --delete-every 2; sleep 100000"
    ours, control = (
        ebb.start(job, "--free-page-reporting", memory="1G", params=f"{BLOCKS} page_reporting.compact_ms={ms}")
        for ms in (100, 0)
    )
    for each in (ours, control):
        each.wait_for("^cachefill: deleted 18432 files$", LIMIT)
    kept = control.stable_rss(timeout=LIMIT)
    ours.wait_for_rss(lambda rss: rss < kept - 60 * MIB, LIMIT)
    assert control.rss() > kept - 4 * MIB


def test_two_guests_take_turns(ebb):
    """Their sizes add up to more than the host has, and so does what they take, one after the other."""
    host = host_memory()
    size = host * 3 // 4 // MIB
    take = min(int(host * 0.55), 1792 * MIB) // MIB
    job = f"echo ready; while read line; do hold {take}M --hold 0; done"
    guests = [ebb.start(job, "--free-page-reporting", memory=f"{size}M") for _ in range(2)]
    for each in guests:
        each.wait_for("^ready$", LIMIT)
    at = [0, 0]
    for turn in (0, 1, 0, 1):
        each = guests[turn]
        each.send("\n")
        at[turn] = each.wait_for("^hold: taken", LIMIT, at[turn])[0] + 1
        at[turn] = each.wait_for("^hold: done", LIMIT, at[turn])[0] + 1
        # Both together never need what both together took.
        each.wait_for_rss(lambda rss: rss < take * MIB // 3, LIMIT)
    for each in guests:
        each.process.terminate()
        ebb.guests.remove(each)
        with each:
            assert each.wait(LIMIT) == 0
    assert not ebb.left()


class Counted:
    """A guest whose script prints its kernel's counters when it says "stat"."""

    SCRIPT = (
        "stat() { echo vmstat: $(grep -E 'compact_migrate_|page_report_|pgmigrate_success' /proc/vmstat | tr ' ' =); }; "
        # A process that starts and ends puts memory in motion: the shell looks by itself.
        "count() { while read k v; do [ $k = $1 ] && break; done </proc/vmstat; }; "
        # No pass for a while: all is done.
        "still() { v=; a=-; until [ $a. = $v. ]; do a=$v; read -t 3 x; count page_report_pass; done; }; "
        "stir() { hold $1 --thp --hold 0 >/dev/null; }; "
        "pieces() { cachefill 144M /tmp/$1 --files 36864 --delete-every 2 >/dev/null; }; "
        # What is freed comes from per-CPU lists soon.
        "echo 1000 >/proc/sys/vm/percpu_pagelist_high_fraction; cd /sys/module/page_reporting/parameters; "
    )

    def __init__(self, box, script, *options, memory="1G"):
        self.guest = box.start(self.SCRIPT + script, *options, memory=memory)
        self.at = 0

    def stat(self):
        self.at, match = self.guest.wait_for("^vmstat: (.*)$", LIMIT, self.at)
        self.at += 1
        return {name: int(number) for name, number in (pair.split("=") for pair in match[1].split())}

    def turn(self):
        """What was counted from one "stat" to the next."""
        before, after = self.stat(), self.stat()
        return {name: after[name] - before[name] for name in after}


def test_compaction_knows_when_to_stop(ebb):
    """Blocks are not made whole where that is of no use, nor when memory stirs, nor by looking at memory for ever."""
    counted = Counted(
        ebb,
        "until_moved() { count pgmigrate_success; n=$((v + $1)); while [ $v -lt $n ]; do count pgmigrate_success; done; }; "
        # Short of memory: the high watermark is beyond what is free, so nothing could be reported.
        "low=/proc/sys/vm/min_free_kbytes; was=$(cat $low); echo 0 >compact_ms; pieces a; still; "
        "echo $(($(grep MemFree /proc/meminfo | tr -dc 0-9) * 67 / 100)) >$low; "
        "echo 100 >compact_ms; stat; stir 160M; still; stat; "
        # The control: not short any more. Little time at once.
        "echo $was >$low; echo 20 >compact_ms; stat; stir 300M; until_moved 8000; stat; "
        # Time enough, but for a churn that begins in the midst of it; and after it the rest.
        "echo 5000 >delay_min_ms; echo 20000 >compact_ms; pieces b; stat; until_moved 300; "
        "churn 128M --cycles 6 --pause 300; stat; stat; until_moved 1000; stat",
        "--free-page-reporting",
    )
    short = counted.turn()
    print("short of memory:", short)
    wanted = counted.turn()
    print("wanted:", wanted)
    stirred = counted.turn()
    print("stirred:", stirred)
    resumed = counted.turn()
    print("resumed:", resumed)
    assert short["page_report_pass"] > 0
    assert short["pgmigrate_success"] <= wanted["pgmigrate_success"] / 20
    assert wanted["pgmigrate_success"] <= wanted["compact_migrate_scanned"] <= 4 * GUEST / 4096
    assert stirred["pgmigrate_success"] <= wanted["pgmigrate_success"] / 2
    assert resumed["pgmigrate_success"] >= 1000
