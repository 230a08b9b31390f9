# SPDX-License-Identifier: Apache-2.0
"""ebb keeper, with guests that are idle and full of cache, on a host that runs short."""

import json
import mmap
import os
import signal
import subprocess
import time

import pytest
from conftest import LIMIT, host_memory, lib, wait_until

pytestmark = pytest.mark.linux

MIB = lib.MIB
CACHE = 256 * MIB
# An eighth of the host's memory is its low mark: so much is available once the hog has the rest.
SHORT = host_memory() // 8 - 64 * MIB


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


class Hog:
    """A program that takes the host's memory."""

    def __init__(self):
        self.pieces = []

    def take(self, left):
        """Until only so many bytes are available. The host may not populate a mapping, and says nothing of that."""
        for _ in range(available() // (4 * MIB)):
            if available() <= left:
                return
            self.pieces.append(mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
        raise AssertionError("the host does not give what a hog asks for")

    def end(self):
        for piece in self.pieces:
            piece.close()


@pytest.fixture
def guests(ebb, tmp_path):
    """Two, each with a disk in its page cache, and then idle."""
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(CACHE)
    # A disk that nobody has open any more is not cached either.
    job = "exec 3</dev/vda; cat /dev/vda >/dev/null; echo ready; read line; echo alive 1; read line; echo alive 2; sleep 100000"
    started = [ebb.start(job, "-d", f"{disk},ro", "--name", name, memory="512M") for name in ("one", "two")]
    for guest in started:
        guest.wait_for("^ready$", LIMIT)
    return started


@pytest.fixture
def keeper(ebb, tmp_path):
    processes = []

    def start():
        log = open(tmp_path / f"keeper{len(processes)}", "wb")
        processes.append(subprocess.Popen([lib.EBB, "keeper"], env=ebb.env, stderr=log, stdin=subprocess.DEVNULL))
        log.close()

        def says(text):
            with open(log.name, encoding="utf-8") as file:
                return text in file.read()

        return processes[-1], says

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT)


def swapped(guest):
    with open(f"/proc/{guest.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmSwap:"))


def held(guests):
    """Also what the host, short as it is, has put into its swap: nobody has given that back."""
    return sum(guest.rss() + swapped(guest) for guest in guests)


def command(box, *words):
    done = subprocess.run([lib.EBB, *words, "--json"], env=box.env, stdout=subprocess.PIPE, check=True, timeout=LIMIT)
    return json.loads(done.stdout)


def cached(box):
    """Bytes of page cache, of each guest."""
    return [guest["guest-stats"]["stats"]["stat-disk-caches"] for guest in command(box, "stat", "-a")]


def in_flight(box):
    """Requests that guests have not answered."""
    counts = [guest["reclaim"] for guest in command(box, "stat", "-a", "--no-refresh")]
    return sum(count["requests"] - count["answered"] - count["timeouts"] for count in counts)


def test_a_short_host_gets_memory_from_idle_guests(ebb, guests, keeper):
    hog = Hog()
    try:
        hog.take(SHORT)
        # The control: guests keep their caches, however short the host is.
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert min(cached(ebb)) >= CACHE and held(guests) > 2 * CACHE
            time.sleep(0.2)

        # One that is killed half-way leaves guests that go on as without it.
        process, says = keeper()
        wait_until(lambda: says(": asked to drop page cache"), "the keeper asks a guest")
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT)
        for guest in guests:
            guest.send("\n")
            guest.wait_for("^alive 1$", LIMIT)
        wait_until(lambda: in_flight(ebb) == 0, "no request is left")

        # Another one goes on where it was.
        left, kept = held(guests), sum(cached(ebb))
        hog.take(SHORT)
        process, says = keeper()
        wait_until(lambda: held(guests) < left - 64 * MIB, "the keeper gets memory")
        assert sum(cached(ebb)) < kept - 48 * MIB
        status = command(ebb, "keeper", "status")
        assert sum(guest["came"] for guest in status["guests"]) > 0
        assert sorted(guest["name"] for guest in status["guests"]) == ["one", "two"]
    finally:
        hog.end()
    # With its memory back the host asks no more, and guests still work.
    wait_until(lambda: says("the host has enough memory again"), "the host has enough")
    for guest in guests:
        guest.send("\n")
        guest.wait_for("^alive 2$", LIMIT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    assert not [name for name in os.listdir(ebb.runtime) if name.startswith("keeper")]


def test_what_was_lent_comes_back(ebb, keeper, tmp_path):
    """A guest that cannot be asked lends its balloon; the keeper is killed, and nobody renews the lease."""
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(CACHE)
    job = "exec 3</dev/vda; cat /dev/vda >/dev/null; echo ready; read line; echo alive; sleep 100000"
    lender = ebb.start(job, "-d", f"{disk},ro", "--free-page-reporting=off", "--deflate-on-oom", "--name", "lender", memory="512M")
    # The control: a balloon that was set without a lease.
    control = ebb.start("echo ready; sleep 100000", "--free-page-reporting=off", "--deflate-on-oom", "--name", "control", memory="128M")
    for guest in (lender, control):
        guest.wait_for("^ready$", LIMIT)
    subprocess.run([lib.EBB, "balloon", "-n", "control", "--target", "32M", f"--wait={int(LIMIT)}"], env=ebb.env, check=True, timeout=LIMIT + 10,
                   stdout=subprocess.DEVNULL)

    def balloon(name):
        return command(ebb, "stat", "-n", name, "--no-refresh")["balloon"]

    before = held([lender])
    assert before > CACHE
    # The live screen sees the same, by the guests' own statistics, too.
    shown = {guest["name"]: guest for guest in command(ebb, "top")["guests"]}
    assert sorted(shown) == ["control", "lender"] and shown["control"]["balloon"] == 32 * MIB
    assert abs(shown["lender"]["held"] - before) < 16 * MIB and CACHE < shown["lender"]["used"] < 512 * MIB
    assert all(guest["cpu-percent"] >= 0 and guest["reported-per-second"] == 0 for guest in shown.values() if "reported-per-second" in guest)
    hog = Hog()
    try:
        hog.take(SHORT)
        process, says = keeper()
        wait_until(lambda: says('"lender": asked to lend memory by its balloon'), "the keeper asks")
        wait_until(lambda: balloon("lender")["actual"] >= 64 * MIB, "the balloon is full")
        # The host has it.
        wait_until(lambda: held([lender]) < before - 48 * MIB, "memory came")
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT)
        assert balloon("lender")["leased"] >= 64 * MIB
        wait_until(lambda: (lambda now: now["leased"] == now["target"] == now["actual"] == 0)(balloon("lender")), "all came back")
        assert balloon("control")["actual"] == balloon("control")["target"] == 32 * MIB
    finally:
        hog.end()
    lender.send("\n")
    lender.wait_for("^alive$", LIMIT)
