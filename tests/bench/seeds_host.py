#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/seeds, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["rate", ROW, LOAD, TASKS, PAGES]  pages faulted in a second, by all tasks together
    ["host", STATE, MIB, SIZE]         what was free on the host before the guest of SIZE MiB was started
    ["round", STATE, PART, TAKEN, AT_PEAK, SOON, LATER]
                                       the guest took PART per cent of what it has, TAKEN MiB, and so many were free on the
                                       host while it had them, and a while after it had freed them

What goes wrong is told on standard error, with status 1.
"""

import argparse
import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measuring  # noqa: E402
from measuring import MIB, Bench, guest, say, wait_for  # noqa: E402

HERE = "/tmp/bench-seeds"
KERNELS = ("noreporting", "stock", "patched")

# --- Page faults as fast as they come -----------------------------------------------------------------------------

# ROW: (kernel, reporting, kernel parameters, ebb's options)
ROWS = {
    "without": ("noreporting", "off", "", ()),
    "off": ("stock", "off", "", ()),
    "on": ("stock", "on", "", ()),
    "shuffle": ("stock", "on", "page_alloc.shuffle=1", ()),
    "free": ("stock", "on", "page_alloc.shuffle=1", ("--discard", "free")),
    "ours": ("patched", "on", "", ()),
}
LOADS = {"page_fault1": "--thp", "page_fault2": "--file /tmp"}
TASKS = (1, 4)
GUEST_MIB, TASK_MIB = 2048, 128
PAGES = TASK_MIB * MIB // 4096
REST = 3  # seconds, until what a load freed is reported


def fault_command(run, seconds):
    """
    All loads, one after the other. Counted runs would repeat to the instruction: what differs between them is how much
    memory was taken before, and when the loads begin.
    """
    one = f"fault {TASK_MIB}M $2 $3 --seconds {seconds} &"
    load = f"load() {{ n=0; while [ $n -lt $1 ]; do {one} n=$((n+1)); done; wait; echo over; sleep {REST}; }}"
    loads = [f"load {tasks} {how}" for how in LOADS.values() for tasks in TASKS]
    return "; ".join([f"head -c {1237 * run}k /dev/zero >/tmp/kept", f"usleep {317000 * run}", load, *loads])


def fault_rates(console):
    """Pages in a second, a figure for each load and number of tasks, in the order of fault_command()."""
    parts = re.split(r"^over$", console, flags=re.M)[:-1]
    rates = []
    for part in parts:
        rounds = re.findall(r"^fault: rounds=(\d+) .*total_ms=(\d+)$", part, re.M)
        rates.append((len(rounds), sum(PAGES * int(n) / (int(ms) / 1e3) for n, ms in rounds)))
    if [tasks for tasks, _ in rates] != [tasks for _ in LOADS for tasks in TASKS]:
        raise guest.GuestError(f"not all tasks told how fast they were\n--- console\n{console}")
    return [rate for _, rate in rates]


def faults(bench, run, seconds):
    order = list(ROWS)
    order = order[run % len(order):] + order[:run % len(order)]
    for row in order:
        kernel, state, params, options = ROWS[row]
        console = bench.run(state, fault_command(run, seconds), GUEST_MIB, params, options, kernel="/" + kernel)
        what = [(load, tasks) for load in LOADS for tasks in TASKS]
        for (load, tasks), rate in zip(what, fault_rates(console)):
            say("rate", row, load, tasks, rate)


# --- Rounds of memhog ---------------------------------------------------------------------------------------------

# STATE: (kernel, reporting, seconds from the free until the host is looked at; after the last the next round begins)
STATES = {"off": ("stock", "off", (5, 20)), "on": ("stock", "on", (5, 20)), "ours": ("patched", "on", (5, 20)),
          "rhythm": ("patched", "on", (5, 10))}
PARTS = (40, 60, 80, 100)
ROUNDS = 3
SPARE_MIB = 200  # the rest of the host's memory is the guest's
SETTLE = 20.0  # seconds from the guest's start to the first round


def host_free():
    """MiB."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        return int(re.search(r"^MemFree: +(\d+) kB", meminfo.read(), re.M)[1]) / 1024


def memhog(bench, state):
    """The guest takes so much of what is available to it, less what the taking itself needs; again and again."""
    kernel, reporting, looks = STATES[state]
    before = host_free()
    size = int(before - SPARE_MIB) // 2 * 2
    command = ("while read part; do a=$(grep ^MemAvailable: /proc/meminfo | tr -dc 0-9); "
               "hold $((a*part/100*97/100/1024))M --wait; done")
    with bench.guest(reporting, command, size, kernel="/" + kernel) as vm:
        vm.wait_for("^ebb-guest: init", measuring.LIMIT)
        time.sleep(SETTLE)
        rounds, at = [], 0
        for part in PARTS * ROUNDS:
            vm.send(f"{part}\n")
            at, taken = wait_for(vm, r"^hold: taken (\d+) MiB$", at)
            peak = host_free()
            vm.send("\n")
            at = wait_for(vm, "^hold: done$", at)[0]
            freed, after = time.monotonic(), []
            for look in looks:
                time.sleep(freed + look - time.monotonic())
                after.append(host_free())
            rounds.append((part, int(taken[1]), peak, *after))
    say("host", state, before, size)
    for one in rounds:
        say("round", state, *one)


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "initramfs"):
        parser.add_argument("--" + name, required=True)
    for name in KERNELS:
        parser.add_argument("--" + name)
    parser.add_argument("--faults", type=int, metavar="RUN")
    parser.add_argument("--memhog", choices=STATES)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    kernels = {"/" + name: getattr(args, name) for name in KERNELS if getattr(args, name)}
    files = kernels | {"/initramfs": args.initramfs}
    versions = measuring.enter(HERE, args.ebb, files)
    bench = Bench("ebb")

    def measure():
        # Also reads everything once.
        found = [bench.run("on", "uname -r", 128, kernel=kernel) for kernel in kernels]
        say("versions", {"host": versions["host"], "guest": re.search(r"^(\d\S*)$", found[0], re.M)[1]})
        if args.memhog:
            memhog(bench, args.memhog)
        else:
            faults(bench, args.faults, args.seconds)

    return measuring.run(measure, "bench-seeds")


if __name__ == "__main__":
    sys.exit(main())
