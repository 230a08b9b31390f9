# SPDX-License-Identifier: Apache-2.0
"""Reports that are wrong: answered truthfully, or refused until the device is reset (misreport.c)."""

import pytest
from payload import REPORTING

# Those with less RAM end below the hole, those with more have some above.
NOT_ALL_RAM = ["outside", "beyond", "wrap", "unaligned", "empty", "twice"]
NEEDS_RESET = [
    "read-only", "read-only-last", "loop", "loop-one", "head", "next", "index", "too-long",
    "indirect", "not-negotiated", "queue-outside",
]
HARMS_ONLY_ITSELF = ["inflate", "own-rings", "features"]


@pytest.mark.parametrize("test", NOT_ALL_RAM)
@pytest.mark.parametrize("memory", ["64M", "5G"])
def test_not_all_ram(run, test, memory):
    run("misreport", REPORTING, test=test, memory=memory).passed(test)


def test_over_the_edge(run):
    run("misreport", REPORTING, test="edge", memory="5G").passed("edge")


@pytest.mark.parametrize("test", NEEDS_RESET)
def test_needs_reset(run, test):
    payload = run("misreport", REPORTING, test=test)
    payload.passed(test)
    assert "the device stops until it is reset" in payload.stderr()


@pytest.mark.parametrize("test", HARMS_ONLY_ITSELF)
def test_harms_only_itself(run, test):
    run("misreport", REPORTING, test=test).passed(test)


def test_says_little(run):
    """All of them in one guest: what a guest does wrong is said, but does not fill the log."""
    payload = run("misreport", REPORTING, memory="5G")
    payload.passed(
        "outside", "beyond", "edge", "wrap", "unaligned", "empty", "twice", *NEEDS_RESET,
        *HARMS_ONLY_ITSELF,
    )
    assert 0 < len(payload.errors) < 40, payload.stderr()
