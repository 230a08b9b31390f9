# SPDX-License-Identifier: Apache-2.0
"""Signals to ebb, and refusals of the host that come as signals where they are not asked for as an errno.

The guest is beat.c, which prints lines until it is ended.
"""

import ctypes
import os
import pathlib
import platform
import signal

import pytest
from payload import EBB, NO_NETWORK, PAYLOADS, REPORTING, TIMEOUT, lib

TGKILL = {"x86_64": 234, "aarch64": 131, "riscv64": 131}

# What a parent may leave ignored is not ignored here: see signal(7) on what exec keeps.
DEFAULT = ["env", "--default-signal"]


class Box:
    """A guest with a runtime directory of its own, started by `wrapper`."""

    def __init__(self, folder):
        self.runtime = folder / "runtime"
        self.guests = []

    def start(self, *wrapper, kind=lib.Guest, **popen):
        argv = [*DEFAULT, *wrapper, EBB, "run", "-k", os.path.join(PAYLOADS, "beat.elf"), "-m", "64M", "-p", "acpi=off",
                REPORTING, *NO_NETWORK]
        started = kind(argv, env=os.environ | {"EBB_RUNTIME_DIR": str(self.runtime)}, **popen)
        self.guests.append(started)
        return started

    def left(self):
        return os.listdir(self.runtime)


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    yield made
    for started in made.guests:
        started.kill()


def beats(started):
    """It goes on: two more lines."""
    for _ in range(2):
        started.wait_for("^beat ", TIMEOUT, len(started.lines))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1])
def test_ignored_at_the_start(box, number):
    """nohup ignores SIGHUP, a shell's & SIGINT and SIGQUIT: for all programs that follow."""
    started = box.start("sh", "-c", f'trap "" {number.name[3:]}; exec "$@"', "sh")
    beats(started)
    started.process.send_signal(number)
    beats(started)
    other = signal.SIGINT if number == signal.SIGTERM else signal.SIGTERM
    started.process.send_signal(other)
    assert started.wait(TIMEOUT) == 0
    assert started.stderr() == "" and box.left() == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_not_ignored(box, number):
    """The control."""
    started = box.start()
    beats(started)
    started.process.send_signal(number)
    assert started.wait(TIMEOUT) == 0
    assert started.stderr() == "" and box.left() == []


def ended_while_taking(box, tmp_path, *options):
    """ebb whose SIGTERM waits already when it starts. Returns its status and the MiB that it had at most."""
    path = tmp_path / "said"
    argv = [EBB, "run", "-k", os.path.join(PAYLOADS, "beat.elf"), "-m", "1G", REPORTING, *NO_NETWORK, *options]
    pid = os.fork()
    if not pid:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.execve(EBB, argv, os.environ | {"EBB_RUNTIME_DIR": str(box.runtime)})
    _, status, usage = os.wait4(pid, 0)
    assert box.left() == []
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024, path.read_text(encoding="utf-8")


def test_while_memory_is_taken(box, tmp_path):
    """A large guest's takes minutes: nobody has to wait for it to end."""
    status, mib, said = ended_while_taking(box, tmp_path, "--mem-prealloc")
    assert said == "ebb: a signal came while guest RAM was taken\n"
    assert status == 2 and mib < 256
    status, _, said = ended_while_taking(box, tmp_path)
    assert said == "" and status == 0, "the control: without, the guest starts and ends at once"


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM, signal.SIGXCPU, signal.SIGRTMAX])
def test_ends_by_a_signal_in_order(box, number):
    """The terminal is as it was, why is said, nothing is left, and the parent sees the signal."""
    started = box.start(kind=lib.TerminalGuest)
    started.wait_for_screen("beat ", TIMEOUT)
    assert started.settings() != started.cooked
    started.process.send_signal(number)
    assert started.wait(TIMEOUT) == -number
    assert started.settings() == started.cooked
    said = started.stderr().splitlines()
    assert len(said) == 1 and said[0].startswith("ebb: ")
    assert ("ulimit -t" if number == signal.SIGXCPU else f"signal {number.value}") in said[0]
    assert box.left() == []


def signal_thread(pid, name, number):
    """To the thread of this name alone."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text(encoding="ascii").strip() == name:
            assert ctypes.CDLL(None).syscall(TGKILL[platform.machine()], pid, int(task.name), number) == 0
            return
    raise AssertionError(f"no thread {name}")


@pytest.mark.parametrize("thread", ["main", "vcpu0", "balloon"])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGSYS])
def test_a_fault(box, number, thread):
    """Also what is no order to end leaves the terminal as it was, and neither lock nor socket, whichever thread it is."""
    started = box.start(kind=lib.TerminalGuest)
    started.wait_for_screen("beat ", TIMEOUT)
    signal_thread(started.pid, "ebb" if thread == "main" else thread, number)
    assert started.wait(TIMEOUT) == -number
    assert started.settings() == started.cooked
    assert started.stderr() == f"ebb: died of signal {number.value:02}"
    assert box.left() == []


def test_limit_of_cpu_time(box):
    started = box.start("prlimit", "--cpu=1:10")
    assert started.wait(3 * TIMEOUT) == -signal.SIGXCPU  # a second that many may want
    assert "ulimit -t" in started.stderr() and box.left() == []


def test_limit_of_file_size(box, tmp_path):
    """A console that may grow no more: the guest goes on without it, and that is said once."""
    path = tmp_path / "console"
    started = box.start("prlimit", "--fsize=100", "sh", "-c", f'exec "$@" >{path}', "sh")
    started.wait_for_error("File too large", TIMEOUT)
    assert path.stat().st_size == 100
    started.process.terminate()
    assert started.wait(TIMEOUT) == 0
    assert started.stderr() == "ebb: warning: standard output: File too large; the guest's output is dropped"
    assert box.left() == []
