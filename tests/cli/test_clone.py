# SPDX-License-Identifier: Apache-2.0
"""ebb clone: mistakes, of which none stops the guest. tests/payload/test_clone.py has clones."""

import os

import pytest

DISK = {"disk": "disk0", "file": "/images/ci.img", "size": 1 << 20, "read-only": False}


@pytest.fixture
def clone(ebb, fake, tmp_path, monkeypatch):
    """Clones the guest "ci", which has a disk and a network; nothing is saved, and no folder left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    guest = fake("ci", disks=[DISK])

    def run(*words):
        done = ebb("clone", *words)
        assert not [command for command, _ in guest.asked if command != "x-ebb-stat"], guest.asked
        assert not os.listdir(tmp_path)
        return done

    return run


WITH_DISK = ("--", "-d", "/images/%.img")


@pytest.mark.parametrize("words, said", [
    (("-c", "0"), "\"0\" is not a number of clones; write 1 to 1000"),
    (("-c", "1001"), "write 1 to 1000"),
    (("-c", "two"), "\"two\" is not a number of clones"),
    (("-n", "web"), "no guest called \"web\""),
    (("ci",), "-n names the guest"),
    (("-n", "ci", "--from", "there"), "--from cannot be combined with -n"),
    (("--save", "here", "--from", "there"), "--from cannot be combined with --save"),
    (("--from", ""), "folder has no name"),
    (("--from", "-"), "clones share a snapshot in a folder, and \"-\" is none"),
    (("-n", "ci", "--save", "-"), "clones share a snapshot in a folder, and \"-\" is none"),
    (("--from", "/nonexistent"), "there is no snapshot in '/nonexistent'"),
    (("-c", "2", "--name-pattern", "web"), "write a % in \"web\""),
    (("-c", "2", "--name-pattern", "100%%"), "write a % in \"100%%\""),
    (("--name-pattern", "a/%", *WITH_DISK), "contains a slash"),
    (("-c", "10", "--name-pattern", "x" * 63 + "%", *WITH_DISK), "is too long"),
    (("--name-pattern", "ci", *WITH_DISK), "a guest called \"ci\" is running; give other names"),
    (("--", "-i", "initrd"), "has booted already"),
    (("--", "--restore", "there"), "--restore is given twice"),
    (("--", "--name", "web"), "--name is given twice"),
    (("--", "--mem=1G"), "--mem is given twice"),
    (("--", "-c", "2"), "--cpus is given twice"),
    (("--", "--blah"), "unknown option --blah"),
    (("--", "--help"), "\"ebb help run\""),
    ((), "the guest's disks (1) are in no snapshot"),
    (("--", "-d", "a%.img", "-d", "b.img"), "fewer disks (1) than are given (2)"),
], ids=str)
def test_mistakes(clone, words, said):
    clone(*words).failed(2, said)


def test_a_name_that_is_taken(clone, fake):
    """The third's; the control is a pattern for which there is none: the fake guest cannot be saved, and that is what is said."""
    fake("ci-3")
    clone("-n", "ci", "-c", "3", *WITH_DISK).failed(2, "\"ci-3\" is running", "--name-pattern")
    clone("-n", "ci", "-c", "2", "--name-pattern", "ci-3%%-%", "--", "-d", "no", "-d", "no").failed(2, "than are given (2)")


def test_a_guest_that_cannot_be_saved(ebb, fake, tmp_path, monkeypatch):
    """Its ebb's words are all that is said, and the folder is gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    guest = fake("ci", disks=[])
    done = ebb("clone", "-c", "2").failed(1, "guest \"ci\" is not saved")
    assert "x-ebb-snapshot" in [command for command, _ in guest.asked], (guest.asked, done.err)
    assert not os.listdir(tmp_path)


def test_no_folder_for_it(ebb, fake, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    fake("ci", disks=[])
    ebb("clone").failed(1, "cannot make a folder", "/nonexistent", "TMPDIR")
