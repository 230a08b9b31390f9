# SPDX-License-Identifier: Apache-2.0
"""A payload under ebb, as its test sees it.

A payload's tests say "ok NAME" or "FAIL NAME: why"; "wait WHAT" asks us to look at something and
then to send a byte.
"""

import atexit
import fcntl
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import guest as lib  # noqa: E402

EBB = os.environ.get("EBB", lib.EBB)


def for_all(folder):
    """The folder, or a copy of it where another user could not reach it, as in root's home."""
    if all(os.stat(above).st_mode & 1 for above in pathlib.Path(folder).resolve().parents):
        return folder
    copy = tempfile.TemporaryDirectory(dir="/tmp")
    atexit.register(copy.cleanup)
    os.chmod(copy.name, 0o755)
    return shutil.copytree(folder, copy.name, dirs_exist_ok=True)


PAYLOADS = for_all(os.path.join(lib.BUILD, "tests", "payload"))
TIMEOUT = float(os.environ.get("EBB_TIMEOUT", "60"))

REPORTING = "--free-page-reporting"
DEFAULT = "--balloon"
BALLOON = "--free-page-reporting=off"
NO_BALLOON = "--no-balloon"
NO_NETWORK = ["-n", "none"]


def wait_until(condition, otherwise):
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise lib.GuestError(otherwise)
        time.sleep(0.02)


class FullPipe:
    """A pipe that takes no more, until it is read. Its other users' descriptors stay blocking."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, 1031, 4096)  # F_SETPIPE_SZ
        os.set_blocking(self.writer, False)
        self.dots = 0
        self.permitted = None  # True or False: whether namespaces are, where that is another thing than on this host
        try:
            while True:
                self.dots += os.write(self.writer, b".")
        except BlockingIOError:
            os.set_blocking(self.writer, True)

    def start_reading(self):
        self.said = b""
        os.close(self.writer)
        self.thread = threading.Thread(target=self.read_all, daemon=True)
        self.thread.start()

    def read_all(self):
        with os.fdopen(self.reader, "rb") as file:
            self.said = file.read()

    def read(self):
        """All that came after what it was filled with, until its writers are gone."""
        self.thread.join(TIMEOUT)
        return lib.own_words(self.said[self.dots:].decode(), self.permitted)


class Payload(lib.Guest):
    """One run of one payload, without a balloon or a network where the options name none."""

    def __init__(self, name, *options, test=None, memory="64M", params="", ebb=EBB, wrapper=(), **popen):
        argv = [*wrapper, ebb, "run", "-k", os.path.join(PAYLOADS, name + ".elf"), "-m", memory]
        params = f"acpi=off {params}".rstrip()  # a payload finds its device on the command line
        if not {BALLOON, DEFAULT, REPORTING, "--nodefaults"} & set(options):
            argv.append(NO_BALLOON)
        if not {"-n", "--nodefaults"} & set(options):
            argv += NO_NETWORK
        if test:
            params += f" test={test}"
        super().__init__(argv + ["-p", params, *options], **popen)
        self.heard = 0  # lines of the console

    def expect(self, pattern):
        """Waits for the next console line like this. Returns the match. A FAIL comes first."""
        at, match = self.wait_for(f"(?:{pattern})|^FAIL ", TIMEOUT, self.heard)
        self.heard = at + 1
        assert not self.lines[at][1].startswith("FAIL "), self.lines[at][1]
        return match

    def paused(self, what):
        """Waits until the guest waits for us."""
        self.expect(f"^wait {re.escape(what)}$")

    def proceed(self):
        self.send("\n")

    def ended(self, status=0):
        """Waits for the end, and for ebb's exit status."""
        got = self.wait(TIMEOUT)
        assert got == status, f"status {got}\n{self.console()}\n{self.stderr()}"

    def passed(self, *names):
        """Waits for the end: these tests and no others were run, and are ok."""
        self.ended()
        said = [text for _, text in self.lines if re.match(r"(ok|FAIL) ", text)]
        assert said == [f"ok {name}" for name in names], self.console() + self.stderr()

    def vcpu_task(self, index=0):
        """The folder in /proc of the vCPU's thread; None before the guest runs."""
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/comm", encoding="ascii") as comm:
                if comm.read().strip() == f"vcpu{index}":
                    return f"/proc/{self.pid}/task/{task}"
        return None

    def look(self, path):
        """A file of /proc that the kernel shows only to those who may look into ebb, which is root alone."""
        try:
            with open(path, encoding="ascii") as file:
                return file.read()
        except PermissionError:
            pytest.skip("only root may look into ebb, which is closed to others of its user")

    def vcpu_file(self, name, index=0):
        """A file of /proc about the vCPU's thread."""
        wait_until(lambda: self.vcpu_task(index), f"there is no thread vcpu{index}")
        return self.look(f"{self.vcpu_task(index)}/{name}")

    def vcpu_writes(self, index=0):
        """How many times the vCPU's thread has called write(2) or its like."""
        return int(re.search(r"^syscw: (\d+)$", self.vcpu_file("io", index), re.M).group(1))

    def waits_for_output(self):
        """Waits until a vCPU waits for standard output to take more."""
        wait_until(self.is_waiting_for_output, "no vCPU waits for standard output")

    def is_waiting_for_output(self):
        """Whether a loop of ebb's watches for room (EPOLLOUT): main does in place of the vCPU, and for nothing else here."""
        for fd in self.descriptors():
            try:
                if re.search(r"^tfd:.* events: +1c ", self.look(f"/proc/{self.pid}/fdinfo/{fd}"), re.M):
                    return True
            except FileNotFoundError:  # it was closed
                pass
        return False

    def descriptors(self):
        try:
            return os.listdir(f"/proc/{self.pid}/fdinfo")
        except PermissionError:
            pytest.skip("only root may look into ebb, which is closed to others of its user")
