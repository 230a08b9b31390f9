# SPDX-License-Identifier: Apache-2.0
"""A host that does not tell of its memory and its files for a while holds up those who asked, and nobody else.

ebb is linked anew for it (tests/hang): while a file is there, its fstat() and its look at guest RAM do not return.
"""

import os
import subprocess

import pytest
from payload import REPORTING, TIMEOUT, lib, wait_until

# tests/hang looks for its file by name.
OFF = "--sandbox=off"
HANG = os.path.join(lib.BUILD, "tests", "hang")


def command(name, *words, **popen):
    return subprocess.Popen([lib.EBB, *words, "-n", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def ends(process, status=0):
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, (process.returncode, out, err)
    return out


@pytest.fixture
def guest(run, tmp_path):
    """A guest that waits, with a disk, and the file that makes its host hang."""
    disk, hangs = tmp_path / "disk", tmp_path / "hangs"
    disk.write_bytes(bytes(1 << 20))
    name = f"hang-{os.getpid()}"
    payload = run("reclaim", REPORTING, "-d", str(disk), "--name", name, OFF, test="silent", ebb=HANG,
                  env=os.environ | {"EBB_HANG": str(hangs)})
    payload.paused("ready")
    hangs.touch()
    yield name, payload, hangs


def reclaim_that_waits(name):
    """Of two, one is refused, since ebb is busy with the other: then ebb has that one."""
    pair = [command(name, "reclaim", "--timeout", "1") for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in pair), "none of two is refused")
    refused, waits = sorted(pair, key=lambda process: process.poll() is None)
    ends(refused, 1)
    return waits


def test_others_are_served(guest):
    name, payload, hangs = guest
    asking = command(name, "stat", "--no-refresh", "--json")
    reclaiming = reclaim_that_waits(name)
    for _ in range(3):
        ends(command(name, "pause"))
        ends(command(name, "resume"))
    ends(command(name, "debug", "-d"))
    # The control: those who asked for what the host does not tell do wait.
    assert asking.poll() is None and reclaiming.poll() is None
    hangs.unlink()
    assert '"memory"' in ends(asking)
    payload.proceed()
    payload.paused("given up")
    ends(reclaiming, 3)


@pytest.mark.parametrize("how", ["stop", "signal"])
def test_the_end_does_not_wait(guest, how):
    name, payload, hangs = guest
    asking = command(name, "stat", "--no-refresh")
    wait_until(lambda: os.path.exists(f"{hangs}.hung"), "nobody measures")
    if how == "stop":
        ends(command(name, "stop", "--force"))
    else:
        payload.process.terminate()
    payload.ended()
    assert "without waiting for it" in payload.stderr()
    asking.wait(TIMEOUT)


def test_the_end_does_not_wait_for_a_discard(run, tmp_path):
    """The balloon's worker hangs: what it may use stays until ebb has ended."""
    hangs = tmp_path / "hangs"
    payload = run("report", REPORTING, OFF, memory="256M", ebb=HANG, env=os.environ | {"EBB_HANG": str(hangs)})
    for step in ("clean", "dirty"):
        payload.paused(step)
        if step == "dirty":
            hangs.touch()
        payload.proceed()
    wait_until(lambda: os.path.exists(f"{hangs}.hung"), "nothing was discarded")
    payload.process.terminate()
    assert payload.wait(TIMEOUT) == 0, payload.stderr()
    said = payload.stderr()
    assert "did not finish the last request of balloon 0" in said and said.count("\n") == 0, said
