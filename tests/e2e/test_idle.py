# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count --memory 2048
"""An idle guest that reports free pages makes no more work than one that does not: reporting does not tick.

Work is exits from the guest, as KVM counts them, and how often the VMM's threads were given a CPU. Whoever tells that two
guests do the same must be able to tell that one does more: the last guest here does tick.
"""

import glob
import os
import time

import pytest
from conftest import LIMIT, lib

pytestmark = [pytest.mark.linux, pytest.mark.root]

# Of the guest without reporting, which has some 30 a second. What they are for comes in bursts: of guests that do the same
# one had up to 1.4 times another's 200, at most 1.1 times its 1000. One that ticks is told from them sooner.
EXITS = 1000
EXITS_TICKING = 200
SLACK = 1.3
PIECES = 5 * lib.MIB  # at least so much of an idle guest's memory is free in pieces
TICKS = "echo ready; read go; while usleep 20000; do :; done"


def exits(started):
    total = 0
    for path in glob.glob(f"/sys/kernel/debug/kvm/{started.pid}-*/exits"):
        with open(path, encoding="ascii") as file:
            total += int(file.read())
    assert total, "KVM's debugfs tells nothing of this guest"
    return total


def own_wakeups(started):
    """How often threads of the VMM that are no virtual CPU were given a CPU."""
    times = 0
    for task in os.listdir(f"/proc/{started.pid}/task"):
        with open(f"/proc/{started.pid}/task/{task}/comm", encoding="ascii") as file:
            if file.read().startswith("vcpu"):
                continue
        with open(f"/proc/{started.pid}/task/{task}/schedstat", encoding="ascii") as file:
            times += int(file.read().split()[2])
    return times


def in_the_time_of(control, others, wanted):
    """The exits of others while `control` has so many of its own; in parts of what it has had."""
    before = [exits(one) for one in (control, *others)]
    end = time.monotonic() + LIMIT
    while (mine := exits(control) - before[0]) < wanted:
        assert time.monotonic() < end, f"{mine} exits of an idle guest in {LIMIT} s"
        time.sleep(0.2)
    return [(exits(one) - was) / mine for one, was in zip(others, before[1:])]


def test_reporting_does_not_tick(ebb):
    off = ebb.start(TICKS, "--free-page-reporting=off", memory="64M")
    ours = ebb.start(TICKS, "--free-page-reporting", memory="64M")
    stock = ebb.start(TICKS, "--free-page-reporting", memory="64M", kernel=lib.STOCK_VMLINUX)
    for started in (off, ours, stock):
        started.wait_for("^ready$", LIMIT)
    for started in (ours, stock):
        # What was free at the start is reported two seconds later.
        started.stable_rss(timeout=LIMIT, still=4.0)
    # What our kernel can make no block of follows half a minute later, and then there is nothing more.
    ours.wait_for_rss(lambda rss: rss < stock.rss() - PIECES, LIMIT)
    ours.stable_rss(timeout=LIMIT, still=4.0)
    before = [own_wakeups(started) for started in (ours, stock)]
    ratios = in_the_time_of(off, [ours, stock], EXITS)
    woken = [own_wakeups(started) - was for started, was in zip((ours, stock), before)]
    assert max(ratios) < SLACK, f"exits with reporting on over those with it off: our kernel, stock: {ratios}"
    assert woken == [0, 0], f"ebb's own threads were woken for idle guests: {woken}"

    ours.send("\n")  # and now it ticks
    assert in_the_time_of(off, [ours], EXITS_TICKING)[0] > 2 * SLACK, "a guest that ticks cannot be told from one that does not"
