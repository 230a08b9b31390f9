# SPDX-License-Identifier: Apache-2.0
"""What leaves the guest: ports and MMIO (exits.c)."""

import pytest
from payload import BALLOON, REPORTING


def test_command_line(run):
    payload = run("exits", REPORTING, test="hello", params="one=1")
    payload.expect(
        "^command line: console=ttyS0 panic=-1 virtio_mmio.device=4096@0xd0000000:5 acpi=off one=1 test=hello$"
    )
    payload.passed("hello")


@pytest.mark.parametrize("test", ["ports", "ports-unclaimed", "mmio-unclaimed"])
def test_access(run, test):
    run("exits", test=test).passed(test)


def test_port_strings(run):
    payload = run("exits", test="port-strings")
    payload.expect("^a string of bytes$")
    payload.passed("port-strings")


def test_virtio_registers(run):
    run("exits", REPORTING, test="registers").passed("registers")


@pytest.mark.parametrize("option, reporting", [(BALLOON, 0), (REPORTING, 1)])
def test_offer(run, option, reporting):
    run("exits", option, test="offer", params=f"reporting={reporting}").passed("offer")


def test_no_device(run):
    """Without a balloon there is neither a device nor a word of it."""
    payload = run("exits", test="registers")
    payload.wait_for("^FAIL registers: no virtio_mmio.device on the command line")
    payload.ended()
