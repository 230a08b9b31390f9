# SPDX-License-Identifier: Apache-2.0
"""Guests whose console is nothing, or a file (exits.c)."""

import os
import subprocess

import pytest
from payload import EBB, NO_NETWORK, PAYLOADS, TIMEOUT, lib

FULL = 1 << 20


def hello(console, **popen):
    """A guest that says "ok hello" on its serial port, and powers off."""
    argv = [EBB, "run", "--console", console, *NO_NETWORK, "-k", os.path.join(PAYLOADS, "exits.elf"), "-m", "64M", "-p", "acpi=off test=hello"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False, **popen)
    done.stderr = lib.own_words(done.stderr)
    return done


def test_where_output_goes(tmp_path):
    """The first is the control."""
    path = tmp_path / "a, file"
    for console, said in ("serial", True), ("none", False), (f"file={path}", False):
        done = hello(console, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr, "ok hello" in done.stdout) == (0, "", said), console
        assert said or done.stdout == ""
    assert path.stat().st_mode & 0o777 == 0o600 and "ok hello" in path.read_text()


def test_input_is_left_alone(tmp_path):
    """What is typed meanwhile is the next program's."""
    for console in "none", f"file={tmp_path}/file":
        reader, writer = os.pipe()
        os.write(writer, b"typed")
        assert hello(console, stdin=reader).returncode == 0
        os.close(writer)
        assert os.read(reader, 100) == b"typed"
        os.close(reader)


def test_a_file_is_bounded(tmp_path):
    """One that is full becomes FILE.1; one that is not is added to."""
    path, turned = tmp_path / "file", tmp_path / "file.1"
    path.write_bytes(b"x" * (FULL - 1))
    assert hello("file=file", cwd=tmp_path).returncode == 0
    assert turned.read_bytes().startswith(b"x" * (FULL - 1)) and turned.stat().st_size <= FULL
    assert "ok hello" in path.read_text() and path.stat().st_size < FULL
    size = path.stat().st_size
    assert hello("file=file", cwd=tmp_path).returncode == 0
    assert path.stat().st_size == 2 * size


@pytest.mark.parametrize("console, words", [("file=/nowhere/file", ["'/nowhere/file'", "exists"]), ("file=/dev/null", ["not a regular file"]),
                                            ("file=", ["is empty"]), ("hvc", ["unknown console", "virtio", "file=FILE"])])
def test_mistakes(console, words):
    done = hello(console)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert all(word in done.stderr for word in words), done.stderr


def test_a_detached_guest_has_its_log(tmp_path):
    argv = [EBB, "run", "--detach", "--console", f"file={tmp_path}/file", *NO_NETWORK, "-k", os.path.join(PAYLOADS, "exits.elf")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "--log" in done.stderr and done.stderr.count("\n") == 1
