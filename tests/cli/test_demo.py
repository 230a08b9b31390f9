# SPDX-License-Identifier: Apache-2.0
"""What the demo decides for itself: where texts stand, and what it makes of the kernels' build beside it."""

import importlib.machinery
import importlib.util
import os
import shutil
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


@pytest.mark.parametrize("script, hosts", [
    (PATCHED, [["off", "stock", "patched"]]),
    (BUILDS + WAITS + PATCHED, [["off", "stock"], ["patched"]]),
    (BUILDS + "exit 3", [["off", "stock"]]),
    ("true", [["off", "stock"]]),
], ids=["in the cache", "built", "broken", "quick"])
def test_guests_run_as_soon_as_their_kernels_are_there(kernels, monkeypatch, script, hosts):
    """Debian's kernel is there from the start. What needs not wait runs on one host, in the demo's order."""
    ours, ran = kernels(script), []
    monkeypatch.setattr(demo, "run_guests", lambda host, debian, runs, records, view: ran.append(runs))
    view = type("View", (), {"tick": staticmethod(go)})
    demo.run_all([], [], {name: demo.Record() for name in demo.RUNS}, ours, view)
    assert ran == hosts


def done(kept, kernel):
    """A record of a guest that has run, in MiB: 46 at rest, 512 more, and what is kept of those."""
    record, mib = demo.Record(), demo.MIB
    for event in (["start", ""], ["kernel", "", kernel], ["before", "", 46 * mib], ["sample", "", 0.0, 46 * mib],
                  ["mark", "", 1.0, "take"], ["mark", "", 2.0, "taken"], ["sample", "", 3.0, 558 * mib],
                  ["mark", "", 8.0, "freed"], ["sample", "", 9.0, (46 + kept) * mib], ["end", "", 21.0]):
        record.take(event)
    return record


@pytest.mark.skipif(not shutil.which("gnuplot"), reason="no gnuplot: install Debian's package gnuplot-nox")
@pytest.mark.parametrize("names", [["off", "stock"], ["off", "stock", "patched"]])
def test_picture_and_table_tell_the_kernel_of_each_curve(tmp_path, names):
    records = {name: done(512 if name == "off" else 0, "6.1.0-x_y" if name != "patched" else "6.12-ebb'") for name in names}
    demo.write_pictures(records, str(tmp_path))
    svg = (tmp_path / "demo.svg").read_text(encoding="utf-8")
    assert "off, stock: Linux 6.1.0-x_y" in svg
    assert ("patched: 6.12-ebb?" in svg) == ("patched" in names) == ("patched</" in svg)
    assert [line.split()[-1] for line in demo.table(records)[1:]] == [record.kernel for record in records.values()]
    assert not demo.verdict(records)


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
