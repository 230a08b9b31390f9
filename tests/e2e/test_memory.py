# SPDX-License-Identifier: Apache-2.0
"""What a guest has in its memory stays there, and what it reported comes back as zeros.

memcheck in the guest compares every word: fresh memory with zero, what it wrote with what it wrote. A discard
that hits too much breaks its pattern. Around it, other memory is taken, freed and reported all the time.
"""

import re

import pytest
from conftest import LIMIT, lib
from test_reporting import counters

pytestmark = pytest.mark.linux

# On other architectures than this machine's a look at it: their hosts are slow, and what is told apart here is the same.
SECONDS = 15 if lib.CROSS else 45

# Another taker beside it; the guest is small, so that the same pages are reported often. So small a guest gives no huge
# pages by itself.
CHURN = "echo always >/sys/kernel/mm/transparent_hugepage/enabled; (while hold 96M --hold 0 --rest 0.5; do :; done) >/dev/null & "


def memcheck(box, job, *options, **machine):
    started = box.start(CHURN + job, "--free-page-reporting", "--debug", *options, **machine)
    box.ended(started, 0, LIMIT + 4 * SECONDS)
    console = started.console()
    assert "BAD" not in console
    assert "ebb-guest: exit=0" in console, console
    checked = re.search(r"memcheck: ok (\d+) MiB checked", console)
    assert checked, console
    return int(checked[1]), counters(started)


@pytest.mark.cross
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_reported_memory_reads_as_zero(ebb, cpus):
    rounds = SECONDS // 11 + 1
    _, found = memcheck(ebb, f"memcheck 192M --seconds {SECONDS} --rounds {rounds}", "-c", cpus, memory="448M")
    assert found.failures == 0
    # What was reported and what was checked are more than all of its memory: some of it was both.
    assert found.mib + 192 > 448, "hardly anything was reported while it was checked"


def test_at_the_edge_of_memory(ebb):
    """With nearly all of it in use, blocks at both ends of both regions are reported and taken."""
    job = "memcheck 300M --rounds 3 --chunk 16M --chunk 64K"
    checked, found = memcheck(ebb, job, memory="3500M")
    assert checked > 300
    assert found.failures == 0


@pytest.mark.parametrize("param", ["page_alloc.shuffle=1", "init_on_alloc=1", "init_on_free=1"])
def test_with_kernel_options(ebb, param):
    """What a hardened kernel does with its pages changes nothing."""
    checked, found = memcheck(ebb, "memcheck 128M --seconds 5", memory="384M", params="quiet " + param)
    assert checked >= 128
    assert found.reports > 0 and found.failures == 0
