# SPDX-License-Identifier: Apache-2.0
"""The Debian image: a guest starts from a disk, does what a person would have it do, and can fail at it."""

import os
import re
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until

pytestmark = pytest.mark.linux

BUILDER = os.path.join(lib.TREE, "guest", "image")
# A compiler is a lot of work for an emulated guest on an emulated host.
LONG = 3 * LIMIT


@pytest.fixture
def scratch(tmp_path):
    """A disk for the guest's /scratch."""
    path = tmp_path / "scratch.img"
    subprocess.run([BUILDER, "scratch", path, "512M"], check=True)
    return path


def start(ebb, command, *options, **machine):
    started = lib.Guest(lib.debian(command, *options, **machine), env=ebb.env)
    ebb.guests.append(started)
    return started


def said(started, pattern):
    return [match[1] for _, text in started.lines if (match := re.search(pattern, text))]


def held(path):
    """Bytes that a file takes on the host."""
    return os.stat(path).st_blocks * 512


def test_compiles(ebb, scratch):
    """On a disk of its own; and what was cleaned up is no longer the host's to keep."""
    before = held(scratch)
    started = start(ebb, "CFLAGS=-O0 ebb-compile --hold 0 && read line", scratch=scratch)
    at, _ = started.wait_for("^ebb-job: phase built$", LONG)
    _, verdict = started.wait_for("^ebb-job: compile (.*)", LONG, at)
    assert re.fullmatch(r"ok seconds=\d+\.\d", verdict[1]), started.console()
    assert said(started, "^ebb-job: phase (.*)") == ["copy", "build", "check", "built", "clean", "cleaned", "dropped"]
    started.send("\n")
    ebb.ended(started, 0, LONG)
    assert said(started, "^ebb-guest: exit=(.*)") == ["0"]
    assert held(scratch) - before < lib.MIB, "deleted files are still on the host"
    subprocess.run(["/usr/sbin/e2fsck", "-fn", scratch], check=True, stdout=subprocess.DEVNULL)


def test_discards(ebb, scratch):
    """What is written takes place on the host, until it is deleted and the guest's journal says so."""
    job = "ebb-noise 32M 1 >/scratch/noise; sync; echo written; read line; rm /scratch/noise; sync; read line"
    started = start(ebb, job, scratch=scratch)
    before = held(scratch)
    started.wait_for("^written$", LONG)
    assert held(scratch) - before >= 32 * lib.MIB
    started.send("\n")
    wait_until(lambda: held(scratch) - before < 2 * lib.MIB, "the deleted file leaves the host")
    started.send("\n")
    ebb.ended(started, 0, LONG)


def test_packs(ebb):
    started = start(ebb, "ebb-pack 4 --rounds 2")
    ebb.ended(started, 0, LONG)
    assert said(started, "^ebb-job: phase (.*)") == 2 * ["make", "pack", "unpack", "compare", "clean"]
    assert said(started, "^ebb-job: (pack .*) seconds=") == ["pack ok"]
    assert said(started, "^ebb-guest: exit=(.*)") == ["0"]


@pytest.mark.parametrize(
    "command, why",
    [
        ("ebb-pack 2 --break", "pack BAD: not what was packed: 1 of 54 files"),
        ("mount -o bind /dev/null $(gcc -print-prog-name=cc1) && ebb-compile", "compile BAD: make .* failed"),
        ("CFLAGS=-O0 ebb-compile --break", "compile BAD: make .* test failed"),
    ],
    ids=["pack", "no-compiler", "compile"],
)
def test_broken_job(ebb, command, why):
    """The control: a job can fail, and says so."""
    started = start(ebb, command)
    ebb.ended(started, 0, LONG)
    assert len(said(started, f"^ebb-job: ({why})")) == 1, started.console()
    assert not said(started, "^ebb-job: (.* ok)")
    assert said(started, "^ebb-guest: exit=(.*)") == ["1"]


def test_no_file_system(ebb, tmp_path):
    """A disk that nobody prepared."""
    empty = tmp_path / "empty.img"
    with open(empty, "wb") as file:
        file.truncate(16 * lib.MIB)
    started = start(ebb, "ebb-idle 0", scratch=empty)
    ebb.ended(started, 0)
    assert "ebb-guest: /dev/vdb is no ext4 disk to work on" in started.console()
    assert said(started, "^ebb-guest: exit=(.*)") == ["125"]


def test_power_button(ebb):
    started = start(ebb, "echo ready; ebb-idle 100000", "--name", "debian")
    started.wait_for("^ready$", LIMIT)
    subprocess.run([lib.EBB, "stop", "-n", "debian", "--timeout", str(LIMIT)], check=True, env=ebb.env)
    ebb.ended(started, 0)
    assert "ebb-guest: power button" in started.console()
