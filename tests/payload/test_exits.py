# SPDX-License-Identifier: Apache-2.0
"""What leaves the guest: ports and MMIO (exits.c)."""

import pytest
from payload import BALLOON, DEFAULT, REPORTING


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


@pytest.mark.parametrize("option, reporting", [(DEFAULT, 1), (BALLOON, 0), (REPORTING, 1)])
def test_offer(run, option, reporting):
    payload = run("exits", option, test="offer", params=f"reporting={reporting}")
    payload.passed("offer")
    assert not payload.stderr()


@pytest.mark.parametrize("option, reporting", [(DEFAULT, 0), (REPORTING, 1)])
def test_locked_memory_is_reported_only_if_asked_for(run, option, reporting):
    payload = run("exits", option, "--mem-lock", test="offer", memory="16M", params=f"reporting={reporting}")
    payload.wait()
    if "RLIMIT_MEMLOCK" in payload.stderr():
        pytest.skip("this user may not lock 16 MiB: raise 'ulimit -l'")
    payload.passed("offer")
    off = "ebb: warning: free page reporting is off: locked memory is not given back"
    assert payload.stderr() == ("" if reporting else off)


@pytest.mark.parametrize("options", [[], [REPORTING]], ids=["no device", "a device"])
def test_no_defaults(run, options):
    """Nothing is added to the parameters, not even where a device is that was asked for."""
    payload = run("exits", "--nodefaults", *options, test="hello")
    payload.expect("^command line: (?!.*(console=|panic=|virtio_mmio)).*test=hello$")
    payload.passed("hello")


def test_no_device(run):
    """Without a balloon there is neither a device nor a word of it."""
    payload = run("exits", test="registers")
    payload.wait_for("^FAIL registers: no virtio_mmio.device on the command line")
    payload.ended()
