#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/pressure, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["point", NAME, [{"took", "lacks", "there", "came", "first", "most"}]]    each time: bytes, and seconds since the host is short
"""

import argparse
import mmap
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measuring  # noqa: E402
from measuring import MIB, say  # noqa: E402

GUESTS, CACHE, SIZE = 4, 128, 512  # MiB of each
DISK = "/tmp/disk"
KEPT = 16  # MiB of a guest's caches that the keeper leaves
SHORT = 32 * MIB  # left available: the host has next to nothing
WATCHED = 15.0
EVERY = 0.005
TIMES = 5
REST = 70.0
STEP = 4 * MIB
ENOUGH = 4 * MIB  # of what comes, the first that are more than chance


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"^MemAvailable: +(\d+) kB$", file.read(), re.M)[1]) * 1024


def total():
    return measuring.meminfo()["MemTotal"]


def held(guests):
    return sum(vm.rss() for vm in guests)


def start(bench, number):
    """A guest that reads a disk without data when it is told to, keeps that, and rests. A file that is open stays cached."""
    job = f"exec 3</dev/vda; echo ready; while read go; do dd bs=1M count={CACHE} if=/dev/vda of=/dev/null 2>/dev/null; echo filled; done"
    vm = bench.guest("on", job, SIZE, options=["-d", f"{DISK}{number},ro"])
    measuring.wait_for(vm, "^ready")
    return vm


def fill(guests):
    """Has all guests full of page cache, which has not been read for more than a minute."""
    for vm in guests:
        said = len(vm.lines)
        vm.send("go\n")
        measuring.wait_for(vm, "^filled", said)
    time.sleep(REST)


def squeeze(guests):
    """A program takes all but a little of what the host has, as fast as it can. Returns what guests give back then."""
    low, before, there = total() // 8, held(guests), GUESTS * (CACHE - KEPT) * MIB
    room = available() - SHORT
    begun, points = None, []

    def look():
        points.append((time.monotonic() - begun, before - held(guests)))

    with mmap.mmap(-1, room, mmap.MAP_PRIVATE) as taken:
        for at in range(0, room, STEP):
            for page in range(at, min(at + STEP, room), mmap.PAGESIZE):
                taken[page] = 1
            if begun is None and available() < low:
                begun = time.monotonic()
            if begun:
                look()
        took = points[-1][0]
        while points[-1][0] < WATCHED:
            time.sleep(EVERY)
            look()
    wanted = min(2 * low - SHORT, there)
    first, most = (next((when for when, bytes in points if bytes >= least), None) for least in (ENOUGH, 0.9 * wanted))
    return {"took": took, "lacks": 2 * low - SHORT, "there": there, "came": max(bytes for _, bytes in points),
            "first": first, "most": most}


def measure():
    bench = measuring.Bench("ebb")
    guests = []
    for number in range(GUESTS):
        with open(f"{DISK}{number}", "wb") as disk:
            disk.truncate(1 << 30)
        guests.append(start(bench, number))
    fill(guests)
    say("point", "none", [squeeze(guests)])
    with subprocess.Popen(["/ebb", "keeper"], env=bench.env, stderr=subprocess.DEVNULL) as keeper:
        points = []
        for number in range(TIMES):
            fill(guests)
            time.sleep(number / 7)  # the keeper is anywhere between two looks
            points.append(squeeze(guests))
        say("point", "keeper", points)
        keeper.terminate()
    for vm in guests:
        vm.kill()


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "initramfs", "kernel"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    say("versions", measuring.enter("/run/bench-pressure", args.ebb, {"/kernel": args.kernel, "/initramfs": args.initramfs}))
    os.makedirs(measuring.RUNTIME, mode=0o700)
    return measuring.run(measure, "bench-pressure")


if __name__ == "__main__":
    sys.exit(main())
