#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: demo_guest.py --debian KERNEL MODULES RUN…

The demo's measuring half: runs where KVM is, prints what it sees, draws nothing. RUN is off, stock or patched. The
first two have Debian's own KERNEL, with an archive of the MODULES that it needs: tests/host/run --print-kernel.

Each line on standard output is one JSON list, written at once:

    ["start", RUN]                      a guest starts
    ["kernel", RUN, RELEASE]            and has this kernel, it says
    ["before", RUN, BYTES]              it has come to rest: what the host holds for it now; its clock starts here
    ["sample", RUN, SECONDS, BYTES]     RssAnon of the VMM
    ["mark", RUN, SECONDS, NAME]        NAME is "take", "taken", "freed"
    ["end", RUN, SECONDS]

What goes wrong is one line on standard error and status 1.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # the tree may be read-only here, and is somebody's checkout anyway
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "lib"))
import guest  # noqa: E402

MEMORY = "1G"
TAKE_MIB = 512
HZ = 10
TAKE_AT = 1.0  # seconds on the guest's clock: a stretch of flat line first
FREE_AT = 8.0  # or HOLD after it was taken, where taking is slow
HOLD = 2.0
WATCH = 13.0  # after the free
LIMIT = 120.0  # for anything that a guest is waited for

RUNS = {  # whether the kernel is Debian's, and how ebb is started
    "off": (True, ["--free-page-reporting=off"]),
    "stock": (True, []),
    "patched": (False, []),
}


def say(*what):
    print(json.dumps(what), flush=True)


def plain_initramfs():
    """The one that need not be unpacked, where the build made it."""
    plain = guest.INITRAMFS.removesuffix(".gz")
    return plain if os.path.exists(plain) else guest.INITRAMFS


class Run:
    """One guest from its start to its end."""

    def __init__(self, name, vm):
        self.name, self.vm = name, vm
        self.zero = 0.0
        self.seen = 0  # console lines looked at

    def now(self):
        return time.monotonic() - self.zero

    def mark(self, name):
        say("mark", self.name, round(self.now(), 3), name)

    def sample_until(self, done):
        """Samples at HZ until done() has been true once; gives up when that takes far too long."""
        start = tick = self.now()
        while not done():
            if self.now() >= tick:
                say("sample", self.name, round(self.now(), 3), self.vm.rss())
                tick = max(tick + 1 / HZ, self.now())
            if self.now() - start > LIMIT:
                raise guest.GuestError(f"nothing happened for {LIMIT:g} s\n--- console\n{self.vm.console()}")
            time.sleep(min(max(tick - self.now(), 0), 0.02))

    def said(self, text):
        """Whether the console has had this line since the last one that was asked for."""
        for i in range(self.seen, len(self.vm.lines)):
            if self.vm.lines[i][1].strip() == text:
                self.seen = i + 1
                return True
        return False

    def go(self):
        say("start", self.name)
        at, kernel = self.vm.wait_for(r"^kernel (.*)$", LIMIT)
        say("kernel", self.name, kernel[1])
        self.seen = self.vm.wait_for(r"^ready$", LIMIT, at)[0] + 1
        before = self.vm.stable_rss(timeout=LIMIT)
        self.zero = time.monotonic()
        say("before", self.name, before)

        self.sample_until(lambda: self.now() >= TAKE_AT)
        self.mark("take")
        self.vm.send("\n")
        self.sample_until(lambda: self.said(f"hold: taken {TAKE_MIB} MiB"))
        self.mark("taken")
        free_at = max(FREE_AT, self.now() + HOLD)
        self.sample_until(lambda: self.now() >= free_at)
        self.vm.send("\n")
        self.sample_until(lambda: self.said("hold: freed"))
        self.mark("freed")
        end_at = self.now() + WATCH
        self.sample_until(lambda: self.now() >= end_at)
        say("end", self.name, round(self.now(), 3))


def with_modules(modules, folder):
    """An initramfs in the folder that loads these modules before its init: a kernel takes archives behind each other."""
    path = os.path.join(folder, "initramfs")
    with open(path, "wb") as out:
        for part in (plain_initramfs(), modules):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, out)
    return path


def run(name, debian_kernel, debian_initramfs):
    command = f"echo kernel $(uname -r); echo ready; read go; hold {TAKE_MIB}M --wait; read end"
    debian, options = RUNS[name]
    machine = {"kernel": guest.KERNEL, "initrd": plain_initramfs()}
    if debian:
        machine = {"kernel": debian_kernel, "initrd": debian_initramfs, "params": "quiet rdinit=/modules/init"}
    with guest.Guest(guest.ebb(command, *options, **machine, memory=MEMORY)) as vm:
        Run(name, vm).go()
        vm.process.terminate()
        vm.wait(LIMIT)


def stop(number, _frame):
    sys.exit(128 + number)  # through every __exit__


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    parser = argparse.ArgumentParser(usage=__doc__.split("\n", maxsplit=1)[0].removeprefix("usage: "))
    parser.add_argument("--debian", nargs=2, required=True)
    parser.add_argument("runs", nargs="+", choices=RUNS)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            kernel, modules = args.debian
            initramfs = with_modules(modules, folder)
            for name in args.runs:
                run(name, kernel, initramfs)
    except guest.GuestError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever drew is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
