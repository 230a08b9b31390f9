# SPDX-License-Identifier: Apache-2.0
"""Asks guests for the memory that they do not use, again and again, as a user's script would: by `ebb reclaim`."""

import os
import subprocess
import time

from guests import lib

LIMIT = 10  # seconds that a guest has to be ready in
LATE = 3  # ebb's status when it was not


class Asker:
    """All guests in turn; none is waited for, nor asked again before it has answered."""

    def __init__(self, folder, ask, clock=time.monotonic):
        self.folder, self.every, self.options, self.clock = folder, ask.every, ask.options.split(), clock
        self.due, self.running = {}, {}
        self.found = {"times": 0, "late": 0, "failed": 0, "why": ""}

    def argv(self, name):
        return [lib.EBB, "reclaim", "-n", name, *self.options, "--timeout", str(LIMIT)]

    def ask(self, machines):
        """To be called now and then, with the guests that run; those that are due are asked."""
        self.hear()
        for name in (machine.spec.name for machine in machines):
            if name not in self.due:
                self.due[name] = self.clock() + self.every
            elif name not in self.running and self.clock() >= self.due[name]:
                self.due[name] = self.clock() + self.every
                self.running[name] = subprocess.Popen(
                    self.argv(name), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                    stdin=subprocess.DEVNULL, env=os.environ | {"EBB_RUNTIME_DIR": self.folder})
                self.found["times"] += 1

    def hear(self):
        """Takes the answers that are there."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self.take(name)

    def take(self, name):
        process = self.running.pop(name)
        said = process.communicate()[1].strip()
        if process.returncode == LATE:
            self.found["late"] += 1
        elif process.returncode:
            self.found["failed"] += 1
            self.found["why"] = said.splitlines()[-1] if said else f"status {process.returncode}"

    def end(self):
        """Waits for those that were asked last. Returns what came of all."""
        for name, process in list(self.running.items()):
            process.wait(3 * LIMIT)
            self.take(name)
        return self.found
