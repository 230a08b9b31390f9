# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario's variants where KVM is, and shows how far they are."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

from figures import MIB, Record, footprint, used
from guests import lib
from scenario import VARIANTS

HERE = os.path.dirname(os.path.abspath(__file__))
# Booting a host and its guests, looking, and a machine that others use too.
SLACK = 120
AGAIN = 124  # the status of an emulated host that came to no end: see tests/host/README.md
# What lies in a counted host's memory besides: what guests are made of; a Debian image, and the disks that they write.
COUNTED_FILES, COUNTED_DISKS = 64 * MIB, 704 * MIB
EVERY = 5.0  # seconds between two lines of one variant, where they stay


@dataclasses.dataclass
class Host:
    """Where the guests run."""

    emulated: bool
    about: str
    counted: int = 0  # it counts instructions, and may take so many seconds of this machine's own


def choose(emulated, counted=0):
    kind = subprocess.run([os.path.join(lib.TREE, "tests", "host", "kvm-kind")], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()
    if counted:
        return Host(True, "which is emulated, and counts instructions: one takes 1 ns", counted)
    if kind == "hardware" and not emulated:
        return Host(False, "a cgroup on this machine's own KVM")
    why = "as --emulated asks" if kind == "hardware" else f"since this machine has no hardware KVM ({kind})"
    return Host(True, f"which is emulated, {why}")


class Progress:
    """A line for each variant that runs: drawn in place on a terminal, else now and then."""

    def __init__(self, scenario, out):
        self.scenario, self.out = scenario, out
        self.tty = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.lines, self.drawn, self.last = {}, 0, {}
        self.lock = threading.Lock()

    def text(self, record):
        when, host, rows = record.samples[-1]
        done = sum(text == "done" for _, _, text in record.marks)
        held, using = sum(map(footprint, rows.values())) / MIB, sum(map(used, rows.values())) / MIB
        filled = min(round(20 * held / (host["total"] / MIB)), 20)
        said = "" if when < self.scenario.limit else "  late"
        return (f"{record.variant:13}{when:6.0f} s  {done}/{len(self.scenario.guests)} jobs done  "
                f"[{'#' * filled}{'.' * (20 - filled)}]  held {held:5.0f} of {host['total'] / MIB:.0f} MiB, "
                f"used {using:5.0f}{said}")

    def sample(self, record):
        with self.lock:
            self.lines[record.variant] = self.text(record)
            if self.tty:
                self.draw()
            elif time.monotonic() - self.last.get(record.variant, 0) >= EVERY:
                self.last[record.variant] = time.monotonic()
                print(self.lines[record.variant], file=self.out, flush=True)

    def say(self, text):
        """A line that stays."""
        with self.lock:
            if self.drawn:
                self.out.write(f"\x1b[{self.drawn}A\x1b[J")
                self.drawn = 0
            print(text, file=self.out, flush=True)
            if self.tty:
                self.draw()

    def end(self, variant, text):
        with self.lock:
            self.lines.pop(variant, None)
        self.say(f"{variant:13}{text}")

    def draw(self):
        width = os.get_terminal_size(self.out.fileno()).columns - 1
        self.out.write((f"\x1b[{self.drawn}A" if self.drawn else "")
                       + "".join(f"\r{line[:width]}\x1b[K\n" for line in self.lines.values()) + "\x1b[J")
        self.out.flush()
        self.drawn = len(self.lines)


class Kept:
    """Records of runs that came to their end, a file for each in the report's folder: all that host.py told, and before
    it what it was of."""

    def __init__(self, folder, scenario, host):
        self.folder = folder
        said = scenario.as_dict()
        # Neither what must hold nor how it is told makes it another run.
        self.of = json.dumps(["of", {name: said[name] for name in ("memory", "swap", "guests", "settle", "interval", "ask")},
                              host.about])

    def path(self, variant):
        return os.path.join(self.folder, f"{variant}.jsonl")

    def forget(self, variant):
        if os.path.exists(self.path(variant)):
            os.unlink(self.path(variant))

    def keep(self, variant, lines):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path(variant) + ".new", "w", encoding="utf-8") as file:
            file.write(self.of + "\n" + "".join(lines))
        os.replace(self.path(variant) + ".new", self.path(variant))

    def find(self, variant):
        """The record; None where there is none, or one of something else."""
        try:
            with open(self.path(variant), encoding="utf-8") as file:
                first, *lines = file.read().splitlines()
        except (OSError, ValueError):
            return None
        if first != self.of:
            return None
        record = Record(variant)
        for line in lines:
            record.take(json.loads(line))
        return record if record.whole else None


class Runner:
    """Variants, some at a time, each on a host of its own where that is emulated."""

    def __init__(self, scenario, host, kept, resume=False):
        self.scenario, self.host, self.kept = scenario, host, kept
        self.records, self.failed = {}, {}
        if resume:
            found = {variant: kept.find(variant) for variant in scenario.variants}
            self.records = {variant: record for variant, record in found.items() if record}
        self.waiting = [variant for variant in scenario.variants if variant not in self.records]
        self.progress = Progress(scenario, sys.stdout)
        self.lock = threading.Lock()
        self.children = set()
        self.stopped = False
        for variant in self.records:
            self.progress.say(f"{variant:13}was run before: its record is kept")

    def argv(self, variant):
        inner = ["/usr/bin/python3", "-I", os.path.join(HERE, "host.py"), variant]
        if not self.host.emulated:
            return [*inner, "--group"]
        limit, memory, count = 3 * (self.scenario.limit + self.scenario.settle) + SLACK, self.scenario.memory, []
        if self.host.counted:
            # All that is read lies in its memory, too. Its seconds are none of ours.
            limit, memory, count = self.host.counted, memory + COUNTED_FILES, ["--count"]
            if any(guest.disk == "debian" for guest in self.scenario.guests):
                memory += COUNTED_DISKS
            inner.append("--counted")
        return [os.path.join(lib.TREE, "tests", "host", "run"), *count, "--memory", str(memory // MIB), "--timeout",
                str(round(limit)), *inner]

    def once(self, variant):
        """Runs it. Returns (record, status, what went wrong in one line)."""
        record, lines = Record(variant), []
        env = os.environ | {"EBB_OVERCOMMIT": json.dumps(self.scenario.as_dict())}
        with tempfile.TemporaryFile("w+") as errors:
            with self.lock:
                if self.stopped:
                    return record, 1, "stopped"
                # Its stdin is a pipe that nobody writes to.
                child = subprocess.Popen(self.argv(variant), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=errors, text=True, env=env, start_new_session=True)
                self.children.add(child)
            with child:
                for line in child.stdout:
                    event = json.loads(line)
                    record.take(event)
                    lines.append(line)
                    if event[0] == "sample":
                        self.progress.sample(record)
                    elif event[0] == "host" and event[1]["note"]:
                        self.progress.say(f"{variant:13}{event[1]['note']}")
            self.children.discard(child)
            errors.seek(0)
            if not child.returncode and record.whole:
                self.kept.keep(variant, lines)
            said = [line for line in errors.read().splitlines() if line.strip()]
        return record, child.returncode, said[-1] if said else f"status {child.returncode}"

    def one(self, variant):
        self.kept.forget(variant)
        record, status, why = self.once(variant)
        if status == AGAIN and self.host.emulated and not self.stopped:
            self.progress.end(variant, "its host came to no end: once more, on another")
            record, status, why = self.once(variant)
        self.records[variant] = record
        if status or not record.whole:
            self.failed[variant] = why
            self.progress.end(variant, f"FAILED: {why}")
            return
        bad = sum(text not in ("starts", "begins", "done") and not text.startswith("phase ")
                  for _, _, text in record.marks)
        self.progress.end(variant, f"{record.ended:6.0f} s  {VARIANTS[variant]}: "
                          + ("all jobs done" if not bad else f"{bad} guests or jobs went wrong"))

    def work(self):
        while True:
            with self.lock:
                if self.stopped or not self.waiting:
                    return
                variant = self.waiting.pop(0)
            try:
                self.one(variant)
            except Exception as error:  # whatever it is: a thread must not end unnoticed
                self.failed[variant] = repr(error)
                self.progress.end(variant, f"FAILED: {error!r}")

    def run(self, at_a_time):
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(at_a_time)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            with self.lock:
                self.stopped = True
            # Told once, each ends its guests, or its host, and then itself.
            for child in list(self.children):
                child.terminate()
            for child in list(self.children):
                child.wait()
            raise


def run(scenario, host, jobs, folder, resume=False):
    """Returns ({variant: record}, {variant: why it did not get to its end})."""
    if host.emulated:
        # Prepared once, not by each of those that start together.
        subprocess.run([os.path.join(lib.TREE, "tests", "host", "run"), *(["--count"] if host.counted else []), "--prepare"],
                       check=True)
    runner = Runner(scenario, host, Kept(folder, scenario, host), resume)
    # On one machine's memory variants would be in each other's way.
    runner.run(min(jobs, len(runner.waiting)) if host.emulated else 1)
    # In the scenario's order, not in that of their ends: the first is what others are drawn in parts of.
    return {name: runner.records[name] for name in scenario.variants if name in runner.records}, runner.failed
