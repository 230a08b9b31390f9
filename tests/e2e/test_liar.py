# SPDX-License-Identifier: Apache-2.0
"""A device that lies about what it zeroed: the guest believes what the feature promises, and nothing beyond.

The liar keeps what was reported (--mem-lock holds discards back), so a page that the guest takes for zero is not. With
check_zero the guest's kernel looks.
"""

import os
import re

import pytest
from conftest import LIMIT, lib

pytestmark = [pytest.mark.linux, pytest.mark.root]

LIAR = os.path.join(lib.BUILD, "tests", "liar")

PARAMETERS = "/sys/module/page_reporting/parameters"

# Dirty memory is freed and reported; then as much is taken again: more than half of what there is, both times.
JOB = (
    "hold 144M --thp >/dev/null; echo now >{p}/report_now; memcheck 144M --rounds 1; "
    "grep page_report_ /proc/vmstat"
).format(p=PARAMETERS)


def run(ebb, monkeypatch, lie, *options, params="", job=JOB):
    monkeypatch.setattr(lib, "EBB", LIAR)
    ebb.env = ebb.env | {"EBB_LIE": lie}
    started = ebb.start(job, "--free-page-reporting", *options, memory="256M", params="loglevel=5 " + params)
    ebb.ended(started, 0, LIMIT)
    started.counts = {key: int(value) for key, value in re.findall(r"(page_report_\w+) (\d+)", started.console())}
    return started


def test_a_lie_is_found(ebb, monkeypatch):
    """The control: all is promised, nothing is zeroed, and both checkers say so."""
    started = run(ebb, monkeypatch, "all", "--mem-lock", params="page_reporting.check_zero=1")
    ebb.guests.remove(started)  # its kernel complains, as it should
    assert re.search(r"pfn 0x[0-9a-f]+ of order \d+ was promised as zero", started.console())

    started = run(ebb, monkeypatch, "all", "--mem-lock")
    assert "memcheck: BAD" in started.console()
    assert started.counts["page_report_zeroed"] > 0


@pytest.mark.parametrize("lie", ["more", "most", "none"])
def test_no_more_is_believed(ebb, monkeypatch, lie):
    """More than was reported: nothing. All but a byte: all but the last block, which here was not discarded either."""
    options = ["--mem-lock"] if lie != "most" else []
    started = run(ebb, monkeypatch, lie, *options, params="page_reporting.check_zero=1")
    assert "memcheck: ok" in started.console()
    assert started.counts["page_report_block"] > 16
    if lie == "most":
        assert started.counts["page_report_zeroed"] > 0
    else:
        assert started.counts["page_report_zeroed"] == 0


def test_the_truth_is_believed(ebb, monkeypatch):
    started = run(ebb, monkeypatch, "", params="page_reporting.check_zero=1")
    assert "memcheck: ok" in started.console()
    assert started.counts["page_report_zeroed"] > 4096


def test_no_answer(ebb, monkeypatch):
    """A report that is never answered keeps its pages, and nothing else stands still."""
    job = "hold 64M --thp >/dev/null; sleep 1; memcheck 64M --rounds 1; grep page_report_ /proc/vmstat"
    started = run(ebb, monkeypatch, "mute", job=job)
    assert "memcheck: ok" in started.console()
    assert started.counts["page_report_block"] == 0
