#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/pressure, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["point", NAME, {"took", "lacks", "there", "came", "first", "most"}]    bytes, and seconds since the host is short
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
STEP = 4 * MIB
REST = 70.0
WATCHED = 15.0
EVERY = 0.005
ENOUGH = 4 * MIB  # of what comes, the first that are more than chance


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"^MemAvailable: +(\d+) kB$", file.read(), re.M)[1]) * 1024


def total():
    return measuring.meminfo()["MemTotal"]


def held(guests):
    return sum(vm.rss() for vm in guests)


def start(bench, number):
    """A guest that reads a disk without data, keeps that, and rests. A file that is open stays cached."""
    job = f"exec 3</dev/vda; dd bs=1M count={CACHE} <&3 of=/dev/null 2>/dev/null; echo filled; read end"
    vm = bench.guest("on", job, SIZE, options=["-d", f"{DISK}{number},ro"])
    measuring.wait_for(vm, "^filled")
    return vm


def watch(guests, before, begun):
    """[(seconds since the host was short, bytes that guests hold less than before)]"""
    points = []
    while not points or points[-1][0] < WATCHED:
        points.append((time.monotonic() - begun, before - held(guests)))
        time.sleep(EVERY)
    return points


def squeeze(name, guests):
    """A program takes all but a little of what the host has, as fast as it can; what guests give back then."""
    low, before, there = total() // 8, held(guests), GUESTS * (CACHE - KEPT) * MIB
    room = available() - SHORT
    begun = None
    with mmap.mmap(-1, room, mmap.MAP_PRIVATE) as taken:
        for at in range(0, room, STEP):
            for page in range(at, min(at + STEP, room), mmap.PAGESIZE):
                taken[page] = 1
            if begun is None and available() < low:
                begun = time.monotonic()
        took, lacks = time.monotonic() - begun, 2 * low - SHORT
        points = watch(guests, before, begun)
    came = max(bytes for _, bytes in points)
    wanted = min(lacks, there)
    first, most = (next((when for when, bytes in points if bytes >= least), None) for least in (ENOUGH, 0.9 * wanted))
    say("point", name, {"took": took, "lacks": lacks, "there": there, "came": came, "first": first, "most": most})


def measure():
    bench = measuring.Bench("ebb")
    guests = []
    for number in range(GUESTS):
        with open(f"{DISK}{number}", "wb") as disk:
            disk.truncate(1 << 30)
        guests.append(start(bench, number))
    time.sleep(REST)
    squeeze("none", guests)
    with subprocess.Popen(["/ebb", "keeper"], env=bench.env, stderr=subprocess.DEVNULL) as keeper:
        time.sleep(REST)
        squeeze("keeper", guests)
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
