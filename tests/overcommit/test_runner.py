# SPDX-License-Identifier: Apache-2.0
"""Records that are kept, and what is run again."""

import importlib.machinery
import importlib.util
import json
import os
import types

import pytest
import report
import runner
import scenario
from conftest import HERE, SMALLEST
from host import Run

HOST = runner.Host(True, "emulated")
LINES = [json.dumps(event) + "\n" for event in (
    ["host", {"kernel": "6.1", "note": ""}], ["sample", 0.0, {"total": 1}, {"g": {"held": 5}}],
    ["end", 1.0, {"g": {"alive": True, "status": 0}}])]


@pytest.fixture
def kept(tmp_path):
    return lambda text=SMALLEST, host=HOST: runner.Kept(str(tmp_path), scenario.parse("f", "n", text), host)


def test_a_record_comes_back_as_it_was(kept):
    kept().keep("none", LINES)
    found = kept().find("none")
    assert found.samples == [(0.0, {"total": 1}, {"g": {"held": 5}})] and found.ended == 1.0
    assert kept().find("patched") is None


def test_one_of_something_else_does_not(kept):
    kept().keep("none", LINES)
    assert kept(SMALLEST.replace("512M", "256M")).find("none") is None
    assert kept(host=runner.Host(True, "counts")).find("none") is None
    assert kept(SMALLEST + "[must]\nswap_ins = 0").find("none"), "what must hold is looked at anew"
    kept().forget("none")
    assert kept().find("none") is None


def test_nor_does_one_without_an_end(kept):
    kept().keep("none", LINES[:2])
    assert kept().find("none") is None


def test_only_what_is_not_there_is_run_and_only_when_asked(kept):
    kept().keep("patched", LINES)
    found = scenario.parse("f", "n", SMALLEST)
    assert runner.Runner(found, HOST, kept(), resume=True).waiting == ["none"]
    assert runner.Runner(found, HOST, kept()).waiting == ["none", "patched"]


def test_a_host_that_counts_has_a_limit_of_its_own(kept):
    """Jobs that may take hours of its seconds: it is this machine's that count."""
    found = scenario.parse("f", "n", SMALLEST.replace('job = "true"', 'job = "true"\ntimeout = 3600'))
    for host, limit in ((runner.Host(True, "counts", 1200), "1200"), (HOST, str(3 * (3600 + 12) + runner.SLACK))):
        words = runner.Runner(found, host, kept()).argv("none")
        assert words[words.index("--timeout") + 1] == limit and ("--count" in words) == bool(host.counted)


def test_a_host_that_counts_is_larger_by_what_lies_in_its_memory_alone(kept):
    """1 GiB, and what a guest is made of; with a disk, that too."""
    for more, memory in (("", 1024 + 64), ("disk = \"debian\"\nscratch = \"1G\"\n", 1024 + 768)):
        found = scenario.parse("f", "n", SMALLEST.replace('job = "true"', f'job = "true"\n{more}'))
        words = runner.Runner(found, runner.Host(True, "counts", 1200), kept()).argv("none")
        assert words[words.index("--memory") + 1] == str(memory)


def test_each_time_that_a_phase_comes_is_told_once():
    told, console = [], []
    run = Run(scenario.parse("f", "n", SMALLEST), "none", None, "", lambda *what: told.append(what))
    run.machines[0].vm = types.SimpleNamespace(started=run.zero, lines=console,
                                               process=types.SimpleNamespace(poll=lambda: None))
    for when in (1.0, 2.0, 3.0):
        console.append((when, "ebb-job: phase warm"))
        run.look()
    assert told == [("mark", when, "g", "phase warm") for when in (1.0, 2.0, 3.0)]


@pytest.mark.parametrize("counted, status", [(0, 0), (1200, 1)])
def test_only_a_host_that_counts_binds_a_time_that_is_to_be_counted(record, monkeypatch, capsys, counted, status):
    """The job took 1.1 of the control's time."""
    loader = importlib.machinery.SourceFileLoader("command", os.path.join(HERE, "ebb-overcommit"))
    command = importlib.util.module_from_spec(importlib.util.spec_from_loader("command", loader))
    loader.exec_module(command)
    records = {"none": record([1, 1], variant="none", time=2.0), "patched": record([1, 1], time=2.2)}
    monkeypatch.setattr(runner, "choose", lambda *_: runner.Host(True, "some host", counted))
    monkeypatch.setattr(runner, "run", lambda *_: (records, {}))
    monkeypatch.setattr(report, "write", lambda *_: None)
    monkeypatch.setattr(report, "write_text", lambda *_: None)
    args = types.SimpleNamespace(emulated=True, count=bool(counted), limit=20, jobs=1, out="some/folder", resume=False)
    found = scenario.parse("f", "n", 'counted = ["time"]' + SMALLEST + "[must.patched]\ntime = 1.02\n")
    assert command.run(args, found) == status
    said = capsys.readouterr()
    assert ("jobs' mean time is 1.10" in said.err) == bool(counted) and ("missed by 0.08" in said.out) != bool(counted)
