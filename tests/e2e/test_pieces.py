# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count --memory 2048
"""Free memory in pieces goes back, too. By a counted clock: a long rest is over at once, where nothing runs."""

import json
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until

pytestmark = [pytest.mark.linux, pytest.mark.root]

MIB = lib.MIB
KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged/"


def khugepaged_looks(setting, times):
    """The host's khugepaged has gone through all processes so often."""
    setting(KHUGEPAGED + "scan_sleep_millisecs", 100)

    def scans():
        with open(KHUGEPAGED + "full_scans", encoding="ascii") as file:
            return int(file.read())

    end = scans() + times
    wait_until(lambda: scans() >= end, "khugepaged looks at all memory")


def reports(box, name):
    done = subprocess.run([lib.EBB, "stat", "-n", name, "--json", "--no-refresh"], env=box.env, capture_output=True, check=True)
    return json.loads(done.stdout)["reporting"]["reports"]


def test_an_idle_guest_keeps_no_pieces(ebb, setting):
    """What is free at the start and cannot be made whole goes after a long rest, down to 64 KiB; the host's khugepaged
    does not bring it back, and the guest reports nothing more. The control, with piece_order beyond any order, keeps it.
    """
    params = "quiet page_reporting.piece_order="
    job = "echo ready; sleep 100000"
    ours, control = (
        ebb.start(job, "--free-page-reporting", f"--name=order{order}", memory="64M", params=params + order) for order in ("4", "20")
    )
    for each in (ours, control):
        each.wait_for("^ready$", LIMIT)
    kept = control.stable_rss(timeout=LIMIT)
    ours.wait_for_rss(lambda rss: rss < kept - 6 * MIB, LIMIT)
    ours.stable_rss(timeout=LIMIT)
    reported = reports(ebb, "order4")
    khugepaged_looks(setting, 30)  # at some 0.8 s: longer than the rest after which a guest looks for pieces
    assert ours.rss() < control.rss() - 6 * MIB
    assert reports(ebb, "order4") == reported
