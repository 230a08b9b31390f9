# SPDX-License-Identifier: Apache-2.0
"""The kernels of the demo's guests, built beside the demo where they are missing."""

import os
import re
import select
import signal
import subprocess
import tempfile

END = 300.0  # seconds that a build is given to remove what it made; at its priority that can take long


class Kernels:
    """
    A command that makes one kernel after the other and says so as guest/build does. It runs at the lowest priority,
    in a session of its own, until stop().
    """

    def __init__(self, command):
        self.log = tempfile.TemporaryFile("w+")
        # Nothing is written to its standard output; that ends when the last process of the group has ended.
        self.process = subprocess.Popen(["nice", "-n", "19"] + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, start_new_session=True)
        self.share(19)

    def share(self, nice):
        """Sets the niceness of its session, without which its processes' own has no effect on those of others."""
        try:
            with open(f"/proc/{self.process.pid}/autogroup", "w", encoding="ascii") as autogroup:
                autogroup.write(str(nice))
        except OSError:  # it has ended, or the kernel has no such thing
            pass

    def lines(self):
        # Not by seek(): the place in the file is the writer's, too.
        return os.pread(self.log.fileno(), 1 << 20, 0).decode("utf-8", "replace").splitlines()

    def state(self, name):
        """Returns "there", "building" or "failed", or None while that is not known yet."""
        ended = self.process.poll() is not None  # before its last words are read
        lines = self.lines()
        if any(line.startswith(f"guest: {name} kernel: ") for line in lines):
            return "there"
        if ended:
            return "failed"
        # A kernel in the cache needs no word but that it is there.
        return "building" if lines and not re.match(r"guest: \w+ kernel: ", lines[-1]) else None

    def settle(self, name):
        """Waits until its state is known. Returns that."""
        while (state := self.state(name)) is None:
            self._wait(0.1)
        return state

    def wait(self, name, tick):
        """Waits until the kernel is there; calls tick() every second. Returns False when it cannot be built."""
        while (state := self.settle(name)) == "building":
            self._wait(1.0)
            tick()
        return state == "there"

    def _wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def progress(self):
        """Returns how far the build is, in a few words; nothing when there is none."""
        lines = self.lines()
        if self.process.poll() is not None or not lines:
            return ""
        return lines[-1].removeprefix("guest: ").removeprefix("kernel: ").split(";")[0]

    def failure(self):
        """Returns the end of what a failed command said, or None when it has not failed."""
        return "\n".join(self.lines()[-20:]) if self.process.poll() else None

    def stop(self):
        """Ends the command and all that it started; returns when the last of them has closed its files."""
        self.share(0)  # what is left to do is to be quick
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            if select.select([self.process.stdout], [], [], END)[0]:
                break
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
