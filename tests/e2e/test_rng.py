# SPDX-License-Identifier: Apache-2.0
"""The host's random bytes in the guest, and what a guest costs that cannot have enough of them."""

import os

import pytest

pytestmark = pytest.mark.linux

CURRENT = "cat /sys/class/misc/hw_random/rng_current"


@pytest.mark.cross
def test_the_guest_has_it(ebb):
    lines = ebb.job(f"{CURRENT}; head -c 4096 /dev/hwrng | wc -c; head -c 4096 /dev/hwrng | gzip | wc -c", "--rng")
    assert lines[0].startswith("virtio_rng")
    assert lines[1] == "4096"
    assert int(lines[2]) >= 4096, "it can be packed, so it is not random"


def test_no_guest_has_it_unasked(ebb):
    """The control."""
    assert ebb.job(CURRENT) == ["none"]


def cpu_seconds(pid):
    """By the thread's name."""
    seconds = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as stat:
            name, _, rest = stat.read().partition("(")[2].rpartition(")")
        fields = rest.split()
        seconds[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def test_a_guest_that_asks_for_ever_costs_only_itself(ebb):
    """It gets a mebibyte a second, and the worker that gives it takes a small part of what asking takes."""
    # Linux asks for 64 bytes at a time: an eighth of a second's worth is two thousand requests, and more than it may save up.
    guest = ebb.start("while :; do dd if=/dev/hwrng of=/dev/null bs=64k count=2 2>/dev/null; echo got; done", "--rng")
    at, _ = guest.wait_for("^got$", 180)
    before = cpu_seconds(guest.pid)
    for _ in range(4):
        at, _ = guest.wait_for("^got$", 180, at + 1)
    after = cpu_seconds(guest.pid)
    first, last = (guest.lines[i][0] for i in (guest.wait_for("^got$", 1)[0], at))
    assert last - first >= 0.9 * 4 / 8, "four times an eighth of a mebibyte came in less than half a second"
    assert after["rng"] - before["rng"] < 0.5 * (last - first), (before, after)
    guest.kill()
