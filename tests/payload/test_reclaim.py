# SPDX-License-Identifier: Apache-2.0
"""Memory comes back when somebody asks for it, and what else may become of the question (reclaim.c)."""

import json
import subprocess
import time

import pytest
from payload import BALLOON, EBB, REPORTING, TIMEOUT, lib

MIB = lib.MIB
GRACE = 5  # seconds that ebb waits beyond what the guest has


class Asker:
    """An `ebb reclaim` that runs."""

    def __init__(self, name, *words):
        self.started = time.monotonic()
        self.process = subprocess.Popen([EBB, "reclaim", "-n", name, "--json", *words], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def done(self, status=0):
        """What it printed; with another status than 0, what it said is wrong."""
        out, err = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == status, (self.process.returncode, out, err)
        return json.loads(out) if out else err

    def seconds(self):
        return time.monotonic() - self.started


def accepted(name, *words):
    """An asker whose request the guest has got. Until the device has seen the answer to an earlier one it refuses."""
    before = stat(name)["reclaim"]["requests"]
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        asker = Asker(name, *words)
        while asker.process.poll() is None:
            if stat(name)["reclaim"]["requests"] > before:
                return asker
            time.sleep(0.02)
        assert "not finished an earlier request" in asker.done(status=1)
    raise lib.GuestError(f"the device still waits for an earlier request's answer after {TIMEOUT} s")


def stat(name):
    done = subprocess.run([EBB, "stat", "-n", name, "--json", "--no-refresh"], stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    return json.loads(done.stdout)


@pytest.mark.parametrize("words, asked", [
    ([], "0, 0, in 10000"),
    (["--cache=all", "--compact", "--timeout=2.5"], f"{2**64 - 1}, 1, in 2500"),
], ids=["usual", "everything"])
def test_asked(run, words, asked):
    payload = run("reclaim", REPORTING, "--name", "reclaim-asked", test="asked", memory="128M")
    payload.paused("ready")
    assert stat("reclaim-asked")["reclaim"] == {"negotiated": True, "requests": 0, "answered": 0, "timeouts": 0}
    asker = Asker("reclaim-asked", *words)
    payload.proceed()
    payload.expect(f"^asked for {asked}$")
    got = asker.done()
    assert got["status"] == "done" and got["elapsed"] < asker.seconds()
    assert got["guest"] == {"drained": 1, "cache": 2, "compacted": 3, "reported": 64 * MIB, "free": 5, "elapsed": 1.5}
    # A huge page more or less: the host may make some while we look.
    assert abs(got["rss-before"] - got["rss-after"] - 64 * MIB) <= 2 * MIB

    payload.paused("partly")
    asker = Asker("reclaim-asked")
    payload.proceed()
    assert asker.done(status=3)["status"] == "timeout"

    payload.paused("failed")
    asker = Asker("reclaim-asked")
    payload.proceed()
    assert "the guest answered that it failed" in asker.done(status=1)

    payload.paused("looked")
    assert stat("reclaim-asked")["reclaim"] == {"negotiated": True, "requests": 3, "answered": 3, "timeouts": 0}
    payload.proceed()
    payload.passed("asked")


def test_silent(run):
    payload = run("reclaim", REPORTING, "--name", "reclaim-silent", test="silent")
    payload.paused("ready")
    asker = Asker("reclaim-silent", "--timeout", "0.5")
    payload.proceed()
    payload.paused("given up")
    # Others are served meanwhile, and a second asker is told at once.
    assert stat("reclaim-silent")["reclaim"]["requests"] == 1
    assert "not finished an earlier request" in Asker("reclaim-silent").done(status=1)
    assert asker.process.poll() is None, "the first one was to wait longer than the second"
    assert "did not answer within 5.5 s" in asker.done(status=3)
    assert asker.seconds() >= 0.5 + GRACE
    # Nor can it be asked anew before it has given the answer that nobody wants.
    assert "not finished an earlier request" in Asker("reclaim-silent").done(status=1)
    payload.proceed()
    payload.paused("answered")
    # The guest has rung; the device's worker may be about to look.
    asker = accepted("reclaim-silent")
    payload.proceed()
    assert asker.done()["status"] == "done"
    payload.paused("looked")
    assert stat("reclaim-silent")["reclaim"] == {"negotiated": True, "requests": 2, "answered": 1, "timeouts": 1}
    payload.proceed()
    payload.passed("silent")


def test_reset(run):
    """Nobody waits for a driver that went away, or for a guest that ended."""
    payload = run("reclaim", REPORTING, "--name", "reclaim-reset", test="reset")
    payload.paused("ready")
    asker = Asker("reclaim-reset", "--timeout=1000")
    payload.proceed()
    assert "balloon driver was reset" in asker.done(status=1)
    payload.paused("without a driver")
    assert "runs no balloon driver" in Asker("reclaim-reset").done(status=1)
    payload.proceed()
    payload.paused("without the feature")
    assert stat("reclaim-reset")["reclaim"]["negotiated"] is False
    assert "kernel cannot give back memory on request" in Asker("reclaim-reset").done(status=1)
    payload.proceed()

    payload.paused("again")
    subprocess.run([EBB, "pause", "-n", "reclaim-reset"], check=True, timeout=TIMEOUT)
    assert "is paused" in Asker("reclaim-reset").done(status=1)
    subprocess.run([EBB, "resume", "-n", "reclaim-reset"], check=True, timeout=TIMEOUT)
    asker = Asker("reclaim-reset")
    payload.proceed()
    assert asker.done()["status"] == "done"
    payload.paused("looked")
    payload.proceed()

    payload.paused("for the last time")
    asker = Asker("reclaim-reset", "--timeout=1000")
    payload.proceed()
    assert "ended before it answered" in asker.done(status=1)
    payload.passed("reset")


def test_misuse(run):
    payload = run("reclaim", REPORTING, "--name", "reclaim-misuse", test="misuse")
    payload.paused("ready")
    asker = Asker("reclaim-misuse", "--timeout=1000")
    payload.proceed()
    assert "balloon driver was reset" in asker.done(status=1)
    payload.passed("misuse")
    assert "the device stops until it is reset" in payload.stderr()
    assert len(payload.errors) < 40, payload.stderr()


def test_without_reporting(run):
    """A guest that was not offered it."""
    payload = run("report", BALLOON, "--name", "reclaim-never", memory="256M")
    payload.paused("clean")
    assert "free page reporting is off" in Asker("reclaim-never").done(status=1)


def test_offered_without_a_promise(run):
    """What is let go of lazily is not promised to be zero."""
    run("exits", REPORTING, "--discard=free", test="offer", params="reporting=1 lazily=1").passed("offer")
