# SPDX-License-Identifier: Apache-2.0
"""Guests whose console is nothing, or a file (exits.c); the host's ends of ports."""

import os
import socket
import subprocess

import pytest
from payload import EBB, NO_NETWORK, PAYLOADS, REPORTING, TIMEOUT, lib, wait_until

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
    assert hello("file=file", cwd=tmp_path).returncode == 0
    assert path.read_text().count("ok hello") == 2


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


def test_size(run, tmp_path, monkeypatch):
    """The control is a serial console, which has none."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))

    def resized(control, text):
        return control.answer(b'{"execute": "x-ebb-console-resize", "arguments": {%s}}' % text)

    run("beat", REPORTING, "--console", "virtio", "--name", "sized").expect("^beat ")
    control = Control(tmp_path / "runtime" / "sized.sock")
    assert b'"return"' in resized(control, b'"columns": 132, "rows": 43')
    assert b"from 0 to 65535" in resized(control, b'"columns": 132, "rows": 65536')
    assert b"from 0 to 65535" in resized(control, b'"columns": -1, "rows": 1')
    assert b"'rows' is missing" in resized(control, b'"columns": 132')
    run("beat", REPORTING, "--name", "serial").expect("^beat ")
    assert b"DeviceNotFound" in resized(Control(tmp_path / "runtime" / "serial.sock"), b'"columns": 132, "rows": 43')


class Control:
    """A program that speaks QMP, and passes sockets."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.answer(b'{"execute": "qmp_capabilities"}')

    def answer(self, command, *fds):
        socket.send_fds(self.socket, [command], fds)
        while b'"event"' in (line := self.lines.readline()):
            pass
        return line

    def attach(self, port, *fds):
        return self.answer(b'{"execute": "x-ebb-console-attach", "arguments": {"port": "%s"}}' % port, *fds)

    def takes(self, port):
        """The socket of one that is there now, or None."""
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT)
        with theirs:
            line = self.attach(port, theirs.fileno())
        if b'"return"' in line:
            return ours
        assert b"GuestBusy" in line and ours.recv(1) == b""
        return None


def test_who_is_at_a_port(run, tmp_path, monkeypatch):
    """One program at a time; it may leave at any moment. The guest (beat.c) has no driver for it."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    run("beat", REPORTING, "--port", "a.0", "--port", "b", "--console", "virtio", "--name", "ports").expect("^beat ")
    control = Control(tmp_path / "runtime" / "ports.sock")
    first, other = control.takes(b"a.0"), control.takes(b"b")
    assert first and other and control.takes(b"a.0") is None
    assert b"DeviceNotFound" in control.attach(b"c", other.fileno())
    assert b"SCM_RIGHTS" in control.attach(b"b")
    # More than is held for the guest: the rest stays where it is, and goes when another program comes.
    first.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            first.send(b"x" * 4096)
    assert control.takes(b"a.0") is None
    first.close()
    wait_until(lambda: control.takes(b"a.0"), "the port is free again")
    # What is no socket is let go.
    other.close()
    with open("/dev/null", "wb") as null:
        wait_until(lambda: b'"return"' in control.attach(b"b", null.fileno()), "the other port is free again")
    wait_until(lambda: control.takes(b"b"), "the port is free of what is no socket")
    # By ebb's own command: one line for a refusal.
    done = subprocess.run([EBB, "console", "ports", "--port", "c"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "without --port c" in done.stderr and done.stderr.count("\n") == 1
