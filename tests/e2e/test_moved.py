# SPDX-License-Identifier: Apache-2.0
# Architectures: x86_64
# Kernel: debug
# Emulated host: --timeout 1500
"""Memory is taken from under the allocator while it is reported: blocks go offline, pages are taken for broken, a device
has a range of it, another kernel comes into this one's place. No page is lost, none keeps old bytes, and all comes back.

The kernel is guest/build's `debug`, which checks itself, and knows who owns each page. `make soak` builds it.
"""

import itertools
import os
import random
import re
import tarfile

import pytest
from conftest import LIMIT, lib

KERNEL = os.path.join(lib.GUEST, "debug", lib.FORM)
PACKED_KERNEL = os.path.join(lib.GUEST, "debug", lib.PACKED_FORM)
pytestmark = [pytest.mark.linux, pytest.mark.skipif(not os.path.exists(KERNEL), reason="no kernel debug: guest/build debug makes it")]

MIB = lib.MIB
PARAMS = "loglevel=5 panic_on_warn=1"
OWNED = "page_owner=on"
JOB = "mount -t debugfs none /sys/kernel/debug; echo ready; while read line; do eval $line; done"
# Memory is reported a millisecond after it was freed, again and again, beside programs that check theirs.
BUSY = (
    "for p in min max; do echo 1 >/sys/module/page_reporting/parameters/delay_${p}_ms; done; "
    "hold 48M --rounds 1000000 --hold 0.02 --rest 0.02 >/dev/null & churn=$!; memcheck 64M --processes 2 --seconds 20 & echo busy"
)
SLACK = 24  # MiB that a kernel may keep of what it was busy with: slab, lists of pages
BLOCK = 128  # MiB that come and go at once


def answer(guest, command, pattern):
    start = len(guest.lines)
    guest.send(command + "\n")
    return guest.wait_for(pattern, LIMIT, start)[1]


def figure(guest, name):
    """kB, of /proc/meminfo."""
    return int(answer(guest, f"grep ^{name}: /proc/meminfo", rf"^{name}: +(\d+) kB")[1])


def held(guest):
    """What the host has for the guest once all that is free was reported."""
    answer(guest, "echo now timeout=120000 >/sys/kernel/mm/page_reporting/report_now && echo all reported", "^all reported")
    return guest.rss()


def begun(ebb, *params):
    guest = ebb.start(JOB, "--free-page-reporting", "-c", 2, memory="1G", kernel=KERNEL, params=" ".join([PARAMS, *params]))
    guest.wait_for("^ready", LIMIT)
    return guest


def goes_on(guest, move):
    """Calls move(), as long as memory is checked."""
    before = held(guest)
    answer(guest, BUSY, "^busy")
    while "memcheck: ok" not in guest.console():
        assert "memcheck: BAD" not in guest.console(), guest.console()
        move()
    answer(guest, "kill $churn; wait; echo 3 >/proc/sys/vm/drop_caches; echo at rest", "^at rest")
    assert held(guest) < before + SLACK * MIB


def test_blocks_that_go_offline(ebb):
    guest = begun(ebb, OWNED, "movablecore=512M")
    names = answer(guest, "echo $(grep -l Movable /sys/devices/system/memory/memory*/valid_zones) blocks", "^(/.*) blocks")[1]
    blocks = [os.path.dirname(name) for name in names.split()]
    assert len(blocks) >= 2, blocks
    total = figure(guest, "MemTotal")
    went, turns = [], itertools.cycle(blocks)

    def move():
        """Some have pages of the kernel's own, and stay."""
        block = next(turns)
        if answer(guest, f"echo offline >{block}/state && echo it went || echo it stays", "^it (went|stays)")[1] == "went":
            went.append(total - figure(guest, "MemTotal"))
            answer(guest, f"echo online_movable >{block}/state && echo came", "^came")

    goes_on(guest, move)
    print(len(blocks), "blocks,", len(went), "times")
    assert len(went) >= 3 and set(went) == {BLOCK * 1024}, went
    assert figure(guest, "MemTotal") == total


def test_a_range_for_a_device(ebb):
    guest = begun(ebb, OWNED, "cma=64M")
    folder = answer(guest, "cd /sys/kernel/debug/cma/*; pwd", "^(/sys/.*)")[1]
    free = figure(guest, "CmaFree")
    assert free == 64 * 1024
    taken = []

    def move():
        """Half of it, of which programs have some: these pages are moved."""
        got = answer(guest, f"echo 8192 >{folder}/alloc && echo it got || echo it failed", "^it (got|failed)")[1] == "got"
        if got:
            taken.append(free - figure(guest, "CmaFree"))
            answer(guest, f"echo 8192 >{folder}/free && echo given", "^given")

    goes_on(guest, move)
    print(len(taken), "times")
    assert len(taken) >= 5 and min(taken) >= 32 * 1024, taken
    assert answer(guest, f"echo $(cat {folder}/used) used", r"^(\d+) used")[1] == "0"


def test_pages_that_break(ebb):
    """Pages are taken out of what is free, and out of use, which leaves holes in blocks that were reported; then they are
    mended. In the end some that are free break all at once. (Mending frees pages that nobody took: with page_owner=on the
    kernel warns.)"""
    guest = begun(ebb)
    chance = random.Random(13)
    broken, times = set(), []

    def move():
        pages = [chance.randrange(64 << 8, 1000 << 8) for _ in range(12)]
        loop = f"for p in {' '.join(map(str, pages))}; do echo $((p * 4096)) >/sys/devices/system/memory/soft_offline_page && echo broke $p; done 2>/dev/null"
        start = len(guest.lines)
        answer(guest, f"{loop}; echo broken", "^broken")
        broken.update(int(page) for page in re.findall(r"^broke (\d+)$", "\n".join(text for _, text in guest.lines[start:]), re.M))
        times.append(figure(guest, "HardwareCorrupted") // 4)
        if len(times) % 4 == 0:
            mend()

    def mend():
        pages = " ".join(map(str, broken))
        answer(guest, f"for p in {pages}; do echo $p >/sys/kernel/debug/hwpoison/unpoison-pfn; done; echo mended", "^mended")
        broken.clear()

    def move_and_mend():
        move()
        if "memcheck: ok" in guest.console():
            mend()

    goes_on(guest, move_and_mend)
    print(len(times), "times, at most", max(times), "pages")
    assert max(times) >= 12 and figure(guest, "HardwareCorrupted") == 0, times

    # 0x400: KPF_BUDDY, of each page of a free block.
    free = (f"for p in $(seq {100 << 8} 1999 {1000 << 8}); do case $(dd if=/proc/kpageflags bs=8 skip=$p count=1 2>/dev/null | od -An -tx1) in "
            "' '??' '?[4567cdef]*) echo $p >/sys/kernel/debug/hwpoison/corrupt-pfn && echo broke $p;; esac; done 2>/dev/null; echo all broken")
    answer(guest, free, "^all broken")
    now = figure(guest, "HardwareCorrupted") // 4
    broken.update(int(page) for page in re.findall(r"^broke (\d+)$", guest.console(), re.M)[-now:])
    assert now >= 20 and len(broken) == now, (now, broken)
    mend()
    assert figure(guest, "HardwareCorrupted") == 0
    assert answer(guest, "memcheck 512M --rounds 1", "^memcheck: (ok|BAD)")[1] == "ok"


def test_another_kernel(ebb, tmp_path):
    """A kernel that was told that pages are free is not there any more when they are given back: the next one has them."""
    with tarfile.open(tmp_path / "disk.tar", "w") as disk:
        disk.add(PACKED_KERNEL, "kernel")
        disk.add(lib.INITRAMFS, "initrd")
    guest = ebb.start(JOB, "--free-page-reporting", "-c", 2, "-d", f"{tmp_path}/disk.tar,ro", memory="512M", kernel=KERNEL, params=f"{PARAMS} {OWNED}")
    guest.wait_for("^ready", LIMIT)
    for ms in (0, 251, 500):
        start = len(guest.lines)
        guest.send(f"tar -xf /dev/vda -C /tmp; hold 144M --hold 0; usleep {ms}000; "
                   f"kexec /tmp/kernel /tmp/initrd 'console=ttyS0 panic=-1 {PARAMS} ebb.cmd=\\\"{JOB}\\\"'\n")
        start, _ = guest.wait_for("^ready", LIMIT, start)
        assert answer(guest, "memcheck 128M --rounds 1", "^memcheck: (ok|BAD)")[1] == "ok"
        answer(guest, "hold 192M --hold 100000 &", "^hold: taken")
        full = guest.rss()
        answer(guest, "kill $!; wait; echo gone", "^gone")
        assert held(guest) < full - 160 * MIB
    assert [text for _, text in guest.lines].count("ebb-guest: init") == 4
