# SPDX-License-Identifier: Apache-2.0
"""A host that hands cores to a program, as many distributions do (core(5)): no limit keeps that from having the guest's
memory. Processes that hold it crash, and the program gets nothing, or nothing of it; and in the controls it does."""

import os
import signal
import subprocess

import pytest
from conftest import LIMIT, wait_until
from test_folder import SHELL, asked, processes, servers
from test_layers import qemu_img

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

# What the guest alone has in its memory, since it puts the words together.
MARK = b"the words of a guest " * 8
REMEMBER = "w='of a guest'; for i in $(seq 4000); do printf '%s ' the words $w; done >/tmp/words"
CATCHER = """#!/bin/sh
cat >{folder}/$1.new
mv {folder}/$1.new {folder}/$1
"""
UNMARKED = """
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int madvise(void *at, size_t len, int advice)
{
	return advice == MADV_DONTDUMP ? 0 : (int)syscall(SYS_madvise, at, len, advice);
}
"""


@pytest.fixture
def cores(tmp_path, setting):
    """cores(pid): what the program got of a process that has crashed, or None."""
    folder, catcher = tmp_path / "cores", tmp_path / "catcher"
    folder.mkdir()
    catcher.write_text(CATCHER.format(folder=folder))
    catcher.chmod(0o755)
    setting("/proc/sys/kernel/core_pattern", f"|{catcher} %P")

    def core(pid):
        # Another process's, which comes after it.
        last = subprocess.Popen(["sh", "-c", "kill -SEGV $$"])
        last.wait(LIMIT)
        wait_until((folder / str(last.pid)).exists, "a later core has come")
        wait_until(lambda: not processes("catcher"), "all cores have come")
        return (folder / str(pid)).read_bytes() if (folder / str(pid)).exists() else None

    return core


def test_ebb(ebb, cores, tmp_path):
    (tmp_path / "unmarked.c").write_text(UNMARKED)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "unmarked.so", tmp_path / "unmarked.c"], check=True, timeout=LIMIT)

    def core_of(*options, end=signal.SIGSEGV, wrapper=()):
        started = ebb.start(REMEMBER + "; echo ready; sleep 100000", *options, memory="96M", wrapper=wrapper)
        started.wait_for("^ready$", LIMIT)
        started.process.send_signal(end)
        assert started.wait(LIMIT) == -end
        return cores(started.pid)

    assert core_of() is None and core_of(end=signal.SIGABRT) is None
    # Without the sandbox there is a core, and guest RAM is not in it; the control: it is found if it is.
    assert MARK not in core_of("--sandbox=off")
    assert MARK in core_of("--sandbox=off", wrapper=["env", f"LD_PRELOAD={tmp_path}/unmarked.so"])


def crash(pid):
    """Makes a process run into a fault where its threads wait: one that is the first of a PID namespace takes no signal."""
    places = []

    def waits(thread):
        try:
            with open(f"/proc/{pid}/task/{thread}/syscall", encoding="ascii") as call:
                words = call.read().split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            return True
        if words != ["running"]:
            places.append(int(words[-1], 16))
        return words != ["running"]

    for thread in os.listdir(f"/proc/{pid}/task"):
        wait_until(lambda thread=thread: waits(thread), "the thread waits")
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for place in places:
            memory.seek(place)
            memory.write(b"\x0f\x0b")  # ud2


def test_backends(ebb, cores, tmp_path):
    """Of two servers of each kind one may leave a core, as the control."""
    folders, disks = ([tmp_path / f"{kind}{i}" for i in range(2)] for kind in ("folder", "disk"))
    for folder, disk in zip(folders, disks):
        folder.mkdir()
        qemu_img("create", "-q", "-f", "qcow2", disk, "16M")
    options = [word for folder, disk in zip(folders, disks) for word in ("--fs", str(folder), "-d", str(disk))]
    started = ebb.start(f"{REMEMBER}; mkdir /0 /1; for i in 0 1; do mount -t virtiofs fs$i /$i; done; {SHELL}", *options, memory="96M")
    started.wait_for("^ready$", LIMIT)

    def server_of(path):
        """What serves it, by qemu-storage-daemon or virtiofsd."""
        return max(servers(path) or [pid for pid, line in processes("qemu-storage-da") if f"filename={path}" in line])

    def core_of(path, use):
        pid = server_of(path)
        crash(pid)
        assert asked(started, f"( {use} ) 2>/dev/null")[0] != 0
        wait_until(lambda: not os.path.exists(f"/proc/{pid}/root/"), "the server has ended")
        return cores(pid)

    for use, paths in (("ls /{}", folders), ("dd if=/dev/vd{} of=/dev/null count=1", disks)):
        names = "01" if paths is folders else "ab"
        assert core_of(paths[0], use.format(names[0])) is None
        spared = server_of(paths[1])
        subprocess.run(["prlimit", f"--pid={spared}", "--core=unlimited"], check=True, timeout=LIMIT)
        with open(f"/proc/{spared}/coredump_filter", "w", encoding="ascii") as parts:
            parts.write("0x33")  # the kernel's own
        assert MARK in core_of(paths[1], use.format(names[1]))
    started.kill()
    ebb.guests.remove(started)  # its kernel complains of the disks, as it should
