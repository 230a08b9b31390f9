# SPDX-License-Identifier: Apache-2.0
"""Guests that are asked for memory: when, and what comes of it."""

import types

import asking
import pytest
import scenario

MACHINES = [types.SimpleNamespace(spec=types.SimpleNamespace(name=name)) for name in ("a", "b")]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def asker(tmp_path, monkeypatch):
    """make(script): an Asker whose ebb is that."""

    def make(script):
        program = tmp_path / "ebb"
        program.write_text(f"#!/bin/sh\necho \"$*\" >>{tmp_path}/asked\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(asking.lib, "EBB", str(program))
        return asking.Asker(str(tmp_path), scenario.Ask(5.0, "--compact"), Clock())

    return make


def asked(tmp_path):
    path = tmp_path / "asked"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def test_each_guest_when_it_is_due(asker, tmp_path):
    one = asker("exit 0")
    one.ask(MACHINES[:1])
    one.clock.now = 4.9
    one.ask(MACHINES)  # b is new
    assert one.end() == {"times": 0, "late": 0, "failed": 0, "why": ""}
    one.clock.now = 5.0
    one.ask(MACHINES)
    one.end()
    assert asked(tmp_path) == ["reclaim -n a --compact --timeout 10"]
    one.clock.now = 10.0
    one.ask(MACHINES)
    assert one.end() == {"times": 3, "late": 0, "failed": 0, "why": ""}
    assert [line.split()[2] for line in asked(tmp_path)] == ["a", "a", "b"]


def test_one_that_has_not_answered_is_not_asked_again(asker, tmp_path):
    fifo = tmp_path / "fifo"
    one = asker(f"mkfifo {fifo}; read line <{fifo}")
    one.ask(MACHINES[:1])
    for one.clock.now in (5.0, 10.0, 15.0):
        one.ask(MACHINES[:1])
    assert one.found["times"] == 1
    while not fifo.exists():
        pass
    fifo.write_text("go\n")
    assert one.end() == {"times": 1, "late": 0, "failed": 0, "why": ""}


@pytest.mark.parametrize("status, found", [
    (3, {"times": 1, "late": 1, "failed": 0, "why": ""}),
    (1, {"times": 1, "late": 0, "failed": 1, "why": "ebb: it cannot"}),
])
def test_what_comes_of_it(asker, status, found):
    one = asker(f"echo 'ebb: it cannot' >&2; exit {status}")
    one.ask(MACHINES[:1])
    one.clock.now = 5.0
    one.ask(MACHINES[:1])
    assert one.end() == found
