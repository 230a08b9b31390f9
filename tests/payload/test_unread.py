# SPDX-License-Identifier: Apache-2.0
"""Standard output and error that nobody reads, and guests that make ebb write there (misuse.c, ends.c, beat.c)."""

import os
import signal

import pytest
from payload import BALLOON, REPORTING, TIMEOUT, FullPipe

@pytest.fixture(params=["own", "foreign"])
def full(request):
    """Also a pipe that cannot be opened again, as one of another user: there is no /proc."""
    pipe = FullPipe()
    pipe.wrapper = []
    if request.param == "foreign":
        if os.geteuid() != 0:
            pytest.skip("needs root: a mount namespace without /proc")
        pipe.permitted = False
        pipe.wrapper = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    return pipe


def test_lines_of_a_device(run, full):
    """Devices that tell of the guest's mistakes hold locks while they do; and all can be read afterwards."""
    payload = run("misuse", BALLOON, test="refused", wrapper=full.wrapper, stderr=full.writer)
    payload.expect("^ok refused$")
    full.start_reading()
    assert payload.wait(TIMEOUT) == 0
    said = full.read().splitlines()
    assert said and all(line.startswith("ebb: guest: ") for line in said), said
    assert any("the device stops until it is reset" in line for line in said)


def test_a_panic(run, full):
    """The main thread's last words."""
    payload = run("ends", test="panic", wrapper=full.wrapper, stderr=full.writer)
    payload.expect("^ending$")
    full.start_reading()
    assert payload.wait(TIMEOUT) == 1
    assert full.read() == "ebb: the guest's kernel panicked\n"


def test_nobody_ever_reads(run, full):
    payload = run("ends", test="panic", wrapper=full.wrapper, stderr=full.writer)
    assert payload.wait(TIMEOUT) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_pipe_for_both(run, full, number):
    """A vCPU waits for standard output, and everything that ebb says goes to the same pipe."""
    payload = run("beat", REPORTING, "--debug", wrapper=full.wrapper, stdout=full.writer, stderr=full.writer)
    payload.waits_for_output()
    payload.process.send_signal(number)
    assert payload.wait(TIMEOUT) == 0
