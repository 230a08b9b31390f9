# SPDX-License-Identifier: Apache-2.0
"""A client of a guest's control socket: ebb's and QEMU's speak the same protocol."""

import json
import socket


class QmpError(Exception):
    """The guest refused, or did not answer in time."""


class Qmp:
    """One connection. It opens when it is first needed: a VMM that starts has no socket yet."""

    def __init__(self, path, timeout=3.0):
        self.path, self.timeout = path, timeout
        self.stream = None

    def _open(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self.path)
            self.stream = sock.makefile("rwb")
            sock.close()  # the stream has it
            self.stream.readline()
            self._run("qmp_capabilities", {})
        except (OSError, QmpError):
            self.close()
            sock.close()
            raise

    def _run(self, command, arguments):
        message = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        self.stream.write(json.dumps(message).encode() + b"\n")
        self.stream.flush()
        while line := self.stream.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
        raise QmpError(f"{command}: no answer")

    def run(self, command, **arguments):
        """The command's answer. After a failure of the connection the next call makes a new one."""
        try:
            if not self.stream:
                self._open()
            return self._run(command, {name.replace("_", "-"): value for name, value in arguments.items()})
        except (OSError, ValueError) as error:
            self.close()
            raise QmpError(f"{command}: {error}") from error

    def close(self):
        stream, self.stream = self.stream, None
        try:
            if stream:
                stream.close()
        except OSError:
            pass
