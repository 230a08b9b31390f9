# SPDX-License-Identifier: Apache-2.0
# Architectures: riscv64
# Emulated host: --zkr
"""What KVM leaves to ebb of a riscv64 guest's firmware and processor: the debug console, and the entropy source (Zkr)."""

import glob
import re

import pytest
from conftest import LIMIT

pytestmark = [pytest.mark.linux, pytest.mark.cross, pytest.mark.arch("riscv64"), pytest.mark.emulated]


def test_debug_console(ebb):
    """The guest talks from its first page on, through memory that it names to its firmware."""
    started = ebb.start("true", params="earlycon=sbi")
    ebb.ended(started, 0)
    console = started.console()
    assert "SBI DBCN extension detected" in console
    assert re.search(r"^\[ +0\.000000\] Linux version", console, re.M), console
    assert re.search(r"earlycon: sbi0 at I/O port 0x0", console), console
    # By the UART's driver alone nothing would have been said before it came.
    early = console[: console.index("printk: legacy bootconsole [sbi0] disabled")]
    assert early.count("\n") > 50


def test_entropy_source(ebb):
    """The guest's kernel finds it and reads it, time and again, and ebb answers."""
    started = ebb.start("grep -m 1 ^isa /proc/cpuinfo; head -c 64 /dev/urandom | wc -c; echo ready; sleep 100000")
    started.wait_for("^isa.*zkr", LIMIT)
    started.wait_for("^64$", LIMIT)
    started.wait_for("^ready$", LIMIT)
    counts = glob.glob(f"/sys/kernel/debug/kvm/{started.pid}-*/csr_exit_user")
    assert len(counts) == 1
    with open(counts[0], encoding="ascii") as file:
        assert int(file.read()) > 0
