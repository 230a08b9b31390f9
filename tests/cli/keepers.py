# SPDX-License-Identifier: Apache-2.0
"""What the keeper's tests share: a host as short as a test wants, a keeper on it, and guests of all kinds."""

import copy
import json
import os
import signal
import socket
import subprocess

from conftest import EBB, LIMIT, wait
from fake import MIB, RECLAIM, Refusal, Silence

SHORT = os.path.join(os.path.dirname(EBB), "tests", "short")
# What a guest has, of 1 GiB: all is resident, 300 MiB are free, 200 are caches.
STATS = {"stat-free-memory": 300 * MIB, "stat-total-memory": 1000 * MIB, "stat-available-memory": 600 * MIB,
         "stat-disk-caches": 200 * MIB, "stat-minor-faults": 1, "stat-major-faults": 1, "stat-swap-in": 0, "stat-oom-kills": 0}


def full(fake, name, **changes):
    """A guest that holds all of its memory, and gives back what it is asked for."""
    guest = fake(name)
    guest.stat["memory"]["rss"] = 1024 * MIB
    del guest.stat["memory"]["own"]
    guest.stat["balloon"]["actual"] = guest.stat["balloon"]["target"] = 0
    guest.stat["guest-stats"]["stats"] = STATS | changes
    guest.given = 0

    def give(arguments):
        before = guest.stat["memory"]["rss"]
        guest.stat["memory"]["rss"] = before - (300 * MIB if not guest.given else 0) - arguments["cache"]
        guest.stat["guest-stats"]["stats"]["stat-disk-caches"] -= arguments["cache"]
        guest.given += before - guest.stat["memory"]["rss"]
        return copy.deepcopy(RECLAIM) | {"rss-before": before, "rss-after": guest.stat["memory"]["rss"]}

    guest.hooks["x-ebb-reclaim"] = give
    return guest


def requests(guest):
    return [arguments for command, arguments in guest.asked if command == "x-ebb-reclaim"]


class Host:
    """What /proc says of it: 8 GiB, of which so much is available; it is short below one."""

    def __init__(self, folder):
        self.folder = str(folder)
        os.mkdir(folder / "self")
        self.available(8000)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # In place, since the keeper keeps it open, and by one call, with no end of a longer text left.
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, text.ljust(512, "\n").encode())
        os.close(file)

    def available(self, mib):
        self.write("meminfo", f"MemTotal:     {8 << 20} kB\nMemFree: 1 kB\nMemAvailable:   {mib << 10} kB\n")


class Trigger:
    """A descriptor that becomes urgent (POLLPRI), as PSI's does: a connection with a byte out of band."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.writer = socket.create_connection(server.getsockname())
            self.reader, _ = server.accept()
        self.fd = self.reader.fileno()

    def pull(self):
        self.writer.send(b"!", socket.MSG_OOB)

    def let_go(self):
        self.reader.recv(1, socket.MSG_OOB)

    def close(self):
        self.writer.close()
        self.reader.close()


class Keeper:
    def __init__(self, host, env, *words, wrapper=(), trigger=None):
        self.path = os.path.join(host.folder, "log")
        self.env = os.environ | env | {"EBB_TEST_HOST": host.folder}
        here = self.env | ({"EBB_TEST_TRIGGER": str(trigger.fd)} if trigger else {})
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen([*wrapper, SHORT, "keeper", *words], env=here, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log, pass_fds=[trigger.fd] if trigger else [])
        self.until("looking after the guests")

    def log(self):
        with open(self.path, encoding="utf-8") as log:
            return log.read()

    def until(self, text):
        wait(lambda: text in self.log() or self.process.poll() is not None, f"no {text!r} in {self.log()}")
        assert text in self.log()

    def status(self):
        done = subprocess.run([SHORT, "keeper", "status", "--json"], env=self.env, stdout=subprocess.PIPE,
                              timeout=LIMIT, check=True)
        return json.loads(done.stdout)

    def guests(self):
        return {guest["name"]: guest for guest in self.status()["guests"]}

    def looked_at(self, name):
        wait(lambda: self.guests().get(name, {}).get("state", "new") != "new", f"the keeper looks at {name}")

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)


def last(kept, name="a"):
    return kept.guests()[name]["last"] or {}


def tell(guest, **figures):
    guest.stat["guest-stats"]["stats"] |= {name.replace("_", "-"): value for name, value in figures.items()}


def leases(guest):
    return [arguments for command, arguments in guest.asked if command == "x-ebb-balloon"]


def stock(fake, name, deflates=True):
    """A guest with --deflate-on-oom whose kernel cannot be asked. It needs 424 MiB: of 600, half of what is beyond four times
    64 can be lent."""
    guest = full(fake, name)
    guest.stat["reclaim"]["negotiated"] = False
    guest.stat["balloon"] |= {"deflate-on-oom": True, "deflates": deflates}
    return guest


def aged(fake, name, minute, hour):
    """A guest that holds nothing free, and of whose caches so many MiB were not used for a minute, for an hour."""
    guest = full(fake, name, **{"stat-ebb-file-10s": minute * MIB, "stat-ebb-file-1min": minute * MIB, "stat-ebb-file-10min": hour * MIB,
                                "stat-ebb-file-1h": hour * MIB, "stat-ebb-refault-file": 0})
    guest.given = 1
    guest.stat["memory"]["rss"] = 724 * MIB
    return guest


def bad(fake, kind):
    """Each holds more than the good one, and comes first."""
    guest = full(fake, "bad", **{"stat-free-memory": 600 * MIB})

    def silent(_arguments):
        raise Silence

    def refuse(_arguments):
        raise Refusal("the guest did not answer within 7.0 s", "GuestTimeout")

    if kind == "mute ebb":
        guest.hooks["x-ebb-stat"] = silent
    elif kind == "mute guest":
        guest.hooks["x-ebb-reclaim"] = refuse
    elif kind == "never answers":
        guest.hooks["x-ebb-reclaim"] = silent
    elif kind == "liar":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: copy.deepcopy(RECLAIM) | {"rss-before": 1024 * MIB,
                                                                                    "rss-after": 1024 * MIB}
    elif kind == "garbage":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: ["\x1b[2J"]
    elif kind == "wrong figures":
        guest.stat["memory"]["rss"] = -1
    elif kind == "vanishes":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: guest.end(leave=True) or RECLAIM
    elif kind == "no statistics":
        guest.stat["guest-stats"] = None
        guest.hooks["x-ebb-stats-request"] = refuse
    elif kind == "stock kernel":
        guest.stat["reclaim"]["negotiated"] = False
    elif kind == "paused":
        guest.stat["status"] = "paused"
    return guest
