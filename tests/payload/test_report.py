# SPDX-License-Identifier: Apache-2.0
"""What is reported free leaves the host's memory, and nothing else does (report.c)."""

from payload import BALLOON, REPORTING, TIMEOUT, lib

MIB = lib.MIB
DIRTY = (48 * 2 + 8) * MIB
REPORTED = (32 * 2 + 4) * MIB
# What the host does not account to a page: its counters are per CPU and lag behind.
SLACK = 2 * MIB


def test_report(run):
    payload = run("report", REPORTING, memory="256M")
    payload.paused("clean")
    clean = payload.rss()
    payload.proceed()

    payload.paused("dirty")
    dirty, _ = payload.wait_for_rss(lambda rss: rss - clean > DIRTY - SLACK, TIMEOUT)
    # A huge page more at each end, at most.
    assert dirty - clean < DIRTY + 4 * MIB + SLACK
    payload.proceed()

    assert int(payload.expect(r"^reported (\d+)$").group(1)) == REPORTED
    payload.paused("reported")
    left, _ = payload.wait_for_rss(lambda rss: dirty - rss > REPORTED - SLACK, TIMEOUT)
    assert dirty - left < REPORTED + SLACK, "more is gone than was reported"
    payload.proceed()

    payload.paused("again")
    payload.wait_for_rss(lambda rss: rss - clean > DIRTY - SLACK, TIMEOUT)
    payload.proceed()
    payload.passed("report")


def test_control_without_reporting(run):
    """The same guest, not offered reporting, keeps its memory: the test above can fail."""
    payload = run("report", BALLOON, memory="256M")
    payload.paused("clean")
    clean = payload.rss()
    payload.proceed()

    payload.paused("dirty")
    dirty, _ = payload.wait_for_rss(lambda rss: rss - clean > DIRTY - SLACK, TIMEOUT)
    payload.proceed()

    assert int(payload.expect(r"^reported (\d+)$").group(1)) == 0
    payload.paused("reported")
    assert payload.stable_rss() > dirty - SLACK
    payload.proceed()

    payload.paused("again")
    assert payload.rss() > dirty - SLACK
    payload.proceed()
    payload.passed("report")


def test_counters(run):
    """What ebb says of itself at the end."""
    payload = run("report", REPORTING, "--debug", memory="256M")
    for what in ("clean", "dirty", "reported", "again"):
        payload.paused(what)
        payload.proceed()
    payload.passed("report")
    # 1 chain of large blocks, 32 of pages; neighbours were merged: 16 + 32 * 16 ranges.
    assert (
        f"free page reporting: 33 reports, 1056 blocks, {REPORTED // MIB} MiB given back in "
        "528 ranges, 0 failures" in payload.stderr()
    ), payload.stderr()
