#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/density, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["point", N, {NAME: BYTES}]  what the host has for N guests that have read the image
    ["unread", N, {NAME: BYTES}] the same where only the first has, of as many
    ["cache", BYTES]             what the last guest's own page cache grew by while it read

The image and all that is started lie in memory; what is measured does not change them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import host_root  # noqa: E402
import measuring  # noqa: E402
from measuring import MIB, SETTLE, guest, meminfo, rollup, say, wait_for  # noqa: E402

HERE = "/tmp/bench-density"
GUEST_MIB = 256
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
# WAY: ebb's options, and the guest's commands that mount it. The driver of pmem makes its disks in the background.
WAYS = {
    "disk": (["-d", "/image,ro"], "mount -t ext4 -o ro /dev/vda /m"),
    "folder": (["--fs", "/tree,ro"], "mount -t virtiofs fs0 /m"),
    "pmem": (["--pmem", "/image,ro"],
             "modprobe nd_pmem; until [ -e /dev/pmem0 ]; do sleep 1; done; mount -t ext4 -o ro,dax /dev/pmem0 /m"),
}
# Emulated, the guest's processor would test the kernel's ciphers for minutes.
PARAMS = "quiet reboot=t cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
JOB = ("coldplug; mkdir -p /m; {mount} && echo sits; read go; c() {{ grep ^Cached: /proc/meminfo; }}; c; "
       "dd if=/m/data of=/dev/null bs=64k 2>&1; c; echo over; read end")


def make_files(args):
    """What is read, as a folder and as an image, before all this has another root; and the server of folders."""
    os.makedirs(f"{HERE}/tree")
    with open(f"{HERE}/tree/data", "wb") as file:
        for _ in range(args.mib):
            file.write(os.urandom(MIB))
    with open(f"{HERE}/image", "wb") as file:
        file.truncate((args.mib + 16) * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d", f"{HERE}/tree", f"{HERE}/image"], check=True)
    with open(f"{HERE}/initrd", "wb") as out:
        for path in (f"{args.cloud}/modules.cpio", args.initramfs):
            with open(path, "rb") as part:
                shutil.copyfileobj(part, out)
    for file in (VIRTIOFSD, *host_root.libraries(VIRTIOFSD), "/etc/passwd", "/etc/group"):
        host_root.copy(HERE, file)


def start(way):
    options, mount = WAYS[way]
    say("doing", "a guest starts")
    time.sleep(0.5)  # by then that is outside
    vm = guest.Guest(["/ebb", "run", "-k", "/kernel", "-i", "/initrd", "-m", f"{GUEST_MIB}M", "-c", "1", "-n", "none", *options,
                      "-p", f'{PARAMS} ebb.cmd="{JOB.format(mount=mount)}"'], env=os.environ)
    wait_for(vm, "^sits$")
    return vm


def read(vm, mib):
    """Returns by how many bytes the guest's page cache has grown."""
    vm.send("\n")
    wait_for(vm, "^over$")
    if f"{mib * 16}+0 records in" not in vm.console():
        raise guest.GuestError(f"not all of the image was read\n--- console\n{vm.console()}")
    before, after = (int(kib) * 1024 for kib in re.findall(r"^Cached: +(\d+) kB", vm.console(), re.M))
    return after - before


def processes():
    """Those of programs: a thread of the kernel has no command line."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{name}/cmdline", "rb") as file:
            if file.read(1):
                found.add(int(name))
    return found


def memory(others, before):
    """What the host has for the guests: of all processes but the `others`, and less than `before` is available."""
    return {"pss": sum(rollup(pid, "Pss") for pid in processes() - others), "available": before - meminfo()["MemAvailable"]}


def measure(args):
    with start(args.way) as vm:
        read(vm, args.mib)  # reads everything once
    time.sleep(SETTLE)
    others, before, guests = processes(), meminfo()["MemAvailable"], []
    for point in (1, args.guests):
        new = [start(args.way) for _ in range(point - len(guests))]
        guests += new
        time.sleep(SETTLE)
        say("unread", point, memory(others, before))
        time.sleep(1)  # what was said is outside by then
        for vm in new:
            grown = read(vm, args.mib)
        time.sleep(SETTLE)
        say("point", point, memory(others, before))
        time.sleep(1)
    say("cache", grown)
    for vm in guests:
        vm.kill()


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "initramfs", "cloud"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--way", choices=WAYS, required=True)
    for name in ("guests", "mib"):
        parser.add_argument("--" + name, type=int, required=True)
    args = parser.parse_args()
    make_files(args)
    guest.namespaces()  # asked, and kept, while there is a program for it
    versions = measuring.enter(HERE, args.ebb, {"/kernel": f"{args.cloud}/kernel"})
    os.makedirs(measuring.RUNTIME, mode=0o700)
    os.environ["EBB_RUNTIME_DIR"] = measuring.RUNTIME
    say("versions", versions)
    return measuring.run(lambda: measure(args), "bench-density")


if __name__ == "__main__":
    sys.exit(main())
