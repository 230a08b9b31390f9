# SPDX-License-Identifier: Apache-2.0
"""ebb console, against guests that play the other side of a port and of a console."""

import fcntl
import json
import os
import pty
import socket
import subprocess
import termios
import threading

import pytest
from conftest import EBB, LIMIT, wait
from fake import Fake


class Port(Fake):
    """Its ebb, which takes the program's socket: `stream`. `closed` counts the connections that clients have closed."""

    stream = None
    closed = 0

    def _talk(self, connection):
        yield self.greeting
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
            except ConnectionResetError:
                data, fds = b"", []
            if fds:
                self.stream = socket.socket(fileno=fds[0])
                self.stream.settimeout(LIMIT)
            if not data:
                self.closed += 1
                return
            for message in map(json.loads, data.splitlines()):
                if message["execute"] != "qmp_capabilities":
                    self.asked.append((message["execute"], message.get("arguments", {})))
                answer = {"return": {}} | ({"id": message["id"]} if "id" in message else {})
                yield json.dumps(answer).encode() + b"\r\n"


def attached(runtime, *words):
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    return subprocess.Popen([EBB, "console", *words], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_both_write_more_than_is_read(runtime):
    """Neither side of a port reads before all of its own is written: nobody waits for ever, and all arrives."""
    guest, much = Port(runtime), 4 << 20
    program = attached(runtime, "ci", "--port", "a")
    typing = threading.Thread(target=lambda: (program.stdin.write(b"p" * much), program.stdin.flush()), daemon=True)
    output = []
    reading = threading.Thread(target=lambda: output.append(program.stdout.read(much)), daemon=True)
    wait(lambda: guest.stream, "the program is attached")
    wait(lambda: guest.closed, "it takes no client's place any more")
    typing.start()
    reading.start()
    guest.stream.sendall(b"g" * much)
    reading.join(LIMIT)
    # What is typed is held up meanwhile, since the guest reads none of it.
    assert output == [b"g" * much] and typing.is_alive() and guest.stream.recv(1, socket.MSG_PEEK)
    left = much
    while left:
        left -= len(guest.stream.recv(min(left, 65536)))
    typing.join(LIMIT)
    assert not typing.is_alive()
    guest.stream.close()
    assert program.wait(LIMIT) == 0
    guest.end()


@pytest.mark.parametrize("role", [b"w", b"r"])
def test_whose_size_it_is(runtime, role):
    """Of the console that has the input, told on a connection of its own each time; never of one that only watches."""
    guest = Port(runtime)
    console = socket.socket(socket.AF_UNIX)
    console.bind(guest.path + ".cons")
    console.listen()
    console.settimeout(LIMIT)
    terminal, program_end = pty.openpty()
    sizes = [(40, 100), (41, 101)]
    termios.tcsetwinsize(terminal, sizes[0])

    def own_terminal():
        os.setsid()
        fcntl.ioctl(program_end, termios.TIOCSCTTY, 0)

    program = subprocess.Popen([EBB, "console", "ci"], env=os.environ | {"EBB_RUNTIME_DIR": runtime}, stdin=program_end, stdout=program_end,
                               stderr=subprocess.PIPE, preexec_fn=own_terminal)
    try:
        stream, _ = console.accept()
        stream.settimeout(LIMIT)
        stream.sendall(role)
        os.write(terminal, b"x")
        assert stream.recv(1) == b"x"
        termios.tcsetwinsize(terminal, sizes[1])
        # Behind the signal of that.
        os.write(terminal, b"y")
        assert stream.recv(1) == b"y"
        if role == b"w":
            wait(lambda: len(guest.asked) == 2, "both sizes were told")
            wait(lambda: guest.closed == 3, "no connection is left")
        stream.close()
        assert program.wait(LIMIT) == 0
    finally:
        program.kill()
        program.wait(LIMIT)
    asked = [("x-ebb-console-resize", {"columns": columns, "rows": rows}) for rows, columns in sizes]
    assert guest.asked == (asked if role == b"w" else [])
    os.close(terminal)
    os.close(program_end)
    console.close()
    guest.end()
