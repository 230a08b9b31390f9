# SPDX-License-Identifier: Apache-2.0
"""Guests without a terminal: ebb run --detach, their log, and ebb console (report.c, beat.c)."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile

import pytest
from payload import EBB, NO_NETWORK, PAYLOADS, REPORTING, TIMEOUT, lib, wait_until

# Each wait of the payload is for one byte of its console.
WAIT = re.compile(rb"^wait [^\r\n]*", re.M)


class Detached:
    """A payload that was started with --detach, its log, and what is attached to it."""

    def __init__(self, folder, payload, *options, **popen):
        self.name = f"detached-{os.path.basename(folder)}"
        self.log = os.path.join(folder, "log")
        self.attached = []
        argv = [EBB, "run", "--detach", "--log", self.log, "--name", self.name, "-m", "256M", "-p", "acpi=off",
                *NO_NETWORK, "-k", os.path.join(PAYLOADS, payload + ".elf"), *options]
        self.run = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False, **popen)
        self.run.stderr = lib.own_words(self.run.stderr)

    def said(self):
        with open(self.log, "rb") as file:
            return file.read()

    def wait_for(self, pattern):
        wait_until(lambda: re.search(pattern, self.said(), re.M), f"the log has no {pattern}")

    def lives(self):
        names = subprocess.run([EBB, "list", "--json"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        return f'"{self.name}"' in names.stdout

    def console(self, *words, **popen):
        process = subprocess.Popen([EBB, "console", self.name, *words], **popen)
        self.attached.append(process)
        return process

    def command(self, *words):
        subprocess.run([EBB, words[0], "-n", self.name, *words[1:]], timeout=TIMEOUT, check=True,
                       stdout=subprocess.DEVNULL)


@pytest.fixture
def detached():
    with tempfile.TemporaryDirectory() as folder:
        started = []

        def start(*words, **popen):
            started.append(Detached(folder, *words, **popen))
            return started[-1]

        yield start
        for guest in started:
            for process in guest.attached:
                process.kill()
                process.wait()
            subprocess.run([EBB, "stop", "-n", guest.name, "--force"], timeout=TIMEOUT, check=False,
                           capture_output=True)


def test_it_returns_and_the_guest_runs(detached):
    """Its streams are not kept: who reads them to the end comes to their end (run() does)."""
    guest = detached("beat", REPORTING)
    assert (guest.run.returncode, guest.run.stdout, guest.run.stderr) == (0, guest.name + "\n", "")
    guest.wait_for(rb"^beat ")
    assert guest.lives()
    guest.command("stop", "--force")
    guest.wait_for(rb"^ebb: ended with status 0\r$")
    assert not guest.lives()


def test_it_keeps_nothing_of_the_callers(detached):
    """A pipe that the caller had open comes to its end while the guest runs."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    guest = detached("beat", REPORTING, close_fds=False)
    os.close(writer)
    assert guest.lives()
    wait_until(lambda: select.select([reader], [], [], 0)[0], "the pipe is still open")
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_mistake_is_told_where_it_was_made(detached):
    guest = detached("nothing", REPORTING)
    assert guest.run.returncode == 2 and guest.run.stdout == ""
    assert "nothing.elf" in guest.run.stderr and guest.run.stderr.count("\n") == 1
    assert not guest.lives()


def test_a_name_that_is_taken(detached):
    guest = detached("beat", REPORTING)
    second = subprocess.run(guest.run.args, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert second.returncode == 2 and second.stdout == "" and "is in use by process" in second.stderr
    assert second.stderr.count("\n") == 1 and guest.lives()


def test_a_log_that_cannot_be():
    argv = [EBB, "run", "--detach", "--log", "/nowhere/log", *NO_NETWORK, "-k", os.path.join(PAYLOADS, "beat.elf"), "-m", "64M"]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 2 and run.stdout == "" and "'/nowhere/log'" in run.stderr
    assert run.stderr.count("\n") == 1


def read(fd, text):
    """What follows the text on a console. Fails if nothing comes in time."""
    assert select.select([fd], [], [], TIMEOUT)[0], f"the console says no more after {text}"
    return os.read(fd, 4096)


def answer_waits(fd, until):
    """Reads a console and answers each wait of the payload, until the pattern has come. Returns what was read."""
    text, answered = b"", 0
    while not re.search(until, text, re.M):
        text += read(fd, text)
        for _ in WAIT.findall(text)[answered:]:
            os.write(fd, b"\n")
            answered += 1
    return text


def test_attached_by_a_terminal(detached):
    """What was said before is shown; keys arrive; Ctrl-A x leaves, and another goes on."""
    guest = detached("report", REPORTING)
    guest.wait_for(rb"^wait ")
    terminal, process_end = pty.openpty()
    process = guest.console(stdin=process_end, stdout=process_end, stderr=process_end)
    os.close(process_end)
    text = b""
    while not re.search(rb"^wait [^\n]*\n", text, re.M):
        text += read(terminal, text)
    assert b"Ctrl-A x" in text
    os.write(terminal, b"\x01x")
    assert process.wait(TIMEOUT) == 0 and guest.lives()
    os.close(terminal)

    terminal, process_end = pty.openpty()
    process = guest.console(stdin=process_end, stdout=process_end, stderr=process_end)
    os.close(process_end)
    text = answer_waits(terminal, rb"^ebb: ended with status 0\r+$")
    assert b"ok " in text and b"FAIL" not in text
    assert process.wait(TIMEOUT) == 0
    os.close(terminal)
    assert not guest.lives()


def test_who_watches_does_not_write(detached):
    guest = detached("report", REPORTING)
    guest.wait_for(rb"^wait ")
    watcher = guest.console("--watch", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer = guest.console(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert WAIT.match(writer.stdout.readline())  # it is attached
    late = guest.console(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"has the guest's input" in late.stderr.readline()
    for _ in range(64):
        writer.stdin.write(b"\n")
    writer.stdin.flush()
    guest.wait_for(rb"^ebb: ended with status 0\r$")
    for process in (watcher, writer, late):
        assert b"ebb: ended with status 0" in process.stdout.read()
        assert process.wait(TIMEOUT) == 0


def test_a_guest_with_a_terminal_of_its_own_has_no_other(run):
    name = f"at-home-{os.getpid()}"
    run("beat", REPORTING, "--name", name).expect("^beat ")
    console = subprocess.run([EBB, "console", name], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert console.returncode == 1 and "--detach" in console.stderr and console.stderr.count("\n") == 1


def keeper_of(guest):
    """The keeper of this guest's console: the parent of its process."""
    listed = subprocess.run([EBB, "list"], capture_output=True, text=True, timeout=TIMEOUT, check=False).stdout
    pid = re.search(rf"^ *(\d+) +{guest.name} ", listed, re.M)[1]
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^PPid:\s+(\d+)", file.read(), re.M)[1])


def test_without_its_keeper_a_guest_goes_on(detached):
    guest = detached("beat", REPORTING)
    guest.wait_for(rb"^beat ")
    os.kill(keeper_of(guest), signal.SIGKILL)
    guest.command("pause")
    guest.command("resume")
    assert guest.lives()


def test_a_caller_that_is_interrupted_takes_it_along(detached, tmp_path):
    """The guest's start waits for a kernel from a pipe; nobody writes it."""
    kernel = os.path.join(tmp_path, "kernel")
    os.mkfifo(kernel)
    argv = [EBB, "run", "--detach", "--log", os.path.join(tmp_path, "log"), "--name", f"waits-{os.getpid()}", "-k",
            kernel, "-m", "64M", *NO_NETWORK]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    writer = os.open(kernel, os.O_WRONLY)  # it has come to open the pipe
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == -signal.SIGINT
    # While it is there it does not answer, and list says so by its status.
    wait_until(lambda: f"waits-{os.getpid()}" not in subprocess.run(
        [EBB, "list"], capture_output=True, text=True, timeout=TIMEOUT, check=False).stdout, "the guest is left")
    os.close(writer)
