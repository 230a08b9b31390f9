# SPDX-License-Identifier: Apache-2.0
"""A guest under ebb, or under QEMU's microvm: how it is started, asked and stopped.

Only as a user's scripts would: by `ebb run`, the guest's control socket and `ebb stop`; QEMU by its own command line
and socket. What a guest's job says is read on its console.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import guest as lib  # noqa: E402
from qmp import Qmp, QmpError  # noqa: E402

BALLOON = "/machine/peripheral/balloon0"
STOCK = ("none", "qemu", "stock", "stock-keeper")  # the variants with Debian's kernel
# When the job has ended its guest lives on, as a server's does: `read` waits for a line that nobody types.
AFTER = "; echo ebb-job: exit=$?; read end"


def files_wanted(scenario):
    """What a scenario's guests are made of."""
    kernels = {lib.STOCK_VMLINUX if variant in STOCK else lib.VMLINUX for variant in scenario.variants}
    files = {lib.EBB, lib.INITRAMFS} | kernels
    return files | ({lib.IMAGE} if any(guest.disk == "debian" for guest in scenario.guests) else set())


def into_memory(folder, scenario):
    """Copies what guests are made of to where reading it needs no other machine; they are started from there."""
    for name in ("EBB", "VMLINUX", "STOCK_VMLINUX", "INITRAMFS", "IMAGE"):
        path = getattr(lib, name)
        if path in files_wanted(scenario):
            to = os.path.join(folder, f"{name.lower()}.file")
            # A sparse file stays one: the image's empty half takes no memory.
            subprocess.run(["cp", "--sparse=always", path, to], check=True)
            setattr(lib, name, to)


def proc_status(pid):
    """Bytes of a process's anonymous memory: (resident, swapped out); None when it is gone."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(("RssAnon:", "VmSwap:")):
                    name, value = line.split()[:2]
                    found[name] = int(value) * 1024
    except OSError:
        return None
    return (found["RssAnon:"], found["VmSwap:"]) if len(found) == 2 else None


class Machine:
    """A guest that runs. What ebb and QEMU have in common."""

    def __init__(self, spec, variant, folder):
        self.spec, self.variant, self.folder = spec, variant, folder
        self.vm = None
        self.scratch = os.path.join(folder, f"{spec.name}.scratch")
        self.qmp = Qmp(self.socket())
        self.polling = False
        self.seen = 0  # console lines looked at
        self.marks = {}  # "init", "end": seconds on the guest's own clock, that of its console lines
        self.said = not spec.says
        self.status = None  # the job's
        self.late = False
        self.over = None  # seconds since the scenario's start, when the job had come to an end
        self.phases = []

    def start(self):
        self.vm = lib.Guest(self.argv(), env=os.environ | {"EBB_RUNTIME_DIR": self.folder})
        try:
            # The host's OOM killer is to take guests, not those who watch.
            with open(f"/proc/{self.vm.pid}/oom_score_adj", "w", encoding="ascii") as file:
                file.write("0")
        except OSError:
            pass

    @property
    def in_ram(self):
        """Whether its root is the initial RAM disk."""
        return self.spec.disk != "debian"

    def params(self):
        root = "" if self.in_ram else "root=/dev/vda ro init=/sbin/ebb-init "
        return f'quiet {root}ebb.cmd="{self.spec.job}{AFTER}"'

    def disks(self):
        """[(file, read-only)]"""
        return [*([] if self.in_ram else [(lib.IMAGE, True)]), *([(self.scratch, False)] if self.spec.scratch else [])]

    def prepare(self):
        """Before the scenario starts: a file system takes seconds to make."""
        if self.spec.disk == "empty":
            with open(self.scratch, "wb") as file:
                file.truncate(self.spec.scratch)
        elif self.spec.scratch:
            subprocess.run([os.path.join(lib.TREE, "guest", "image"), "scratch", self.scratch,
                            f"{self.spec.scratch >> 20}M"], stdout=subprocess.DEVNULL, check=True)

    @property
    def alive(self):
        return self.vm is not None and self.vm.process.poll() is None

    def read_console(self):
        """Looks at the lines that are new."""
        lines = self.vm.lines
        while self.seen < len(lines):
            when, text = lines[self.seen]
            self.seen += 1
            if text == "ebb-guest: init":
                self.marks["init"] = when
            elif match := re.fullmatch(r"ebb-job: phase (\S+).*", text):
                self.phases.append((when, match[1]))
            elif match := re.fullmatch(r"ebb-job: exit=(\d+)", text):
                self.marks["end"], self.status = when, int(match[1])
            self.said = self.said or bool(re.search(self.spec.says, text))

    @property
    def job_time(self):
        return self.marks["end"] - self.marks["init"] if {"init", "end"} <= set(self.marks) else None

    def stats(self):
        """The guest's own figures: {"free", "total", "caches"}, in bytes; {} while it has told none."""
        if not self.polling:
            self.qmp.run("qom-set", path=BALLOON, property="guest-stats-polling-interval", value=1)
            self.polling = True
        stats = self.qmp.run("qom-get", path=BALLOON, property="guest-stats")["stats"]
        names = {"free": "stat-free-memory", "total": "stat-total-memory", "caches": "stat-disk-caches"}
        found = {name: stats.get(key, -1) for name, key in names.items()}
        # QEMU tells what a guest has not told yet as -1, or as that in 64 bits.
        return found if all(0 <= value < 1 << 63 for value in found.values()) else {}

    def sample(self):
        """What is known of it now; bytes. A figure that could not be had is missing."""
        row = {"size": self.spec.size}
        try:
            row |= self.memory()
            row |= self.stats()
        except QmpError:
            pass
        if "free" in row:
            # MemTotal leaves out what the kernel kept for itself when it started: that is in use, too.
            row["used"] = self.spec.size - row.get("balloon", 0) - row.pop("free")
        return row

    def kill(self):
        self.qmp.close()
        if self.vm:
            self.vm.kill()


class Ebb(Machine):
    """Under ebb."""

    def socket(self):
        return os.path.join(self.folder, f"{self.spec.name}.sock")

    def argv(self):
        state = "off" if self.variant == "none" else "on"
        options = ["--name", self.spec.name, "-c", str(self.spec.cpus), f"--free-page-reporting={state}"]
        if self.variant == "free":
            options += ["--discard", "free"]
        if self.variant == "stock-keeper":
            options += ["--deflate-on-oom"]
        for path, read_only in self.disks():
            options += ["-d", path + (",ro" if read_only else "")]
        argv = lib.ebb(None, *options, kernel=lib.STOCK_VMLINUX if self.variant in STOCK else lib.VMLINUX,
                       initrd=lib.INITRAMFS if self.in_ram else None, params=self.params(),
                       memory=f"{self.spec.size >> 20}M")
        return argv

    def memory(self):
        stat = self.qmp.run("x-ebb-stat")
        memory, own = stat["memory"], proc_status(self.vm.pid)
        # Under MADV_FREE: what the host takes when it wants it, without writing anything, is told apart.
        row = {"held": memory["rss"] - memory["lazy-free"], "lazy": memory["lazy-free"], "swapped": memory["swap"]}
        if own:
            row["vmm"] = max(own[0] - memory["rss"], 0)
        if stat.get("balloon"):
            row["balloon"] = stat["balloon"]["actual"]
        if stat.get("reporting"):
            row["reported"] = stat["reporting"]["bytes"]
        return row

    def stop(self, timeout):
        """Presses the power button, and pulls the plug when that was not enough."""
        subprocess.run([lib.EBB, "stop", "-n", self.spec.name, "--timeout", str(timeout)], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=os.environ | {"EBB_RUNTIME_DIR": self.folder}, check=False)


class Qemu(Machine):
    """Under QEMU's microvm, with its own balloon."""

    own = None  # bytes of RssAnon that are not the guest's RAM

    def socket(self):
        return os.path.join(self.folder, f"{self.spec.name}.qmp")

    def argv(self):
        # The guest's console is behind no interrupt with ACPI.
        argv = ["qemu-system-x86_64", "-M", "microvm,acpi=off", "-enable-kvm", "-cpu", "host", "-m",
                str(self.spec.size >> 20), "-smp", str(self.spec.cpus), "-nographic", "-nodefaults", "-no-user-config",
                "-no-reboot", "-serial", "stdio", "-qmp", f"unix:{self.socket()},server=on,wait=off", "-device",
                "virtio-balloon-device,id=balloon0,free-page-reporting=on", "-kernel", lib.STOCK_VMLINUX, "-append",
                f"console=ttyS0 panic=-1 {self.params()}"]
        if self.in_ram:
            argv += ["-initrd", lib.INITRAMFS]
        for number, (path, read_only) in enumerate(self.disks()):
            argv += ["-drive", f"id=disk{number},file={path},format=raw,if=none,discard=unmap"
                     + (",readonly=on" if read_only else ""), "-device", f"virtio-blk-device,drive=disk{number}"]
        return argv

    def ram(self):
        """Bytes of the guest's RAM that are resident: of the mapping that is as large as it."""
        try:
            smaps = open(f"/proc/{self.vm.pid}/smaps", encoding="utf-8")
        except PermissionError:  # only root may look into ebb
            return None
        with smaps:
            found = False
            for line in smaps:
                if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                    found = int(match[2], 16) - int(match[1], 16) == self.spec.size
                elif found and line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        return None

    def memory(self):
        status = proc_status(self.vm.pid)
        if status is None:
            return {}
        if self.own is None and "init" in self.marks:
            # Once, since walking all of QEMU's mappings takes long.
            ram = self.ram()
            self.own = max(proc_status(self.vm.pid)[0] - ram, 0) if ram is not None else 0
        own = self.own or 0
        return {"held": max(status[0] - own, 0), "swapped": status[1], "vmm": own}

    def stop(self, _timeout):
        """It has no power button here: the plug."""
        try:
            self.qmp.run("quit")
        except QmpError:
            pass


def machine(spec, variant, folder):
    return (Qemu if variant == "qemu" else Ebb)(spec, variant, folder)
