# SPDX-License-Identifier: Apache-2.0
"""A file of the host's that is the guest's memory: shared, kept, never discarded, and taken away (pmem.c)."""

import json
import os
import subprocess

import pytest
from payload import EBB, REPORTING, TIMEOUT, lib

MIB = lib.MIB
GIB = 1024 * MIB
SIZE = 4 * MIB
MARK = b"!!file01"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "an image, of some size"
    path.write_bytes(MARK + bytes(SIZE - len(MARK)))
    return path


def option(path, *more):
    return ["--pmem", ",".join([str(path).replace(",", ",,"), *more])]


def params(size=SIZE, at=4 * GIB, **more):
    return " ".join(f"{key}={value}" for key, value in ({"at": at, "size": size} | more).items())


@pytest.mark.parametrize("memory, at", [("64M", 4 * GIB), ("3G", 4 * GIB), ("4G", 5 * GIB), ("4100M", 6 * GIB)])
def test_place(run, image, memory, at):
    """Above RAM, and above the hole below 4 GiB."""
    run("pmem", *option(image), test="place", memory=memory, params=params(at=at)).passed("place")


@pytest.mark.parametrize("length", [8, 4096, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1])
def test_read_only_of_any_size(run, tmp_path, length):
    """Filled up with zeros."""
    path = tmp_path / "file"
    path.write_bytes(MARK + bytes(length - len(MARK)))
    size = -(-length // (2 * MIB)) * 2 * MIB
    run("pmem", *option(path, "ro"), test="place", params=params(size=size)).passed("place")


def test_written_is_in_the_file(run, image):
    payload = run("pmem", *option(image), test="write", params=params(answer=0))
    payload.paused("written")
    data = image.read_bytes()
    assert data[4096:4104] == 0x1122334455667788.to_bytes(8, "little") and any(data[8192:12288])
    payload.proceed()
    payload.passed("write")
    assert len(image.read_bytes()) == SIZE and payload.stderr() == ""


def test_read_only_stays_as_it_is(run, image):
    """The guest has what it wrote, until it ends; the flush fails, and that is said once."""
    before = image.read_bytes()
    payload = run("pmem", *option(image, "ro"), test="write", params=params(answer=1))
    payload.paused("written")
    assert image.read_bytes() == before
    payload.proceed()
    payload.passed("write")
    assert image.read_bytes() == before
    assert payload.stderr().count("read-only") == 1 and "-o ro" in payload.stderr()


@pytest.mark.parametrize("test, options", [("report", [REPORTING]), ("inflate", [REPORTING]), ("ring", [])])
def test_is_no_ram(run, image, test, options):
    """Not to be discarded, whether reported or in the balloon; and nothing for rings."""
    run("pmem", *option(image), *options, test=test, params=params()).passed(test)


def test_shared(run, image):
    """Two guests have one copy; one that may write has it alone."""
    first = run("pmem", *option(image, "ro"), test="write", params=params(answer=1))
    first.paused("written")
    second = run("pmem", *option(image, "ro"), test="place", params=params())
    second.passed("place")
    third = run("pmem", *option(image), test="place", params=params())
    third.ended(2)
    assert "is in use already" in third.stderr() and "FILE,ro to both" in third.stderr()
    fourth = run("pmem", "-d", f"{str(image).replace(',', ',,')}", test="place", params=params())
    fourth.ended(2)
    assert "is in use already" in fourth.stderr()
    first.proceed()
    first.passed("write")


@pytest.mark.parametrize("data, words", [
    (None, ["No such file"]), (b"", ["is empty", "truncate"]), (bytes(4096), ["4096 bytes", "2 MiB", "FILE,ro"]),
    (b"QFI\xfb\0\0\0\3" + bytes(2 * MIB - 8), ["qcow2", "qemu-img convert"])], ids=["none", "empty", "odd", "qcow2"])
def test_mistakes(run, tmp_path, data, words):
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    payload = run("pmem", *option(path), test="place", params=params())
    payload.ended(2)
    assert len(payload.errors) == 1 and str(path) in payload.stderr()
    assert all(word in payload.stderr() for word in words), payload.stderr()


def figures(name):
    done = subprocess.run([EBB, "stat", "--no-refresh", "--json", "-n", name], stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
    (pmem,) = json.loads(done.stdout)["pmem"]
    return pmem


@pytest.mark.parametrize("by", ["reading", "writing"])
def test_density(run, image, by):
    """Eight guests that read all of a file have one copy of it; and, as the control, each its own of what it writes to."""
    guests = [f"dense-{os.getpid()}-{number}" for number in range(8)]
    payloads = [run("pmem", *option(image, "ro"), "--name", name, test="touch", params=params(by=by)) for name in guests]
    for payload in payloads:
        payload.paused("touched")
    found = [figures(name) for name in guests]
    assert [one["rss"] for one in found] == [SIZE] * 8
    assert [one["copied"] for one in found] == [0 if by == "reading" else SIZE] * 8
    shares = sum(one["pss"] for one in found) / SIZE
    assert shares < 1.1 if by == "reading" else shares == 8, found
    for payload in payloads:
        payload.proceed()
        payload.passed("touch")


def test_shorter(run, image):
    """The guest ends with a line, whatever KVM makes of an access to what is gone."""
    payload = run("pmem", *option(image), test="shorter", params=params())
    payload.paused("shorter")
    os.truncate(image, 4096)
    payload.proceed()
    payload.ended(1)
    assert "--pmem" in payload.stderr() and "became shorter" in payload.stderr()
    assert len(payload.errors) == 1, payload.stderr()


def test_changed(run, image):
    """The control: a file that is written to, or grows, is as good as before."""
    payload = run("pmem", *option(image, "ro"), test="write", params=params(answer=1))
    payload.paused("written")
    with open(image, "r+b") as file:
        file.write(b"changed")
        file.truncate(2 * SIZE)
    payload.proceed()
    payload.passed("write")
    assert "became shorter" not in payload.stderr()
