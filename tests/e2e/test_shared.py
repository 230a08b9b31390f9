# SPDX-License-Identifier: Apache-2.0
# Architectures: arm64 riscv64
"""Folders, a file as memory, and a command in a guest, on the other architectures: test_folder.py, test_pmem.py and
test_sandbox.py have more, on x86_64 alone."""

import hashlib
import os
import signal
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until
from test_folder import SHELL, asked, digest, gone, nothing_left, option, servers
from test_kernels import GATE, made, with_modules
from test_pmem import cached, image, inside

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.cross, pytest.mark.arch("arm64", "riscv64")]

MIB = lib.MIB
READ = 16  # MiB
# Debian 12's kernel for arm64 has no CONFIG_ZONE_DEVICE.
HAS_DAX = lib.ARCH != "arm64"


def test_folder(ebb, folder, tmp_path):
    """Read and written; one that is read-only; a server that dies and comes back."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").write_text("unchanged\n")
    (folder / "data").write_bytes(os.urandom(MIB))
    started = ebb.start("mkdir -p /m /r; mount -t virtiofs fs0 /m; mount -t virtiofs docs /r; " + SHELL, *option(folder),
                        *option(other, "tag=docs", "ro"))
    started.wait_for("^ready$", 3 * LIMIT)
    assert digest(folder / "data") in asked(started, "sha256sum /m/data")[1]
    assert asked(started, "mkdir /m/d && head -c 300000 /dev/urandom >/m/d/new && sync")[0] == 0
    assert digest(folder / "d/new") in asked(started, "sha256sum /m/d/new")[1]
    status, text = asked(started, "( echo x >/r/data ) 2>&1")
    assert status != 0 and "Read-only file system" in text and (other / "data").read_text() == "unchanged\n"

    before = servers(folder)
    os.kill(max(before), signal.SIGKILL)
    wait_until(lambda: len(servers(folder)) == len(before) and not set(before) & set(servers(folder)), "virtiofsd runs again")
    assert "not connected" in asked(started, "( cat /m/data ) 2>&1")[1] and asked(started, "cat /r/data")[1] == "unchanged"
    assert asked(started, "umount /m; mount -t virtiofs fs0 /m")[0] == 0
    assert digest(folder / "data") in asked(started, "sha256sum /m/data")[1]
    started.send("exit\n")
    ebb.ended(started, 0)
    nothing_left()


def test_pmem(ebb, tmp_path):
    """Read by Debian's kernel, without a copy in the guest where that can be; the control is a disk. Flushed, and refused."""
    data = os.urandom(READ * MIB)
    base, work = image(tmp_path / "base.img", READ + 16, ("data", data)), image(tmp_path / "work.img", 32)
    before = digest(base)
    path = made("kernel", lib.ARCH, *GATE[lib.ARCH].split()[:2])
    load = ("coldplug; for m in nd_pmem crc32c_generic ext4; do modprobe $m; done; mkdir -p /m /w /v; "
            "until [ -e /dev/pmem0 ] && [ -e /dev/pmem1 ]; do sleep 1; done; ")
    started = ebb.start(load + SHELL, "--pmem", f"{base},ro", "--pmem", str(work), "-d", f"{base},ro", memory="512M",
                        kernel=f"{path}/kernel", initrd=with_modules(path, tmp_path),
                        params="quiet cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1")
    started.wait_for("^ready$", 3 * LIMIT)
    assert (asked(started, "mount -t ext4 -o ro,dax /dev/pmem0 /m && grep dax /proc/mounts")[0] == 0) == HAS_DAX
    if not HAS_DAX:
        assert asked(started, "mount -t ext4 -o ro /dev/pmem0 /m")[0] == 0
    assert asked(started, "mount -t ext4 -o ro /dev/vda /v")[0] == 0
    caches = [cached(started)]
    for place in ("/m", "/v"):
        assert hashlib.sha256(data).hexdigest() in asked(started, f"sha256sum {place}/data", 2 * LIMIT)[1]
        caches.append(cached(started))
    grown = [after - before > 0.9 * READ * MIB for before, after in zip(caches, caches[1:])]
    assert grown == [not HAS_DAX, True] and (not HAS_DAX or caches[1] - caches[0] < MIB), caches

    option = "-o dax" if HAS_DAX else ""
    assert asked(started, f"mount -t ext4 {option} /dev/pmem1 /w && dd if=/dev/urandom of=/w/new bs=64k count=4 conv=fsync")[0] == 0
    status, said = asked(started, "sha256sum /w/new | cut -c 1-64; umount /w /m")
    assert status == 0 and hashlib.sha256(inside(work, "new")).hexdigest() == said
    status, text = asked(started, "( dd if=/dev/zero of=/dev/pmem0 bs=64k count=1 conv=fsync ) 2>&1")
    assert status != 0 and ("I/O error" in text or "Input/output error" in text), text
    started.send("exit\n")
    ebb.ended(started, 0)
    assert digest(base) == before


def test_sandbox(ebb, folder):
    """Its output, its status, its layer; the control is --rw."""
    script = "cat; echo changed >data; cat data; echo err >&2; kill -SEGV $$"
    for options, left in (((), "of the host\n"), (("--rw", "."), "changed\n")):
        done = subprocess.run([lib.EBB, "sandbox", "-m", "256M", "-c", "1", *options, "--", "sh", "-c", script], env=ebb.env, cwd=folder,
                              input=b"in\n", capture_output=True, check=False, timeout=3 * LIMIT)
        assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGSEGV, b"in\nchanged\n", b"err\n"), done
        assert (folder / "data").read_text() == left
    gone("virtiofsd", "fs-keeper", "vsock-dialer")
    assert not ebb.left()
