#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/clones, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["snapshot", {"used": BYTES, "stopped": TEXT}]
    ["point", N, {NAME: VALUE}]  with N guests: seconds, and bytes for each guest

Everything that is opened or started lies in memory and was read once before; so does the snapshot.
"""

import os
import re
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot_host  # noqa: E402
import measuring  # noqa: E402
from measuring import KERNEL_FIELDS, LIMIT, SETTLE, meminfo, rollup, say  # noqa: E402

HERE = "/tmp/bench-clones"
SNAPSHOT = "/snapshot"
boot_host.LIMIT = LIMIT  # the host's clock may leap
COMMON = ["-m", "256M", "-c", "1", "-n", "none", "--free-page-reporting=on"]
# It answers as soon as it runs.
PARAMS = "quiet reboot=t ebb.cmd=\"echo sits; while read word; do echo it says $word; done\""


def argv_of(way, number):
    what = ["-k", "/kernel", "-i", "/initramfs", "-p", PARAMS] if way == "boot" else [f"--{way}", SNAPSHOT]
    return ["/ebb", "run", *what, *COMMON, "--name", f"g{number:03}"]


def start(way, number):
    """Returns the guest, and the seconds from the start of its VMM to its answer."""
    process = boot_host.Process(argv_of(way, number))
    if way == "boot":
        process.wait_for(boot_host.SITS)
    os.write(process.keyboard, b"hello\n")
    return process, process.wait_for(b"it says hello")


def make_snapshot():
    process, _ = start("boot", 0)
    time.sleep(SETTLE)
    said = subprocess.run(["/ebb", "snapshot", "-n", "g000", SNAPSHOT], stdout=subprocess.PIPE, text=True, check=True).stdout
    process.end()
    used = os.stat(os.path.join(SNAPSHOT, "snapshot")).st_blocks * 512
    say("snapshot", {"used": used, "stopped": re.search(r"stood still for (.*)", said)[1]})


def memory(processes, before):
    now, count = meminfo(), len(processes)
    found = {name.lower(): statistics.mean(rollup(process.pid, name) for process in processes)
             for name in ("Rss", "Pss", "Anonymous")}
    found["free"] = (before["MemFree"] - now["MemFree"]) / count
    found["kernel"] = sum(now[name] - before[name] for name in KERNEL_FIELDS) / count
    return found


def measure(args):
    if args.way == "boot":
        start("boot", 0)[0].end()  # reads everything once
    else:
        make_snapshot()
        start(args.way, 0)[0].end()
    time.sleep(SETTLE)
    before, processes, seconds = meminfo(), [], []
    for point in args.points:
        while len(processes) < point:
            process, took = start(args.way, len(processes) + 1)
            processes.append(process)
            seconds.append(took)
        time.sleep(SETTLE)
        say("point", point, memory(processes, before) | {"start": statistics.median(seconds), "slowest": max(seconds)})
        time.sleep(1)  # what was said is outside by then
    for process in processes:
        process.end()


def main():
    return measuring.main_at_points("bench-clones", HERE, {"way": ("boot", "restore", "restore-all")}, measure)


if __name__ == "__main__":
    sys.exit(main())
