# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot to a folder with Linux, while the guest runs: it stands still for the last part alone, and what goes on from there has
all that it had. tests/payload/test_snapshot_running.py has what goes wrong.
"""

import os
import re

import pytest
from test_monitor import run
from test_snapshot import JOB, MEMORY, MIB, answer, counts, restore

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]


def save(ebb, folder):
    """The seconds that it stood still."""
    said = run(ebb, "snapshot", "-n", "saved", str(folder))
    print(said, end="")
    return float(re.search(r"it stood still for ([\d.]+) s", said)[1])


def test_an_idle_guest(ebb, tmp_path):
    """A part of the time that a guest stands still which is paused: the control."""
    options = ("-c", "2", "--rng")
    guest = ebb.start(JOB, *options, "--name", "saved", memory=MEMORY)
    counts(guest, 2)
    stood = save(ebb, tmp_path / "there")
    counts(guest, 2, len(guest.lines))
    run(ebb, "pause", "-n", "saved")
    whole = save(ebb, tmp_path / "whole")
    print(f"snapshot: it stood still for {stood:.3f} s, and for {whole:.3f} s while all was written")
    assert stood < whole / 3, (stood, whole)
    sizes = [os.stat(tmp_path / folder / "snapshot").st_blocks * 512 for folder in ("there", "whole")]
    assert sizes[0] < 1.1 * sizes[1] + MIB, sizes
    counts(restore(ebb, tmp_path / "there", *options), 3)


def test_a_guest_that_checks_its_memory(ebb, tmp_path):
    """It writes to all that it checks again and again, and gives memory back: each page is as it was last."""
    options = ("--rng",)
    guest = ebb.start(f"memcheck 32M --rounds 100000 & (while hold 16M --hold 0; do :; done) >/dev/null & {JOB}", *options, "--name", "saved",
                      memory=MEMORY)
    counts(guest, 2)
    for way in "--restore", "--restore-all":
        save(ebb, tmp_path / "there")
        one = restore(ebb, tmp_path / "there", *options, way=way)
        counts(one, 3)
        answer(one, "kill %2; kill %1; memcheck 32M --rounds 2", "^memcheck: (ok|BAD)")
        assert "BAD" not in one.console()
        one.kill()
    counts(guest, 2, len(guest.lines))
    assert "BAD" not in guest.console()
