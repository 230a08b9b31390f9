#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/cold, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["set", TEXT]                    what ebb said of the working set
    ["point", WAY, LATENCY, SECONDS]
"""

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot_host  # noqa: E402
import clones_host  # noqa: E402
import measuring  # noqa: E402
from measuring import MIB, say  # noqa: E402

HERE = "/tmp/bench-cold"
CONFIG = "/sys/kernel/config"
SIZE_MIB = 128
TIMES = 3


def put(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def make_disk(microseconds):
    """A block device of memory that takes so long for each request, with an ext4 in it."""
    path = f"{CONFIG}/nullb/cold{microseconds}"
    os.mkdir(path)
    for name, value in {"size": SIZE_MIB, "blocksize": 4096, "queue_mode": 2, "submit_queues": 1, "irqmode": 2, "completion_nsec": microseconds * 1000,
                        "memory_backed": 1, "hw_queue_depth": 32, "power": 1}.items():
        put(f"{path}/{name}", value)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", f"/dev/cold{microseconds}"], check=True)


def mount_disk(microseconds):
    """Returns a folder on it, with the snapshot."""
    where = f"/{microseconds}"
    os.makedirs(where)
    if ctypes.CDLL(None, use_errno=True).mount(f"/dev/cold{microseconds}".encode(), where.encode(), b"ext4", 0, None):
        raise OSError(ctypes.get_errno(), f"cannot mount the disk on {where}")
    folder = f"{where}/there"
    os.mkdir(folder)
    with open(f"{clones_host.SNAPSHOT}/snapshot", "rb") as there, open(f"{folder}/snapshot", "wb") as here:
        shutil.copyfileobj(there, here, MIB)
        os.fsync(here.fileno())
    return folder


def start(folder, name):
    process = boot_host.Process(["/ebb", "run", "--restore", folder, *clones_host.COMMON, "--name", name])
    os.write(process.keyboard, b"hello\n")
    return process, process.wait_for(b"it says hello")


def seconds(folder, cold):
    """Of the median."""
    found = []
    for _ in range(TIMES):
        os.sync()
        if cold:
            put("/proc/sys/vm/drop_caches", 1)
        process, took = start(folder, "one")
        process.end()
        found.append(took)
    return statistics.median(found)


def measure(args):
    clones_host.make_snapshot("restore")
    said = ""
    for latency in args.latencies:
        folder = mount_disk(latency)
        start(folder, "first")[0].end()
        say("point", "warm", latency, seconds(folder, False))
        say("point", "cold", latency, seconds(folder, True))
        put("/proc/sys/vm/drop_caches", 1)
        process, _ = start(folder, "first")
        said = subprocess.run(["/ebb", "snapshot", "-n", "first", "--working-set", folder], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        process.end()
        say("point", "warm listed", latency, seconds(folder, False))
        say("point", "cold listed", latency, seconds(folder, True))
    say("set", said)


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "initramfs", "kernel", "modules"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("latencies", type=int, nargs="+")
    args = parser.parse_args()
    # In the order that they need each other.
    for name in ("crc32c_generic", "libcrc32c", "crc16", "mbcache", "jbd2", "ext4"):
        subprocess.run(["/bin/busybox", "insmod", f"{args.modules}/{name}.ko"], check=True)
    subprocess.run(["mount", "-t", "configfs", "configfs", CONFIG], check=True)
    for latency in args.latencies:
        make_disk(latency)
    os.makedirs(HERE, exist_ok=True)
    say("versions", measuring.enter(HERE, args.ebb, {"/kernel": args.kernel, "/initramfs": args.initramfs}))
    os.makedirs(measuring.RUNTIME, mode=0o700)
    os.environ["EBB_RUNTIME_DIR"] = measuring.RUNTIME
    time.sleep(1)
    return measuring.run(lambda: measure(args), "bench-cold")


if __name__ == "__main__":
    sys.exit(main())
