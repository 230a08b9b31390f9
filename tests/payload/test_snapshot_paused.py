# SPDX-License-Identifier: Apache-2.0
"""A guest that is saved while it is paused stays paused, wherever it goes on, until it is let go on."""

import os
import subprocess

import pytest
from payload import EBB, TIMEOUT, lib, wait_until
from test_snapshot import OPTIONS, PATIENT, WAYS, snapshot, status, step


def command(*words):
    return subprocess.run([EBB, *map(str, words)], check=True, timeout=TIMEOUT, capture_output=True, text=True).stdout


def registers(name):
    return command("debug", "-n", name, "-d")


def expect_said(one, name):
    """That it is paused, and nothing else."""
    wait_until(one.stderr, "it says so")
    assert lib.own_words(one.stderr()) == f'ebb: paused, as it was saved; "ebb resume -n {name}" lets it run'


def expect_paused(one, name):
    """It says so in one line, and no instruction runs, until it is let go on: what it does then is the control."""
    wait_until(lambda: "paused" in status(name), "it is there")
    expect_said(one, name)
    before = registers(name)
    assert registers(name) == before and not one.lines
    command("resume", "-n", name)
    wait_until(lambda: registers(name) != before, "it runs")
    assert one.steps(2) and "running" in status(name)


@pytest.fixture
def paused(run, tmp_path):
    """The folder of a snapshot of one that stands still, which goes on afterwards."""
    name = f"saved-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    command("pause", "-n", name)
    snapshot(name, tmp_path / "there")
    assert "paused" in status(name)
    command("resume", "-n", name)
    payload.heard = len(payload.lines)
    step(payload)
    return tmp_path / "there"


@pytest.mark.parametrize("way", WAYS)
def test_it_starts_paused(restore, paused, way):
    name = f"restored-{os.getpid()}"
    one = restore(paused, *OPTIONS, "--name", name, way=way)
    expect_paused(one, name)
    one.process.terminate()
    assert one.wait(TIMEOUT) == 0


def test_it_can_be_told_to_run(restore, paused):
    one = restore(paused, *OPTIONS, "--resume")
    assert one.steps(2) and not lib.own_words(one.stderr())


def test_one_that_ran_runs(restore, saved):
    """The control of all."""
    one = restore(saved, *OPTIONS)
    assert one.steps(2) and not lib.own_words(one.stderr())


def test_it_ends_without_having_run(restore, paused):
    name = f"ended-{os.getpid()}"
    one = restore(paused, *OPTIONS, "--name", name)
    wait_until(lambda: "paused" in status(name), "it is there")
    one.process.terminate()
    assert one.wait(TIMEOUT) == 0 and not one.lines


def test_it_is_saved_again(restore, paused, tmp_path):
    """Before it has run: all of it, what it has written since, which is nothing, both merged, and as a stream."""
    name = f"again-{os.getpid()}"
    one = restore(paused, *OPTIONS, "--name", name)
    wait_until(lambda: "paused" in status(name), "it is there")
    snapshot(name, tmp_path / "whole")
    snapshot(name, tmp_path / "increment", options=["--base", str(paused)])
    command("snapshot", "merge", tmp_path / "increment", tmp_path / "merged")
    with open(tmp_path / "stream", "w+b") as file:
        subprocess.run([EBB, "snapshot", "-n", name, "-"], stdout=file, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=True)
        file.seek(0)
        expect_paused(restore("-", *OPTIONS, "--name", f"{name}-stream", stdin=file), f"{name}-stream")
    assert not one.lines
    for kind in "whole", "increment", "merged":
        expect_paused(restore(tmp_path / kind, *OPTIONS, "--name", f"{name}-{kind}"), f"{name}-{kind}")
