# SPDX-License-Identifier: Apache-2.0
"""Commands that take every vCPU out of the guest, while one waits for standard output (beat.c)."""

import os
import select
import subprocess
import time

import pytest
from payload import EBB, REPORTING, TIMEOUT, FullPipe

PAUSES = 5
# What each took when a vCPU that was in a device was waited for.
WAITED = 1.0


@pytest.fixture
def stuck(run):
    """A guest whose vCPU waits, its name, and the pipe that it waits for."""
    full = FullPipe()
    name = f"stuck-{os.getpid()}"
    payload = run("beat", REPORTING, "--name", name, stdout=full.writer)
    os.close(full.writer)
    payload.waits_for_output()
    yield payload, name, full.reader
    os.close(full.reader)


def command(name, *words):
    subprocess.run([EBB, words[0], "-n", name, *words[1:]], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)


def seconds(name):
    start = time.monotonic()
    for _ in range(PAUSES):
        command(name, "debug", "-d")
    return time.monotonic() - start


def test_a_paused_one_does_not_wait_for_output(run):
    """The control of what the others wait for: its vCPU waits, but for the end of the pause."""
    name = f"paused-{os.getpid()}"
    payload = run("beat", REPORTING, "--name", name)
    payload.expect("^beat ")
    command(name, "pause")
    assert not payload.is_waiting_for_output()


def test_registers_are_there_at_once(run, stuck):
    """The loop, which serves everybody, stands still no longer than for a vCPU that is in the guest."""
    other = f"busy-{os.getpid()}"
    run("beat", REPORTING, "--name", other).expect("^beat ")
    busy = min(seconds(other) for _ in range(2))
    assert min(seconds(stuck[1]) for _ in range(2)) < busy + PAUSES * WAITED / 2


def drain(reader, until, silence=TIMEOUT):
    """Reads until that many bytes have come, or none for so many seconds. Returns what came."""
    text = b""
    while len(text) < until and select.select([reader], [], [], silence)[0]:
        text += os.read(reader, 4096)
    return text


def test_it_stays_outside_while_paused(stuck):
    payload, name, reader = stuck
    command(name, "pause")
    # What is in the pipe, and the byte that the vCPU waits with: not one more, since it does not go back.
    assert len(drain(reader, 8192, silence=1)) <= 4096 + 1
    command(name, "resume")
    assert len(drain(reader, 100)) >= 100
    payload.process.terminate()
    assert payload.wait(TIMEOUT) == 0
    assert not payload.stderr(), payload.stderr()
