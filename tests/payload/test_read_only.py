# SPDX-License-Identifier: Apache-2.0
"""`ebb run --control-read-only`, by a guest that runs inside the sandbox."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
from payload import EBB, TIMEOUT, lib, wait_until

GROUP = 4242
USER = 4243
QUIT = b'{"execute": "qmp_capabilities"}{"execute": "quit"}'


@pytest.fixture
def folder():
    # Others have to come there; and not pytest's own, whose paths are longer than a socket's may be.
    path = tempfile.mkdtemp(prefix="ebb-read-only-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def running(run, *options, **popen):
    payload = run("stopped", "--name", f"read-only-{os.getpid()}", *options, test="told", **popen)
    payload.paused("ready")
    return payload


def stat(path, *words, wrapper=()):
    return subprocess.run([*wrapper, EBB, "stat", "--control", path, *words], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)


def exporter(gid=USER, groups="--clear-groups"):
    """A program of another user's."""
    return ("setpriv", f"--reuid={USER}", f"--regid={gid}", groups)


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_figures_and_nothing_else(run, folder, sandbox):
    path = f"{folder}/figures"
    payload = running(run, "--control-read-only", path, f"--sandbox={sandbox}")
    assert oct(os.stat(path).st_mode & 0o7777) == "0o600"
    figures = json.loads(stat(path, "--json").stdout)
    assert figures["pid"] == payload.pid and figures["sandbox"] != ("off" if sandbox == "on" else "on")
    done = stat(path, "--prometheus")
    assert done.returncode == 0 and f'ebb_up{{guest="read-only-{os.getpid()}"}} 1' in done.stdout, done
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(QUIT)
        client.settimeout(TIMEOUT)
        said = b""
        while b"only answers queries" not in said:
            said += client.recv(4096)
    assert payload.process.poll() is None
    # The control: by the guest's own socket it ends.
    assert subprocess.run([EBB, "stop", "-n", f"read-only-{os.getpid()}", "--timeout=0"], timeout=TIMEOUT, check=False,
                          stderr=subprocess.DEVNULL).returncode == 0
    payload.ended()
    assert not os.path.exists(path)


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_who(run, folder, sandbox):
    """The group's members, by their first group or another; nobody else, who differs from them in that alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root: programs of another user's")
    path = f"{folder}/figures"
    running(run, "--control-read-only", f"{path},group={GROUP}", f"--sandbox={sandbox}")
    for wrapper, served in ((exporter(GROUP), True), (exporter(groups=f"--groups={GROUP}"), True), (exporter(), False)):
        done = stat(path, "--json", wrapper=wrapper)
        assert (done.returncode == 0) == served, done
        assert served or "Permission denied" in done.stderr, done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_removed(run, folder, number):
    path = f"{folder}/figures"
    payload = running(run, "--control-read-only", path)
    payload.process.send_signal(number)
    payload.wait(TIMEOUT)
    wait_until(lambda: not os.path.exists(path), f"{path} stays")


def wake_ups(payload):
    """How often the thread that measures has begun to wait."""
    for task in os.listdir(folder := f"/proc/{payload.pid}/task"):
        with open(f"{folder}/{task}/comm", encoding="utf-8") as comm:
            if comm.read() != "measure\n":
                continue
        with open(f"{folder}/{task}/status", encoding="utf-8") as status:
            return int(next(line for line in status if line.startswith("voluntary")).split()[1])
    return None


def test_a_flood_measures_little(run, folder, monkeypatch):
    """An exporter that asks without end gets figures of up to a second ago; the guest's owner is measured for each time."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", f"{folder}/runtime")
    payload = running(run, "--control-read-only", f"{folder}/figures")
    wait_until(lambda: wake_ups(payload) is not None, "the thread has its name")
    counts = []
    for path in f"{folder}/figures", f"{folder}/runtime/read-only-{os.getpid()}.sock":
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            answers = client.makefile("rb")
            answers.readline()
            client.sendall(b'{"execute": "qmp_capabilities"}')
            answers.readline()
            before, begin = wake_ups(payload), time.monotonic()
            for _ in range(300):
                client.sendall(b'{"execute": "x-ebb-stat"}')
                while b'"rss"' not in (line := answers.readline()):
                    assert b'"event"' in line
            counts.append((wake_ups(payload) - before, time.monotonic() - begin))
    (exporters, seconds), (owners, _) = counts
    # Now and then the thread finds the next request without a wait.
    assert exporters <= 2 * (seconds + 2) and owners >= 30, counts


def test_mistakes(run, folder):
    taken = f"{folder}/taken"
    with open(taken, "w", encoding="ascii"):
        pass
    for words, says in ((taken, "is not a socket"), (f"{folder}/a,group=no-such", 'the group "no-such"'),
                        (f"{folder}/none/a", "a directory of yours")):
        payload = run("exits", "--control-read-only", words, test="ports")
        payload.ended(2)
        assert says in payload.stderr() and len(lib.own_words(payload.stderr()).splitlines()) == 1
    assert os.listdir(folder) == ["taken"]
