# SPDX-License-Identifier: Apache-2.0
"""Emulated hosts, some at a time, each with its part of a benchmark; and what benchmarks say of themselves."""

import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("EBB_BUILD", os.path.join(TREE, "build"))
GUEST = os.path.join(BUILD, "guest")
EBB = os.path.join(BUILD, "ebb")
INITRAMFS = os.path.join(GUEST, "initramfs.cpio")
KERNELS = {"patched": os.path.join(GUEST, "vmlinux"),
           **{name: os.path.join(GUEST, name, "vmlinux") for name in ("stock", "noreporting")}}
LIMIT = 3600


def there(script, *arguments, count=True, memory=2048, options=()):
    """The command line that runs a measuring half of this folder on an emulated host."""
    return [os.path.join(TREE, "tests", "host", "run"), *(["--count"] if count else []), "--memory", str(memory),
            "--timeout", str(LIMIT), *options, "/usr/bin/python3", "-I", os.path.join(HERE, script),
            *(str(argument) for argument in arguments)]


def qemu_args(*words):
    return [part for word in words for part in ("--qemu-arg", word)]


def stop(number, _frame):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def stop_when_asked():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


class Hosts:
    """What a job is, its class says: a tuple of words. What went wrong is in `failed`, by job."""

    def __init__(self, jobs):
        self.jobs, self.total = list(jobs), len(jobs)
        self.failed = {}
        self.lock = threading.Lock()
        self.children = set()
        self.stopped = False
        self.started = time.monotonic()

    def argv(self, job):
        """The command line that measures."""
        raise NotImplementedError

    def take(self, job, event):
        """A line that it said, but for ["doing", TEXT]."""
        raise NotImplementedError

    def is_complete(self, job):
        """Whether it has said all."""
        raise NotImplementedError

    def print(self, text):
        with self.lock:
            print(f"  {time.monotonic() - self.started:5.0f} s  {text}", flush=True)

    def run_one(self, job):
        name = ", ".join(str(word) for word in job)
        with tempfile.TemporaryFile("w+") as errors:
            with self.lock:
                if self.stopped:
                    return
                # The host's stdin stays open until the end: a pipe that nobody writes to.
                child = subprocess.Popen(self.argv(job), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=errors, text=True)
                self.children.add(child)
            with child:
                for line in child.stdout:
                    event = json.loads(line)
                    if event[0] == "doing":
                        self.print(f"{name}: {event[1]}")
                    else:
                        self.take(job, event)
            self.children.discard(child)
            errors.seek(0)
            said = errors.read()
        if child.returncode or not self.is_complete(job):
            self.failed[job] = f"status {child.returncode}\n{said}"
            self.print(f"{name}: FAILED with {self.failed[job].rstrip()}")
        else:
            self.print(f"{name}: done, {self.total - len(self.jobs)} of {self.total} were begun")

    def work(self):
        while not self.stopped:
            with self.lock:
                if not self.jobs:
                    return
                job = self.jobs.pop(0)
            try:
                self.run_one(job)
            except Exception as error:  # whatever it is: a thread must not end unnoticed
                self.failed[job] = repr(error)
                self.print(f"{job}: FAILED with {error!r}")

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
            for child in list(self.children):
                child.terminate()
            for child in list(self.children):
                child.wait()
            raise

    def say_failed(self, bench):
        """Returns whether any has failed, having said so."""
        if self.failed:
            names = sorted(" ".join(str(word) for word in job) for job in self.failed)
            print(f"{bench}: FAILED: {', '.join(names)}: see above", file=sys.stderr)
        return bool(self.failed)


# --- What is printed ----------------------------------------------------------------------------------------------


def git(*words):
    return subprocess.run(["git", "-C", TREE, *words], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


COUNTED = "tests/host/run --count (1 instruction = 1 ns)"
TO_LOOK_AT = "--quick, on this machine's clock: figures to look at, not to quote"


def head(what, versions, command, how=COUNTED):
    """The first lines of a table: `versions` as a measuring half told them."""
    beside = f" and QEMU {versions['qemu']}" if "qemu" in versions else ""
    return [f"{what}: ebb {git('describe', '--always', '--dirty', '--exclude=*')}{beside}, {datetime.date.today()}",
            f"{command}: {how}, host Linux {versions.get('host', '?')}"]


def columns(lines):
    """Lines of cells, the first of each to the left."""
    widths = [max(len(line[i]) for line in lines if i < len(line)) for i in range(max(len(line) for line in lines))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def keep(text, path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
