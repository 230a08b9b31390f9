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
from measuring import KERNEL_FIELDS, LIMIT, RUNTIME, SETTLE, guest, meminfo, rollup, say  # noqa: E402

HERE = "/tmp/bench-clones"
SNAPSHOT = "/snapshot"
QEMU_RAM, QEMU_REST = "/snapshot-ram", "/snapshot-rest"
MAPPED = [{"capability": "x-ignore-shared", "state": True}]
boot_host.LIMIT = LIMIT  # the host's clock may leap
COMMON = ["-m", "256M", "-c", "1", "-n", "none", "--free-page-reporting=on"]
# It answers as soon as it runs.
PARAMS = "quiet reboot=t ebb.cmd=\"echo sits; while read word; do echo it says $word; done\""


class Ebb:
    def __init__(self, way):
        self.way = way

    def start(self, number, from_snapshot=True):
        what = ([f"--{self.way}", SNAPSHOT] if from_snapshot and self.way != "boot"
                else ["-k", "/kernel", "-i", "/initramfs", "-p", PARAMS])
        return boot_host.Process(["/ebb", "run", *what, *COMMON, "--name", f"g{number:03}"])

    def save(self):
        """Of guest 0. Returns the bytes it takes, and how long the guest stood still."""
        said = subprocess.run(["/ebb", "snapshot", "-n", "g000", SNAPSHOT], stdout=subprocess.PIPE, text=True, check=True).stdout
        return allocated(os.path.join(SNAPSHOT, "snapshot")), re.search(r"stood still for (.*)", said)[1]


def connected(path):
    """To a program that was just started."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return measuring.Qmp(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise
            time.sleep(0.0005)


class Qemu:
    """Its snapshot is a stream that guests read whole; or the guest's memory is in a file that they map, and the stream has
    the rest, as Kata Containers' templates do."""

    def __init__(self, way):
        self.mapped = way == "qemu-mapped"

    def start(self, number, from_snapshot=True):
        share = "off" if from_snapshot else "on"
        ram = ["-object", f"memory-backend-file,id=ram,size=256M,mem-path={QEMU_RAM},share={share}"] if self.mapped else []
        machine = boot_host.MICROVM + (",memory-backend=ram" if self.mapped else "")
        path = f"{RUNTIME}/g{number:03}.sock"
        process = boot_host.Process([*boot_host.qemu(machine)("/initramfs", PARAMS), *ram, "-qmp", f"unix:{path},server=on,wait=off",
                                     *(["-incoming", "defer"] if from_snapshot else [])])
        if from_snapshot:  # what it is told before that is done, its guest does not hear
            self.move(path, "migrate-incoming", os.O_RDONLY)
        return process

    def move(self, path, command, flags):
        """By a file: QEMU 7.2 knows no other way to one than a descriptor, or a shell."""
        connection = connected(path)
        if self.mapped:
            connection.run("migrate-set-capabilities", {"capabilities": MAPPED})
        file = os.open(QEMU_REST, flags, 0o600)
        connection.run("getfd", {"fdname": "file"}, [file])
        os.close(file)
        connection.run(command, {"uri": "fd:file"})
        while (found := connection.run("query-migrate")).get("status") != "completed":
            if found.get("status") == "failed":
                raise guest.GuestError(f"QEMU's {command}: {found}")
            time.sleep(0.0005)
        connection.close()
        return found

    def save(self):
        found = self.move(f"{RUNTIME}/g000.sock", "migrate", os.O_WRONLY | os.O_CREAT)
        used = allocated(QEMU_REST) + (allocated(QEMU_RAM) if self.mapped else 0)
        return used, f"{found['downtime'] / 1e3:.2f} s"


def vmm(way):
    return Qemu(way) if way.startswith("qemu") else Ebb(way)


def allocated(path):
    return os.stat(path).st_blocks * 512


def start(way, number, from_snapshot=True):
    """Returns the guest, and the seconds from the start of its VMM to its answer."""
    process = vmm(way).start(number, from_snapshot)
    if way == "boot" or not from_snapshot:
        process.wait_for(boot_host.SITS)
    os.write(process.keyboard, b"hello\n")
    return process, process.wait_for(b"it says hello")


def make_snapshot(way):
    process, _ = start(way, 0, from_snapshot=False)
    time.sleep(SETTLE)
    used, stopped = vmm(way).save()
    process.end()
    say("snapshot", {"used": used, "stopped": stopped})


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
        make_snapshot(args.way)
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
    return measuring.main_at_points("bench-clones", HERE, {"way": ("boot", "restore", "restore-all", "qemu", "qemu-mapped")}, measure)


if __name__ == "__main__":
    sys.exit(main())
