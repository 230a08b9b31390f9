# SPDX-License-Identifier: Apache-2.0
"""What the measuring halves of benchmarks with Linux guests share; they run on an emulated host.

Each line on standard output is one JSON list; ["doing", TEXT] tells what is under way. Lines are printed while no guest
is measured: writing makes the counted clock leap.
"""

import argparse
import codecs
import ctypes
import json
import os
import re
import select
import socket
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "bench"), os.path.join(TESTS, "lib")]
import guest  # noqa: E402
import host_root  # noqa: E402

MIB = 1 << 20
MS_MOVE = 8192  # of mount(2)
LIMIT = 900.0  # seconds on the host's clock for anything that a guest is waited for
SETTLE = 15.0  # seconds: a guest that has started reports what it freed within this
RUNTIME = "/run/ebb"
# Of the host's kernel, for its processes and guests. SecPageTables are KVM's.
KERNEL_FIELDS = ("PageTables", "SecPageTables", "KernelStack", "Slab", "Percpu")


def say(*what):
    print(json.dumps(what), flush=True)


def enter(root, ebb, files):
    """Goes into a root in memory, with all that will be read: `files` {name: path}. Returns the versions."""
    os.makedirs(root, exist_ok=True)
    subprocess.run(["mount", "--bind", root, root], check=True)
    qemu = host_root.make(root, ebb, files)
    codecs.lookup("ascii")  # as guest.Guest.rss() reads: found no more behind the next line
    # Moved over the old root, as switch_root does: in a mere chroot a program may make no user namespace, as passt does.
    os.chdir(root)
    if ctypes.CDLL(None, use_errno=True).mount(root.encode(), b"/", None, MS_MOVE, None):
        raise OSError(ctypes.get_errno(), f"cannot move {root} to /")
    os.chroot(".")
    os.chdir("/")
    return {"qemu": qemu, "host": os.uname().release}


def run(what, bench):
    """Runs `what()`. Returns the status to end with, having said what went wrong."""
    try:
        what()
    except (guest.GuestError, subprocess.SubprocessError, OSError) as error:
        print(f"{bench}: {error}", file=sys.stderr)
        return 1
    return 0


def meminfo():
    """Bytes. Of free memory a CPU's own lists hold tens of MiB, huge pages among them, which MemFree leaves out."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.M)}
    with open("/proc/zoneinfo", encoding="ascii") as file:
        found["MemFree"] += sum(int(pages) * 4096 for pages in re.findall(r"^ +count: +(\d+)$", file.read(), re.M))
    return found


def rollup(pid, name):
    """Bytes of a process, guest RAM among them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(rf"^{name}: +(\d+) kB$", file.read(), re.M)[1]) * 1024


def main_at_points(bench, root, choices, measure):
    """The main program of a half that starts ever more guests, and measures at some numbers of them. `choices`: what else it
    is told, {option: values}. `measure(args)` does it all."""
    parser = argparse.ArgumentParser()
    for name in ("ebb", "initramfs", "kernel"):
        parser.add_argument("--" + name, required=True)
    for name, values in choices.items():
        parser.add_argument("--" + name, choices=values, required=True)
    parser.add_argument("points", type=int, nargs="+")
    args = parser.parse_args()
    versions = enter(root, args.ebb, {"/kernel": args.kernel, "/initramfs": args.initramfs})
    os.makedirs(RUNTIME, mode=0o700)
    os.environ["EBB_RUNTIME_DIR"] = RUNTIME
    say("versions", versions)
    say("doing", f"up to {args.points[-1]} guests")
    return run(lambda: measure(args), bench)


class Bench:
    """What guests are started with."""

    def __init__(self, vmm, quick=False):
        self.vmm, self.quick = vmm, quick
        self.env = os.environ | {"EBB_RUNTIME_DIR": RUNTIME}

    def argv(self, state, mib, command, params, kernel="/kernel"):
        params = f'quiet {params} ebb.cmd="{command}"'
        if self.vmm == "ebb":
            return ["/ebb", "run", "-k", kernel, "-i", "/initramfs", "-m", f"{mib}M", "-c", "1", "-n", "none",
                    f"--free-page-reporting={state}", "-p", params]
        # As in tests/bench/boot_host.py. The guest's console is behind no interrupt with ACPI.
        return ["/qemu", "-M", "microvm,acpi=off", "-enable-kvm", "-cpu", "host", "-m", str(mib), "-smp", "1",
                "-nographic", "-nodefaults", "-no-user-config", "-no-reboot", "-L", "/firmware", "-serial", "stdio",
                "-device", f"virtio-balloon-device,free-page-reporting={state}", "-kernel", kernel,
                "-initrd", "/initramfs", "-append", "console=ttyS0 panic=-1 " + params]

    def guest(self, state, command, mib=1024, params="", options=(), kernel="/kernel"):
        say("doing", f"reporting {state}{', ' + params if params else ''}: {command}")
        time.sleep(0.5)  # by then that is outside; on the counted clock it costs nothing
        return guest.Guest([*self.argv(state, mib, command, params, kernel), *options], env=self.env)

    def run(self, state, command, mib=1024, params="", options=(), kernel="/kernel"):
        """A guest that does this to its end. Returns what it said."""
        with self.guest(state, command, mib, params, options, kernel) as vm:
            status = vm.wait_for(r"^ebb-guest: exit=(\d+)", LIMIT)[1][1]
            if status != "0":
                raise guest.GuestError(f"{command!r} ended with status {status}\n--- console\n{vm.console()}")
            return vm.console()


def wait_for(vm, pattern, start=0):
    """As guest.Guest.wait_for(), for what a command says before it ends: one that fails is not waited for."""
    at, match = vm.wait_for(f"(?:{pattern})|^ebb-guest: exit=", LIMIT, start)
    if match[0].startswith("ebb-guest: "):
        raise guest.GuestError(f"no line /{pattern}/: the command ended\n--- console\n{vm.console()}")
    return at, match


class Qmp:
    """A connection as a program would have it: greeting, capabilities, then commands."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.text = b""
        self.read()
        self.run("qmp_capabilities")

    def read(self):
        while b"\n" not in self.text:
            if not select.select([self.socket], [], [], LIMIT)[0] or not (data := self.socket.recv(65536)):
                raise guest.GuestError("no answer on the control socket")
            self.text += data
        line, _, self.text = self.text.partition(b"\n")
        return json.loads(line)

    def run(self, command, arguments=None, files=()):
        """Returns what it answers; `files` are descriptors that go with the command."""
        text = json.dumps({"execute": command} | ({"arguments": arguments} if arguments else {}))
        socket.send_fds(self.socket, [text.encode() + b"\n"], files)
        answer = self.read()
        while "event" in answer:
            answer = self.read()
        if "return" not in answer:
            raise guest.GuestError(f"{command}: {answer}")
        return answer["return"]

    def close(self):
        self.socket.close()
