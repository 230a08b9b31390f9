# SPDX-License-Identifier: Apache-2.0
"""ebb with a kernel that is not ours, and our kernel under a VMM that is not ebb: memory comes back there, too."""

import os
import shutil

import pytest
from conftest import LIMIT, lib

pytestmark = pytest.mark.linux

MIB = lib.MIB
TAKE = 256
STOCK = os.path.join(lib.BUILD, "guest", "stock", "vmlinux")
JOB = f"hold {TAKE}M --wait; grep -c ^page_report_pass /proc/vmstat; read end"


def qemu(job, reporting):
    """QEMU's microvm with its own balloon. Its guest's console has no interrupt with ACPI."""
    return ["qemu-system-x86_64", "-M", "microvm,acpi=off", "-enable-kvm", "-cpu", "host", "-m", "512", "-smp", "1",
            "-nographic", "-nodefaults", "-no-user-config", "-no-reboot", "-serial", "stdio",
            "-device", f"virtio-balloon-device,free-page-reporting={reporting}", "-kernel", lib.VMLINUX,
            "-initrd", lib.INITRAMFS, "-append", f'console=ttyS0 panic=-1 quiet ebb.cmd="{job}"']


def comes_back(started, ours):
    started.wait_for("^hold: taken", LIMIT)
    taken = started.rss()
    assert taken >= TAKE * MIB
    started.send("\n")
    # Not all of it: mainline never reports what lies on lists of its CPUs.
    started.wait_for_rss(lambda rss: rss < taken - 0.75 * TAKE * MIB, LIMIT)
    at, _ = started.wait_for("^hold: done", LIMIT)
    _, match = started.wait_for(r"^(\d+)$", LIMIT, at)
    assert match[1] == ("1" if ours else "0"), "this is the other kernel"


def test_stock_kernel_under_ebb(ebb):
    comes_back(ebb.start(JOB, "--free-page-reporting", memory="512M", kernel=STOCK), ours=False)


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64")
def test_our_kernel_under_qemu(ebb):
    started = lib.Guest(qemu(JOB, "on"), env=ebb.env)
    ebb.guests.append(started)
    comes_back(started, ours=True)


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64")
def test_our_kernel_under_qemu_without_reporting(ebb):
    """The control."""
    started = lib.Guest(qemu(JOB, "off"), env=ebb.env)
    ebb.guests.append(started)
    with pytest.raises(lib.GuestError, match="stays there"):
        started.wait_for("^hold: taken", LIMIT)
        taken = started.rss()
        started.send("\n")
        started.wait_for("^hold: done", LIMIT)
        started.wait_for_rss(lambda rss: rss < taken - 0.75 * TAKE * MIB, 15)
