#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/guest: runs one scenario on one VMM with one kernel, where KVM is.

Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["value", MEASURE, STATE, VALUE]  STATE is "off" or "on"; VALUE a number, or null where there can be none

What goes wrong is told on standard error, with status 1. Times are the guest's own, but for the one until memory is
back. What the host holds is RssAnon of the VMM.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measuring  # noqa: E402
from measuring import LIMIT, MIB, Bench, guest, say, wait_for  # noqa: E402

HERE = "/tmp/bench-guest"
STEP = 0.05  # between two looks at the VMM's memory
REST = 5.0  # a guest that starts frees some, and reports it two seconds later
SETTLE = 12  # from the free to the last look, and until what was freed counts as reported
STATES = ("off", "on")
SKIP = "page_reporting.skip_zero"
TICKS = 100  # a second, in /proc/stat
BACK = 0.9  # the part that is "back"
FILES, FILE_SIZE = 100000, 4096
SHORT_MIB = 768  # of a guest that is short of memory; with less it would have no huge pages
SHORT_PAGES = 8192  # 32 MiB that it had to swap in, or its kernel to look through, or it was not short


def take_times(console, cycles):
    """Milliseconds that each of churn's cycles took but the first, which finds memory that the guest never had."""
    takes = [int(us) / 1e3 for us in re.findall(r"^churn: cycle \d+ take (\d+) us$", console, re.M)]
    if len(takes) != cycles + 1:
        raise guest.GuestError(f"{len(takes)} cycles instead of {cycles + 1}\n--- console\n{console}")
    return takes[1:]


# --- The scenarios ------------------------------------------------------------------------------------------------


def kept(bench, mib, taken):
    """Memory is taken and freed once: when it is back, and what is never."""
    for state in STATES:
        with bench.guest(state, f"echo ready && read go && hold {taken}M --wait && read end", mib) as vm:
            at = wait_for(vm, "^ready$")[0]
            time.sleep(REST)
            before = vm.rss()
            vm.send("\n")
            at = wait_for(vm, f"^hold: taken {taken} MiB$", at)[0]
            time.sleep(1)
            peak = vm.rss()
            vm.send("\n")
            wait_for(vm, "^hold: freed$", at)
            freed, back = time.monotonic(), None
            while (now := time.monotonic() - freed) < SETTLE:
                if back is None and vm.rss() <= peak - BACK * taken * MIB:
                    back = now
                time.sleep(STEP)
            after = vm.rss()
        if peak - before < BACK * taken * MIB:
            raise guest.GuestError(f"the guest took {taken} MiB, the host saw {(peak - before) // MIB}\n{vm.console()}")
        say("value", "t90", state, back)
        say("value", "kept", state, (after - before) / MIB)


def churn(bench, pause):
    """The same memory, taken and freed again and again."""
    cycles = 5 if bench.quick else 30
    for state in STATES:
        takes = take_times(bench.run(state, f"churn 256M --cycles {cycles + 1} --pause {pause}"), cycles)
        say("value", "take", state, statistics.mean(takes))


def fault(bench, where):
    """Pages taken as fast as they come, and freed at once."""
    seconds = 3 if bench.quick else 10
    for state in STATES:
        console = bench.run(state, f"fault 128M {where} --seconds {seconds}")
        mean_us = re.search(r"^fault: rounds=\d+ round_mean_us=(\d+) ", console, re.M)[1]
        say("value", "rounds", state, 1e6 / int(mean_us))


def touch(bench):
    """Memory that was all reported is taken at once; where the kernel has it, zeroing it again is left out or not."""
    cycles = 3

    def first_touch(state, params=""):
        command = (f"cat /sys/module/{SKIP.replace('.', '/parameters/')} 2>/dev/null || echo none; "
                   f"churn 256M --thp --cycles {cycles + 1} --pause {1000 * SETTLE} && read end")
        with bench.guest(state, command, params=params) as vm:
            wait_for(vm, "^churn: cycles=")
            takes = take_times(vm.console(), cycles)
            skip = vm.wait_for(r"^(none|[01YN])$", 0)[1][1]
            held = vm.rss()
        if state == "on" and held > 192 * MIB:
            raise guest.GuestError(f"the host still holds {held // MIB} MiB: what is touched was not reported")
        return statistics.mean(takes), skip

    # By the host itself, without a guest: the memory of a guest that was reported cannot be had for less.
    with guest.Guest(["/bin/churn", "256M", "--thp", "--cycles", str(cycles + 1), "--pause", "0"]) as bare:
        bare.wait(LIMIT)
        say("value", "host", "off", None)
        say("value", "host", "on", statistics.mean(take_times(bare.console(), cycles)))
    for state in STATES:
        took, skip = first_touch(state)
        say("value", "touch", state, took)
    for state, value in zip(STATES, "01"):
        took = None
        if skip != "none":
            took, skip = first_touch("on", f"{SKIP}={value}")
            if skip not in (value, "NY"[int(value)]):
                raise guest.GuestError(f"asked for {SKIP}={value}, the guest has {skip}")
        say("value", "skip", state, took)


def fragments(bench):
    """Many small files, every second one deleted: what is free then is all holes."""
    files = FILES // 10 if bench.quick else FILES
    command = (f"cachefill {files * FILE_SIZE} /tmp/fragments --files {files} --delete-every 2 && sleep 15 && "
               "grep ^MemFree: /proc/meminfo && read end")
    for state in STATES:
        with bench.guest(state, command) as vm:
            wait_for(vm, f"^cachefill: deleted {files // 2} files$")
            free = wait_for(vm, r"^MemFree: +(\d+) kB")[1]
            holds = vm.rss()
        used = 1024 * MIB - int(free[1]) * 1024
        say("value", "used", state, used / MIB)
        say("value", "holds", state, holds / MIB)
        say("value", "over", state, 100 * (holds / used - 1))


def reclaim(bench):
    """A guest full of page cache that it could read again is asked to do without."""
    say("value", "reclaim", "off", None)
    say("value", "over", "off", None)
    if bench.vmm != "ebb":
        say("value", "reclaim", "on", None)
        say("value", "over", "on", None)
        return
    # What is read of a file of holes lies in the cache of the loop device only.
    command = ("truncate -s 512M /tmp/holes && losetup /dev/loop0 /tmp/holes && cat /dev/loop0 >/dev/null && echo cached "
               "&& read go && grep ^MemFree: /proc/meminfo && read end")
    with bench.guest("on", command, options=["--name", "reclaim"]) as vm:
        at = wait_for(vm, "^cached$")[0]
        before, start = vm.rss(), time.monotonic()
        asked = subprocess.run(["/ebb", "reclaim", "-n", "reclaim", "--cache", "all"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, env=bench.env, timeout=LIMIT, check=False)
        took, holds = time.monotonic() - start, vm.rss()
        vm.send("\n")
        free = wait_for(vm, r"^MemFree: +(\d+) kB", at)[1]
    if before < 512 * MIB:
        raise guest.GuestError(f"the guest has cached 512 MiB, and the host sees {before // MIB}")
    able = asked.returncode == 0
    if not able and "EBB_RECLAIM" not in asked.stdout:
        raise guest.GuestError(f"ebb reclaim: {asked.stdout}")
    say("value", "reclaim", "on", took if able else None)
    say("value", "over", "on", (holds - (1024 * MIB - int(free[1]) * 1024)) / MIB if able else None)


def pressure(bench, mib, command, proof):
    """
    A guest with too little memory does a fixed amount of work, with a disk of `mib` in the host's memory. How long that
    takes, and how much of it the kernel uses. `proof` is the counter that tells how short memory was.
    """
    with open("/disk", "wb") as disk:  # all of it now, or the first guest would pay for the host's pages
        for _ in range(mib):
            disk.write(b"\xeb" * MIB)
    options = (["-d", "/disk"] if bench.vmm == "ebb" else
               ["-drive", "if=none,id=disk,file=/disk,format=raw", "-device", "virtio-blk-device,drive=disk"])
    look = f"cat /proc/uptime; grep ^cpu.. /proc/stat; grep ^{proof} /proc/vmstat"
    for state in STATES:
        console = bench.run(state, f"{look}; {command} && {{ {look}; }}", SHORT_MIB, options=options)
        uptimes = [float(seconds) for seconds in re.findall(r"^(\d+\.\d+) \d+\.\d+$", console, re.M)]
        # user nice system idle iowait irq softirq
        ticks = [[int(n) for n in line.split()] for line in re.findall(r"^cpu +([\d ]+)$", console, re.M)]
        counts = [int(n) for n in re.findall(rf"^{proof} (\d+)$", console, re.M)]
        if counts[1] - counts[0] < SHORT_PAGES:
            raise guest.GuestError(f"memory was not short: {proof} {counts}\n--- console\n{console}")
        say("value", "takes", state, uptimes[1] - uptimes[0])
        say("value", "system", state, sum(ticks[1][i] - ticks[0][i] for i in (2, 5, 6)) / TICKS)


def pressure_swap(bench):
    """Memory in use that grows beyond the guest's own, and shrinks."""
    turns = 1 if bench.quick else 4
    pressure(bench, SHORT_MIB // 2, "mkswap /dev/vda && swapon /dev/vda && "
             f"breathe {SHORT_MIB * 9 // 8}M --low {SHORT_MIB // 2}M --turns {turns} --rest 0", "pswpin")


def pressure_cache(bench):
    """A disk that does not fit into memory is read again and again, while memory is taken and freed."""
    cycles = 4 if bench.quick else 20
    reader = f"for n in $(seq {cycles * 3 // 4}); do cat /dev/vda >/dev/null; done"
    pressure(bench, SHORT_MIB, f"{{ {reader}; }} & churn {SHORT_MIB // 2}M --thp --cycles {cycles} --pause 300 && wait $!",
             "pgscan_kswapd")


SCENARIOS = {
    "kept-1G": lambda bench: kept(bench, 1024, 512),
    "kept-128M": lambda bench: kept(bench, 128, 64),
    **{f"churn-{pause}": lambda bench, pause=pause: churn(bench, pause) for pause in (0, 300, 1000, 2000, 4000)},
    "fault-anon": lambda bench: fault(bench, "--thp"),
    "fault-file": lambda bench: fault(bench, "--file /tmp"),
    "touch": touch,
    "touch-once": touch,  # tests/bench/guest gives it another host
    "fragments": fragments,
    "reclaim": reclaim,
    "pressure-swap": pressure_swap,
    "pressure-cache": pressure_cache,
}


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "kernel", "initramfs"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--vmm", choices=("ebb", "qemu"), required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    # The guest's own program, for the host; before that has another root.
    os.makedirs(HERE, exist_ok=True)
    with open(args.initramfs, "rb") as initramfs:
        subprocess.run(["cpio", "-i", "-d", "--quiet", "bin/churn"], stdin=initramfs, cwd=HERE, check=True)
    versions = measuring.enter(HERE, args.ebb, {"/kernel": args.kernel, "/initramfs": args.initramfs})
    bench = Bench(args.vmm, args.quick)

    def measure():
        # Also reads everything once.
        version = re.search(r"^(\d\S*)$", bench.run("on", "uname -r", mib=128), re.M)[1]
        say("versions", versions | {"guest": version})
        SCENARIOS[args.scenario](bench)

    return measuring.run(measure, "bench-guest")


if __name__ == "__main__":
    sys.exit(main())
