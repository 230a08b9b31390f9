# SPDX-License-Identifier: Apache-2.0
"""Jobs beside each other, as many as there are processors, and what came of each.

A job's output is kept in a file and shown in one piece when the job has ended. Each has a session of its own; whatever a
job leaves running becomes this process's child (PR_SET_CHILD_SUBREAPER), so that nothing outlives us.
"""

import ctypes
import os
import re
import signal
import subprocess
import tempfile
import time

TOTALS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
# What tells of a failure: Check's lines, pytest's, and a program's own.
FAILED = re.compile(r"^\S+:\d+:[FE]:|^_{4,} .* _{4,}$|^E  |^guest \d+ \(|^\S+:\d+: in |^(FAILED|ERROR) |^make.* Error |"
                    r": ended with status ")
WHAT_FAILED = 40  # lines
PR_SET_CHILD_SUBREAPER = 36
LIMIT = 2 * 3600  # seconds, which no job takes


class Job:
    """A command, what must have been done before it, and later its figures.

    `counts` says what is counted: the "totals" that its last line tells, its "status" as one test, or None for one that
    makes what others need. `weight` orders those that could begin: about how many seconds it takes, and those that wait
    for it. One that is `light` does little but wait, and takes no other's place.
    """

    def __init__(self, layer, command, name="", needs=(), weight=30, counts="totals", env=None, light=False):
        self.layer, self.name, self.command, self.needs = layer, name, command, set(needs)
        self.weight, self.counts, self.env, self.light = weight, counts, env or {}, light
        self.passed = self.failed = self.skipped = 0
        self.wall = self.cpu = 0.0
        self.output = ""

    @property
    def title(self):
        return f"{self.layer} {self.name}".rstrip()

    def begin(self):
        self._log = tempfile.TemporaryFile()
        self._start = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
                                        env=os.environ | self.env, start_new_session=True)

    def overdue(self):
        return time.monotonic() - self._start > LIMIT

    def end(self, status, usage):
        """`status` as wait(2) has it."""
        self.wall = time.monotonic() - self._start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._log.seek(0)
        self.output = self._log.read().decode("utf-8", "replace")
        self._log.close()
        self.judge(self.process.returncode)

    def judge(self, status):
        """One that ended badly without a test that failed (it did not build, it was killed) counts as a failure; so does
        one that ran nothing."""
        if self.counts == "status" and status == 0:
            self.passed = 1
        if self.counts == "totals":
            for line in reversed(self.output.splitlines()):
                if match := TOTALS.match(line):
                    self.passed, self.failed, self.skipped = (int(n or 0) for n in match.groups())
                    break
        if self.failed == 0 and (status != 0 or (self.counts and self.passed + self.skipped == 0)):
            self.failed = 1
            self.output += f"{self.title}: ended with status {status} without a test that failed\n"

    def what_failed(self):
        """The lines that tell of it, or its last ones."""
        lines = self.output.splitlines()
        return ([line for line in lines if FAILED.search(line)] or lines)[-WHAT_FAILED:]

    def give_up(self, missing):
        self.failed = 1
        self.output = f"{self.title}: not run, since this failed: {', '.join(sorted(missing))}\n"


def children():
    """Processes whose parent we are, by adoption, too."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


class Pool:
    """Runs jobs; tells each by show(job) when it has ended."""

    def __init__(self, show):
        self.show, self.running = show, {}
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def run(self, jobs, width):
        waiting = sorted(jobs, key=lambda job: -job.weight)
        done, broken = set(), set()
        while waiting or self.running:
            for job in [job for job in waiting if job.needs & broken]:
                waiting.remove(job)
                job.give_up(job.needs & broken)
                broken.add(job.title)
                self.show(job)
            ready = [job for job in waiting if job.needs <= done]
            places = width - sum(not job.light for job in self.running.values())
            for job in [job for job in ready if job.light] + [job for job in ready if not job.light][:places]:
                waiting.remove(job)
                job.begin()
                self.running[job.process.pid] = job
            job = self._next()
            if job:
                (broken if job.failed and not job.counts else done).add(job.title)
                self.show(job)

    def _next(self):
        """Waits a while for the end of a job. Returns it, or None."""
        pid, status, usage = os.wait4(-1, os.WNOHANG) if self.running else (0, 0, None)
        if pid == 0:
            for job in self.running.values():
                if job.overdue():
                    os.killpg(job.process.pid, signal.SIGKILL)
            time.sleep(0.1)
            return None
        job = self.running.pop(pid, None)
        if job:
            job.end(status, usage)
        return job

    def kill(self):
        """Ends what runs, and what that left running: politely at first, so that emulated hosts go with their tests."""
        for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            end = time.monotonic() + patience
            told = set()
            while (left := children()) and time.monotonic() < end:
                for pid in set(left) - told:
                    told.add(pid)
                    try:
                        os.killpg(pid, number) if os.getpgid(pid) == pid else os.kill(pid, number)
                    except ProcessLookupError:
                        pass
                try:
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                except ChildProcessError:
                    pass
                time.sleep(0.05)
