# SPDX-License-Identifier: Apache-2.0
"""A keeper beside guests: that it is started, heard and ended."""

import json
import signal
import time

import keeping
import pytest

GUESTS = [{"name": "a", "requests": 2, "came": 5, "lent": 0}, {"name": "b", "requests": 1, "came": 7, "lent": 3}]


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    """make(script): a Keeper whose ebb does that when it is to keep, and has GUESTS."""
    made = []

    def make(script):
        program, status = tmp_path / "ebb", tmp_path / "status"
        status.write_text(json.dumps({"guests": GUESTS}))
        program.write_text(f"#!/bin/sh\n[ $EBB_RUNTIME_DIR = {tmp_path} ] || exit 9\n"
                           f"[ \"$2\" != status ] || exec cat {status}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(keeping.lib, "EBB", str(program))
        made.append(keeping.Keeper(str(tmp_path)))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def heard(one, count):
    lines, end = [], time.monotonic() + 30
    while len(lines) < count and time.monotonic() < end:
        lines += one.lines()
        time.sleep(0.01)
    return lines


def test_what_it_says_and_what_came(keeper):
    one = keeper("trap 'kill $!; exit 0' TERM; printf 'ebb: looking after\\nhalf' >&2; sleep 100 & printf ' a line\\n' >&2; wait")
    assert heard(one, 2) == ["looking after", "half a line"]
    assert one.end() == {"requests": 3, "came": 12, "lent": 3, "status": 0}


def test_one_that_hangs_is_ended(keeper, monkeypatch):
    monkeypatch.setattr(keeping, "LIMIT", 1)
    one = keeper("trap '' TERM; echo 'ebb: it hangs' >&2; while :; do sleep 0.1; done")
    assert heard(one, 1) == ["it hangs"]
    assert "it hung" in one.end()["status"]
    assert one.process.wait(30) == -signal.SIGKILL


def test_one_that_fails_is_found_out(keeper):
    one = keeper("echo 'ebb: it cannot' >&2; exit 1")
    assert heard(one, 1) == ["it cannot"]
    assert one.end()["status"] == 1
