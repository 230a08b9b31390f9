# SPDX-License-Identifier: Apache-2.0
"""A root in the emulated host's memory with all that a VMM reads, for benchmarks that count instructions.

Nothing that is measured may open a file of the outer machine's tree: see tests/host/README.md. Programs get a name of
their own at the top, their libraries stay where the loader looks for them; QEMU is "/qemu", its firmware "/firmware".
"""

import os
import re
import shutil
import subprocess
import sys


def libraries(program):
    """The files that the dynamic loader will map for this program, and the loader."""
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    return re.findall(r"(?:=> |^\s*)(/\S+)", out, re.M)


def inside(root, path):
    return os.path.join(root, path.lstrip("/"))


def copy(root, path, name=None):
    where = inside(root, name or path)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    shutil.copy(path, where)


def make(root, ebb, files):
    """
    Copies ebb to "/ebb", QEMU and `files` {name: path}; makes /dev, /proc and /sys. Returns QEMU's version: None where
    there is none, as on emulated hosts of another architecture than the machine's outside.
    """
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu and os.uname().machine == "x86_64":
        sys.exit("bench: needs qemu-system-x86_64: install Debian's package qemu-system-x86")
    for name, program in (("/ebb", ebb), ("/qemu", qemu)) if qemu else (("/ebb", ebb),):
        copy(root, program, name)
        for path in libraries(program):
            copy(root, path)
    if os.path.exists("/etc/ld.so.cache"):
        copy(root, "/etc/ld.so.cache")
    for name in ("bios-microvm.bin", "qboot.rom", "linuxboot_dma.bin", "pvh.bin", "kvmvapic.bin"):
        for place in ("/usr/share/qemu", "/usr/share/seabios"):
            if os.path.exists(os.path.join(place, name)):
                copy(root, os.path.join(place, name), os.path.join("/firmware", name))
    for name, path in files.items():
        copy(root, path, name)
    for place in ("/dev", "/proc", "/sys", "/run", "/tmp"):
        os.makedirs(inside(root, place), exist_ok=True)
    for what in (["--bind", "/dev", inside(root, "/dev")], ["--bind", "/proc", inside(root, "/proc")],
                 ["--rbind", "/sys", inside(root, "/sys")]):
        subprocess.run(["mount", *what], check=True)
    if not qemu:
        return None
    out = subprocess.run([qemu, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return out.splitlines()[0].removeprefix("QEMU emulator version ")
