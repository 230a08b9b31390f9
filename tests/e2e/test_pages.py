# SPDX-License-Identifier: Apache-2.0
# Architectures: arm64
"""Guests whose pages are larger than the host's: blocks are reported in theirs, the balloon counts in 4 KiB.

Each kernel takes minutes to build, so `make check` has none of them: `make cross-check CROSS=arm64` does.
"""

import os
import re

import pytest
from conftest import LIMIT, lib
from test_balloon import balloon, send_to
from test_memory import memcheck
from test_reporting import TAKE, Reported, counters

pytestmark = [pytest.mark.linux, pytest.mark.cross, pytest.mark.arch("arm64")]

MIB = lib.MIB
HOST_PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(params=["64k", "16k"])
def kernel(request, monkeypatch):
    """The path of a kernel with such pages, which is the one that guests are started with."""
    path = os.path.join(lib.GUEST, request.param, lib.FORM)
    if not os.path.exists(path):
        pytest.skip(f"no kernel {path}: 'CROSS={lib.ARCH} guest/build {request.param}' makes it")
    monkeypatch.setattr(lib.ebb, "__kwdefaults__", lib.ebb.__kwdefaults__ | {"kernel": path})
    return int(request.param[:-1]) << 10


def test_it_is_such_a_kernel(ebb, kernel):
    """Its pages, as it says itself: of all its counters this one is in pages and in kilobytes."""
    lines = ebb.job("grep -E '^nr_free_pages ' /proc/vmstat; grep -E '^MemFree:' /proc/meminfo")
    pages, kib = (int(re.search(r" (\d+)", line)[1]) for line in lines)
    assert 0.5 < kib * 1024 / pages / kernel < 2


def test_memory_comes_back(ebb, kernel):
    result = Reported(ebb, "--no-thp")
    assert result.taken - result.kept >= TAKE * 0.8
    found = counters(result.guest)
    assert found.failures == 0 < found.reports
    # Whole pages of the guest, and blocks of 2 MiB or more.
    assert found.mib >= 2 * found.blocks


def test_reported_memory_reads_as_zero(ebb, kernel):
    job = "memcheck 192M --seconds 10"
    checked, found = memcheck(ebb, job, "-c", 2, memory="512M", params="quiet page_reporting.check_zero=1")
    assert checked >= 192 and found.failures == 0 < found.reports


def test_balloon(ebb, kernel):
    """Its driver gives each of its pages as many times 4 KiB, all of which go to the host."""
    started = ebb.start(
        "hold 192M --hold 0; echo ready; sleep 100000", "--free-page-reporting=off", "--name", "b", memory="512M",
    )
    started.wait_for("^ready$", LIMIT)
    used = started.stable_rss(LIMIT)
    assert used >= 192 * MIB
    send_to(ebb, "b", 320)
    assert started.stable_rss(LIMIT) < used - 160 * MIB
    send_to(ebb, "b", 0)
    found = balloon(ebb, "b")
    assert found["inflated"] == found["deflated"] == 320 * MIB and found["failures"] == 0
    assert found["discarded"] == 320 * MIB or HOST_PAGE > kernel
