# SPDX-License-Identifier: Apache-2.0
"""Time that stood still: a guest whose vCPU was stopped is told, by kvm-clock's flag (stopped.c)."""

import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest
from payload import EBB, TIMEOUT, wait_until

NAME = f"stopped-{os.getpid()}"
ROUNDS = 2
# Of the vCPU's CPU time, in clock ticks: after so much of it the vCPU has long left the device that it spoke with.
IN_GUEST = 5


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def fields(stat):
    """Of a stat file of /proc, from the state on: a name before it may hold anything."""
    return stat.rpartition(") ")[2].split()


def ticks(payload):
    """The vCPU's CPU time, user and system (proc(5), 14 and 15)."""
    return sum(map(int, fields(payload.vcpu_file("stat"))[11:13]))


def all_stopped(payload):
    tasks = f"/proc/{payload.pid}/task"
    return all(fields(read(f"{tasks}/{task}/stat"))[0] == "T" for task in os.listdir(tasks))


@contextmanager
def by_signal(payload):
    payload.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: all_stopped(payload), "it does not stop")
    yield
    payload.process.send_signal(signal.SIGCONT)


@contextmanager
def by_command(_):
    def command(word):
        subprocess.run([EBB, word, "-n", NAME], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)

    command("pause")
    yield
    command("resume")


def own_cgroup():
    """The folder of the cgroup that we are in; skips the test where there is none."""
    mounted = re.search(r"^\S+ (\S+) cgroup2 ", read("/proc/mounts"), re.M)
    if not mounted:
        pytest.skip("no cgroup2 is mounted here: nothing can be frozen")
    return mounted.group(1) + re.search("^0::(.*)$", read("/proc/self/cgroup"), re.M).group(1).rstrip("/")


def write(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


@contextmanager
def by_cgroup(payload):
    parent = own_cgroup()
    folder = f"{parent}/{NAME}"
    try:
        os.mkdir(folder)
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        write(f"{folder}/cgroup.procs", str(payload.pid))
        write(f"{folder}/cgroup.freeze", "1")
        wait_until(lambda: "frozen 1" in read(f"{folder}/cgroup.events"), "it does not freeze")
        yield
    finally:
        write(f"{folder}/cgroup.freeze", "0")
        write(f"{parent}/cgroup.procs", str(payload.pid))
        os.rmdir(folder)


@contextmanager
def by_suspend(_):
    """The host goes to sleep as far as one without the hardware for it can: its kernel freezes all processes, waits for a
    second, and lets them go on (Documentation/power/basic-pm-debugging.rst)."""
    yield
    write("/sys/module/suspend/parameters/pm_test_delay", "1")
    write("/sys/power/pm_test", "freezer")
    try:
        write("/sys/power/state", "freeze")
    finally:
        write("/sys/power/pm_test", "none")


# The last would stop the machine of whoever runs the tests: only on an emulated host, by tests/e2e/test_boot.py.
STOPS = [by_signal, by_command, by_cgroup, *([by_suspend] if os.environ.get("EBB_HOST") == "1" else [])]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("test, cpus", [("told", 1), ("both-told", 2)])
def test_told(run, stop, test, cpus):
    """Each time anew, each CPU, and not before it was stopped."""
    payload = run("stopped", "--name", NAME, "-c", str(cpus), test=test)
    for _ in range(ROUNDS):
        payload.paused("ready")
        heard, before = len(payload.lines), ticks(payload)
        wait_until(lambda: ticks(payload) >= before + IN_GUEST, "the vCPU does not run")
        with stop(payload):
            assert len(payload.lines) == heard, payload.console()
        payload.paused("stopped seen")
        payload.proceed()
    payload.passed(test)


def test_not_told(run):
    """The control: nothing stops it, and it sees no stop."""
    run("stopped", test="not-told").passed("not-told")
