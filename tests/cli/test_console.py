# SPDX-License-Identifier: Apache-2.0
"""ebb console, against guests that play the other side of a port and of a console."""

import json
import os
import socket
import subprocess
import threading

from conftest import EBB, LIMIT, wait
from fake import Fake


class Port(Fake):
    """Its ebb, which takes the program's socket: `stream`. `closed` counts the connections that clients have closed."""

    stream = None
    closed = 0

    def _talk(self, connection):
        yield self.greeting
        while True:
            data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
            if fds:
                self.stream = socket.socket(fileno=fds[0])
                self.stream.settimeout(LIMIT)
            if not data:
                self.closed += 1
                return
            for message in map(json.loads, data.splitlines()):
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
