# SPDX-License-Identifier: Apache-2.0
"""A keeper (`ebb keeper`) beside a variant's guests, with a folder of its own: it knows of no others."""

import json
import os
import signal
import subprocess

from guests import lib

LIMIT = 30  # seconds for a command, on a machine however busy


class Keeper:
    """It runs from here on, before there are guests, in the memory and the cgroup that they are in."""

    def __init__(self, folder):
        self.env = os.environ | {"EBB_RUNTIME_DIR": folder}
        path = os.path.join(folder, "keeper.log")
        with open(path, "wb") as log:
            self.process = subprocess.Popen([lib.EBB, "keeper"], env=self.env, stderr=log, stdin=subprocess.DEVNULL)
        self.log = open(path, encoding="utf-8", errors="replace")
        self.rest = ""

    def lines(self):
        """Those that it has said since, without the name that each begins with."""
        *whole, self.rest = (self.rest + self.log.read()).split("\n")
        return [line.removeprefix("ebb: ") for line in whole]

    def came_of_it(self):
        """What it asked all guests for that are there, and what they gave; nothing if it does not answer."""
        done = subprocess.run([lib.EBB, "keeper", "status", "--json"], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=LIMIT, check=False)
        guests = json.loads(done.stdout)["guests"] if done.returncode == 0 else []
        return {name: sum(guest[key] for guest in guests) for name, key in (("requests", "requests"), ("came", "came"),
                                                                            ("lent", "lent"))}

    def end(self):
        """Has it end, and ends it if it hangs. Returns what came of it all, and its status, or that it hung."""
        found = self.came_of_it()
        self.process.send_signal(signal.SIGTERM)
        try:
            return found | {"status": self.process.wait(LIMIT)}
        except subprocess.TimeoutExpired:
            self.process.kill()
            return found | {"status": f"none: it hung, and was killed after {LIMIT} seconds"}

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
