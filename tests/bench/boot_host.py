#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/boot: runs where KVM is, prints JSON lines, one a measurement.

    ["doing", TEXT]             what is under way
    ["versions", {NAME: TEXT}]
    ["run", VMM, INITRAMFS, {"seconds": S, "private": BYTES, "threads": N}]
    ["host", VMM, {...}]        with --breakdown: where the VMM's part of the time went
    ["kernel", [LINE, ...]]     with --breakdown: the guest kernel's log with initcall_debug
    ["restored", MIB, {"used": BYTES, "first": [S, ...], "answer": [S, ...]}]  with --restore, which does nothing else
    ["sandbox", OPTION, [S, ...]]                                              likewise, with --sandbox

Everything that a VMM reads is copied to memory and read once before, so that no shared file system is measured.
"""

import argparse
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import host_root  # noqa: E402
import measuring  # noqa: E402

HERE = "/tmp/bench-boot"
MEMORY = 256 << 20
INIT = b"ebb-guest: init"
SITS = b"sits"
SETTLE = 15  # seconds: a guest that has started reports what it freed within this
QUIET = 0.5  # seconds on the host's clock, which cost nothing: what was printed before is outside by then
LIMIT = 30  # seconds on the host's clock for a guest to say something: it takes half of one
TRACING = "/sys/kernel/tracing"
PARAMS = 'quiet reboot=t ebb.cmd="uname -r; echo sits; read end"'


def say(*what):
    print(json.dumps(what), flush=True)


# --- What is started --------------------------------------------------------------------------------------------


def make_root(args):
    """Copies all that will be read into a root of its own in memory. Returns QEMU's version."""
    version = host_root.make(HERE, args.ebb, {"/kernel": args.kernel, "/plain": args.plain, "/gzip": args.gzip})
    if args.breakdown or args.restore:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", host_root.inside(HERE, TRACING)], check=True)
    return version


def ebb(initramfs, params=PARAMS):
    return ["/ebb", "run", "-k", "/kernel", "-i", initramfs, "-m", "256M", "-c", "1", "-n", "none",
            "--free-page-reporting=on", "-p", params]


def qemu(machine):
    def argv(initramfs, params=PARAMS):
        return ["/qemu", "-M", machine, "-enable-kvm", "-cpu", "host", "-m", "256", "-smp", "1", "-nographic",
                "-nodefaults", "-no-user-config", "-no-reboot", "-L", "/firmware", "-serial", "stdio",
                "-device", "virtio-balloon-device,free-page-reporting=on",
                "-kernel", "/kernel", "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 " + params]
    return argv


# With its own ACPI tables QEMU's microvm puts the guest's console behind an interrupt that this small kernel does
# not look for. "Lean" leaves away all that its documentation says can be, which makes it start sooner.
MICROVM = "microvm,acpi=off"
LEAN = MICROVM + ",pit=off,pic=off,rtc=off,x-option-roms=off"
VMMS = {"ebb": ebb, "QEMU microvm": qemu(MICROVM), "QEMU microvm, lean": qemu(LEAN)}


class Process:
    """A VMM. posix_spawn, a pipe and read: next to nothing of this program is in what it measures."""

    def __init__(self, argv):
        self.argv, self.text = argv, b""
        time.sleep(QUIET)
        stdin, self.keyboard = os.pipe()
        self.console, stdout = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stdout, 2)]
        self.started = time.monotonic()
        self.pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        os.close(stdin)
        os.close(stdout)

    def wait_for(self, text):
        """Reads the console until it says this. Returns the seconds since the start."""
        while text not in self.text:
            ready = select.select([self.console], [], [], LIMIT)[0]
            data = os.read(self.console, 65536) if ready else b""
            if not data:
                why = "ended" if ready else f"was given {LIMIT} s"
                sys.exit(f"bench-boot: {' '.join(self.argv)} {why} before its guest said {text.decode()!r}:\n"
                         + self.text.decode("utf-8", "replace"))
            self.text += data
        return time.monotonic() - self.started

    def read_all(self):
        while data := os.read(self.console, 65536):
            self.text += data

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.console)
        os.close(self.keyboard)


def guest_ram(spans, memory):
    """
    The numbers of the mappings that are the guest's RAM: neighbours that can be written to, as large together as it is. They
    are several where ebb has given advice on parts of it.
    """
    found = []
    for first, (start, end, writable) in enumerate(spans):
        last = first
        while writable and end - start < memory and spans[last + 1:last + 2] and spans[last + 1][0] == end:
            last += 1
            _, end, writable = spans[last]
        if writable and end - start == memory:
            found.append(range(first, last + 1))
    if len(found) != 1:
        sys.exit(f"bench-boot: {len(found)} places are as large as the guest's RAM, there should be one")
    return found[0]


def own_memory(pid, memory=MEMORY):
    """
    Bytes that nobody else can share: anonymous pages and those of a device, without the guest's RAM, which its size
    tells. Pages of files do not count: in this root, which is in memory, even those never written to are "dirty".
    """
    spans, sizes, field = [], [], None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as smaps:
        for line in smaps:
            if span := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(\S*)", line):
                spans.append((int(span[1], 16), int(span[2], 16), span[3].startswith("rw")))
                sizes.append(0)
                field = "Private_Dirty:" if span[4].startswith(("anon_inode:", "/dev/")) else "Anonymous:"
            elif field and line.startswith(field):
                sizes[-1] = int(line.split()[1]) * 1024
    ram = guest_ram(spans, memory)
    return sum(size for number, size in enumerate(sizes) if number not in ram)


def measure(argv):
    process = Process(argv)
    seconds = process.wait_for(INIT)
    process.wait_for(SITS)
    result = {"seconds": seconds, "private": own_memory(process.pid),
              "threads": len(os.listdir(f"/proc/{process.pid}/task"))}
    process.end()
    return result, process.text.decode("utf-8", "replace")


# --- Where the time goes ----------------------------------------------------------------------------------------


def trace_write(name, text):
    with open(os.path.join(TRACING, name), "w", encoding="utf-8") as file:
        file.write(text)


EVENTS = ("raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "kvm/kvm_entry", "kvm/kvm_exit", "kvm/kvm_page_fault",
          "kvm/kvm_mmio")


def traced(argv):
    """Starts it with the host kernel's tracing on. Returns the events up to the guest's init."""
    trace_write("tracing_on", "0")
    trace_write("buffer_size_kb", "65536")
    trace_write("trace_clock", "mono")
    for event in EVENTS:
        trace_write(f"events/{event}/enable", "1")
    trace_write("trace", "")
    trace_write("tracing_on", "1")
    process = Process(argv)
    seconds = process.wait_for(INIT)
    trace_write("tracing_on", "0")
    started, name = process.started, os.path.basename(argv[0])[:15]
    with open(os.path.join(TRACING, "trace"), encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if not line.startswith("#")]
    for event in EVENTS:
        trace_write(f"events/{event}/enable", "0")
    process.end()
    return started, seconds, name, lines


class Seen:
    """What the host's kernel saw of a VMM, in milliseconds since it was started."""

    def __init__(self, started, name):
        self.started, self.name = started, name
        self.steps = []  # until the guest's first instruction: [when, in the call, call and arguments]
        self.exits = {}  # reason: [count, ms outside the guest]
        self.ticks = []  # where the guest was when an interrupt came: its timer's, nearly always
        self.pages = []  # memory that it lacked: [ms outside the guest, address, where the guest was]
        self.first, self.in_guest, self.entry = None, 0.0, None
        self.call, self.exit = {}, None  # what each thread is in; since when the guest is not running, and why
        self.lacks = None  # in an exit for memory: where the guest was, and the address

    def event(self, comm, tid, when, event, rest):
        if event == "sys_enter":
            self.call[tid] = (when, rest)
        elif event == "sys_exit":
            since, what = self.call.pop(tid, (when, None))
            # An exec changes the name: what the child did before was still its parent's.
            if what and self.first is None and comm == self.name:
                self.steps.append([since, when - since, what])
        elif event == "kvm_exit":
            if self.entry is not None:
                self.in_guest += when - self.entry
            reason = re.search(r"reason (\S+)", rest)[1]
            if reason == "interrupt":
                self.ticks.append(int(re.search(r"rip (0x[0-9a-f]+)", rest)[1], 16))
            self.entry, self.exit = None, (reason, when)
        elif event in ("kvm_page_fault", "kvm_mmio"):
            if self.exit:  # what an exit by a page that is not there is about: memory, or a device
                self.exit = (f"{self.exit[0].split()[0]} ({'memory' if event == 'kvm_page_fault' else 'device'})", self.exit[1])
            if self.exit and event == "kvm_page_fault":
                self.lacks = [int(number, 16) for number in re.search(r"rip (0x[0-9a-f]+) address (0x[0-9a-f]+)", rest).groups()]
        elif event == "kvm_entry":
            if self.first is None:
                self.first = when
            if self.exit:
                entry = self.exits.setdefault(self.exit[0], [0, 0.0])
                entry[0] += 1
                entry[1] += when - self.exit[1]
            if self.lacks:
                self.pages.append([when - self.exit[1], self.lacks[1], self.lacks[0]])
            self.exit, self.entry, self.lacks = None, when, None


def breakdown(argv):
    """Where a VMM's time goes, as a dictionary."""
    started, seconds, name, lines = traced(argv)
    line_of = re.compile(r"\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (\w+): (.*)")
    seen = Seen(started, name)
    for line in lines:
        match = line_of.match(line)
        if match:
            seen.event(match[1].strip(), match[2], 1e3 * (float(match[3]) - started), match[4], match[5])
    return {"to_init": 1e3 * seconds, "to_first_entry": seen.first, "in_guest": seen.in_guest, "exits": seen.exits,
            "steps": seen.steps, "ticks": seen.ticks, "pages": seen.pages}


# --- A guest that is restored -----------------------------------------------------------------------------------


def first_entry(argv):
    """Seconds from the start of ebb until KVM enters the guest for the first time, and until the guest has answered."""
    trace_write("buffer_size_kb", "65536")
    trace_write("trace_clock", "mono")
    trace_write("events/kvm/kvm_entry/enable", "1")
    trace_write("trace", "")
    trace_write("tracing_on", "1")
    process = Process(argv)
    os.write(process.keyboard, b"\n")
    answer = process.wait_for(b"ebb-guest: exit=")
    trace_write("tracing_on", "0")
    trace_write("events/kvm/kvm_entry/enable", "0")
    with open(os.path.join(TRACING, "trace"), encoding="utf-8", errors="replace") as file:
        first = re.search(r" ([\d.]+): kvm_entry: ", file.read())[1]
    process.end()
    return float(first) - process.started, answer


def restored(mib, runs):
    """Of a guest that sat for a while: each time from the same snapshot, which is in memory."""
    folder, options = f"/snapshot{mib}", ["-m", f"{mib}M", "-c", "1", "-n", "none", "--free-page-reporting=on"]
    process = Process(["/ebb", "run", "-k", "/kernel", "-i", "/plain", "-p", PARAMS, "--name", "saved", *options])
    process.wait_for(SITS)
    time.sleep(SETTLE)
    subprocess.run(["/ebb", "snapshot", "-n", "saved", folder], stdout=subprocess.DEVNULL, check=True)
    process.end()
    again = ["/ebb", "run", "--restore", folder, *options]
    first_entry(again)  # reads everything once
    first, answer = zip(*(first_entry(again) for _ in range(runs)))
    return {"used": os.stat(f"{folder}/snapshot").st_blocks * 512, "first": first, "answer": answer}


# --- What the sandbox costs -------------------------------------------------------------------------------------


def sandboxed(option, runs):
    """Seconds to the guest's init, with the phases that the option leaves."""
    argv = [*ebb("/plain"), f"--sandbox={option}"]
    return [measure(argv)[0]["seconds"] for _ in range(runs + 1)][1:]  # the first reads everything once


def kernel_log(argv):
    process = Process(argv)
    process.wait_for(INIT)
    process.wait_for(b"ebb-guest: exit=")
    process.end()
    return process.text.decode("utf-8", "replace").splitlines()


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "kernel", "plain", "gzip"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--breakdown", action="store_true")
    parser.add_argument("--ebb-only", action="store_true")
    parser.add_argument("--restore", type=int, nargs="*", default=[], metavar="MIB")
    parser.add_argument("--sandbox", nargs="*", default=[], metavar="OPTION")
    args = parser.parse_args()
    if args.sandbox:
        # In a mere chroot a program may make no user namespace.
        measuring.enter(HERE, args.ebb, {"/kernel": args.kernel, "/plain": args.plain})
        for option in args.sandbox:
            say("doing", f"--sandbox={option}")
            say("sandbox", option, sandboxed(option, args.runs))
        return 0
    vmms = {"ebb": ebb} if args.ebb_only else VMMS
    say("doing", "copying what is read into memory")
    versions = {"qemu": make_root(args), "host": os.uname().release}
    os.chroot(HERE)
    os.chdir("/")
    if args.restore:
        say("versions", versions)
        for mib in args.restore:
            say("doing", f"a guest of {mib} MiB, restored")
            say("restored", mib, restored(mib, args.runs))
        return 0
    for initramfs in ("plain", "gzip"):
        for vmm, argv in vmms.items():
            say("doing", f"{vmm}, {initramfs} initramfs")
            measure(argv(initramfs))  # reads everything once
            for _ in range(args.runs):
                result, console = measure(argv(initramfs))
                say("run", vmm, initramfs, result)
    versions["guest"] = re.search(r"^(\d\S*)\r?$", console, re.M)[1]
    say("versions", versions)
    if args.breakdown:
        say("doing", "ebb, traced")
        say("host", "ebb", breakdown(ebb("plain")))
        say("doing", "the guest's kernel with initcall_debug")
        params = 'quiet reboot=t initcall_debug ebb.cmd="dmesg"'
        say("kernel", kernel_log(ebb("plain", params)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
