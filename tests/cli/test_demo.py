# SPDX-License-Identifier: Apache-2.0
"""What the demo decides for itself: where texts stand, and what it makes of the kernels' build beside it."""

import importlib.machinery
import importlib.util
import os
import signal
import sys
import time

import pytest

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
sys.path.insert(0, SCRIPTS)

from demo_chart import sides  # noqa: E402
from demo_kernels import Kernels  # noqa: E402

loader = importlib.machinery.SourceFileLoader("demo", os.path.join(SCRIPTS, "demo"))
demo = importlib.util.module_from_spec(importlib.util.spec_from_loader("demo", loader))
loader.exec_module(demo)

STOCK = "echo 'guest: stock kernel: /s and bzImage' >&2;"
PATCHED = "echo 'guest: patched kernel: /p and bzImage' >&2;"
BUILDS = "echo 'guest: kernel: 290 steps done, 0:30 min' >&2;"
WAITS = "read -r _ <fifo;"


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """kernels(script): what builds them is a shell's script; WAITS in it lasts until go() is called."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    made = []

    def make(script):
        made.append(Kernels(["sh", "-c", script]))
        return made[-1]

    yield make
    for one in made:
        if not one.log.closed:
            one.stop()


def runs(pid):
    """Whether there is such a process, but for one that only waits to be asked how it ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def go():
    try:
        fifo = os.open("fifo", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody waits
        return
    os.write(fifo, b"\n")
    os.close(fifo)


@pytest.mark.parametrize("second, wanted", [(1.0, "<>"), (1.1, "<>"), (3.9, "<>"), (4.0, "><"), (9.0, "><")])
def test_texts_stand_outside_of_marks_that_are_close(second, wanted):
    assert "".join(sides(1.0, second, 3.0)) == wanted


def test_kernels_in_the_cache_are_never_said_to_be_built(kernels):
    both = kernels(STOCK + PATCHED)
    assert both.settle("stock") == "there" and both.settle("patched") == "there"
    assert both.failure() is None and not both.progress()


def test_a_kernel_is_used_while_the_next_is_built(kernels):
    both = kernels(STOCK + BUILDS + WAITS + PATCHED)
    assert both.settle("stock") == "there" and both.settle("patched") == "building"
    assert both.progress() == "290 steps done, 0:30 min"
    assert both.wait("patched", go)


def test_a_build_that_fails_is_told_and_keeps_the_kernel_before_it(kernels):
    both = kernels(STOCK + BUILDS + "echo 'guest: no such option' >&2; exit 3")
    assert both.settle("stock") == "there" and not both.wait("patched", lambda: None)
    assert both.failure().endswith("guest: no such option")


@pytest.mark.parametrize("script, meanwhile, hosts", [
    (STOCK + PATCHED, None, [["off", "stock", "patched"]]),
    (STOCK + BUILDS + WAITS + PATCHED, None, [["off", "stock"], ["patched"]]),
    (BUILDS + WAITS + STOCK + PATCHED, "/d", [["off=/d"], ["off", "stock", "patched"]]),
    (STOCK + BUILDS + "exit 3", None, [["off", "stock"]]),
    (BUILDS + "exit 3", "/d", [["off=/d"]]),
])
def test_guests_run_as_soon_as_their_kernels_are_there(kernels, monkeypatch, script, meanwhile, hosts):
    """What needs not wait runs on one host, in the demo's order."""
    both, ran = kernels(script), []
    monkeypatch.setattr(demo, "run_guests", lambda host, runs, records, view: ran.append(runs))
    view = type("View", (), {"tick": staticmethod(go)})
    demo.run_all([], {name: demo.Record() for name in demo.RUNS}, both, view, meanwhile)
    assert ran == hosts


def test_stopping_leaves_nothing_of_a_build(kernels):
    both = kernels(BUILDS + "sleep 1000 & echo \"guest: $!\" >&2; " + WAITS)
    both.settle("stock")
    while not both.progress().isdigit():
        assert both.settle("stock") == "building"
    child = int(both.progress())
    assert runs(child)
    both.stop()
    assert both.process.returncode == -signal.SIGTERM
    end = time.monotonic() + 30  # it has closed its files, and may be a moment from its end
    while runs(child):
        assert time.monotonic() < end
