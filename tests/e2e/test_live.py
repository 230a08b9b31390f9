# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot --live with Linux: a guest that checks its memory moves while it runs, stands still shorter than otherwise, and gives
memory back where it is then. tests/payload/test_live.py has what goes wrong.
"""

import re
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until
from test_backings import lowest
from test_monitor import run, stat
from test_snapshot import JOB, MEMORY, MIB, RETURNING, TAKE, answer, counts, counts_said

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]


def move(box, name, *options, live="--live"):
    """Moves the guest "saved", or with live=None as it stands still. Returns the seconds that it did."""
    argv = [lib.EBB, "snapshot", *([live] if live else []), "-n", "saved", "-"]
    with subprocess.Popen(argv, env=box.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        done = subprocess.run([lib.EBB, "run", "--restore", "-", *options, "-m", MEMORY, "-n", "none", "--name", name, "--detach"], env=box.env,
                              stdin=sender.stdout, capture_output=True, text=True, timeout=LIMIT, check=False)
        sender.stdout.close()
        said = sender.communicate(timeout=LIMIT)[1]
        assert done.returncode == 0, (done, said)
    print(said)
    return float(re.search(r"it stood still for ([\d.]+) s", said)[1])


def test_an_idle_guest(ebb):
    """It stands still for a part of the time that it takes to send all; and then until it is let go on."""
    options = ("-c", "2", "--rng")
    guest = ebb.start(JOB, *options, "--name", "saved", memory=MEMORY)
    counts(guest, 2)
    whole = move(ebb, "copied", *options, live=None)
    run(ebb, "stop", "-n", "copied", "--force")
    counts(guest, 1, len(guest.lines))
    stood = move(ebb, "moved", *options)
    print(f"live: it stood still for {stood:.3f} s, and for {whole:.3f} s without")
    assert stood < whole / 3, (stood, whole)
    assert stat(ebb, "saved")["status"] == "paused"
    with lib.Guest([lib.EBB, "console", "moved"], env=ebb.env) as moved:
        first = counts(moved, 2)
        assert counts_said(guest) <= first[0] <= counts_said(guest) + 2 and first[1] == first[0] + 1
        assert "BAD" not in moved.console()
    run(ebb, "stop", "-n", "moved", "--force")
    # If nothing became of it elsewhere.
    run(ebb, "resume", "-n", "saved")
    assert counts(guest, 2, len(guest.lines))


@pytest.mark.parametrize("reporting", ["on", "off"])
def test_a_guest_that_checks_its_memory(ebb, reporting):
    """Each page is as it was written, or as it was given back; what it frees there is the host's. (The control: without reporting.)"""
    options = ("--rng", f"--free-page-reporting={reporting}")
    guest = ebb.start(f"memcheck 32M --rounds 100000 & (while hold 16M --hold 0; do :; done) >/dev/null & {JOB}", *options, "--name", "saved",
                      memory=MEMORY)
    counts(guest, 2)
    # It writes to all that it checks again and again: that is sent while it stands still.
    move(ebb, "moved", *options, live="--live=60")
    guest.kill()
    with lib.Guest([lib.EBB, "console", "moved"], env=ebb.env) as moved:
        counts(moved, 3)
        answer(moved, "kill %2; kill %1; memcheck 32M --rounds 2", "^memcheck: (ok|BAD)")
        resident = answer(moved, f"hold {TAKE}M --no-thp --wait", "^hold: taken") and stat(ebb, "moved")["memory"]["rss"]
        answer(moved, "", "^hold: done")
        if reporting == "on":
            wait_until(lambda: stat(ebb, "moved")["memory"]["rss"] < resident - TAKE * 0.8 * MIB, "80 % of the memory come back", RETURNING)
        else:
            assert resident - lowest(lambda: stat(ebb, "moved")["memory"]["rss"], 15) < 50 * MIB
        assert "BAD" not in moved.console()
    run(ebb, "stop", "-n", "moved", "--force")
