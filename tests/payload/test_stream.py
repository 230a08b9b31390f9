# SPDX-License-Identifier: Apache-2.0
"""A snapshot as a stream: ebb snapshot -n NAME - | ebb run --restore -, with a guest that checks itself (saved.c)."""

import os
import pty
import re
import signal
import subprocess

import pytest
import snapshots
from payload import EBB, NO_NETWORK, TIMEOUT, Payload, lib, wait_until
from test_snapshot import MIB, OPTIONS, PATIENT, Restored, snapshot, status, step

SNAPSHOT = [EBB, "snapshot", "-n"]
RESTORE = [EBB, "run", "--restore", "-", "-m", "64M", *NO_NETWORK, *OPTIONS]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A guest's stream, and its snapshot as a file."""
    there = tmp_path_factory.mktemp("saved")
    name = f"streamed-{os.getpid()}"
    payload = Payload("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    try:
        step(payload)
        with open(there / "stream", "wb") as stream:
            done = subprocess.run([*SNAPSHOT, name, "-"], stdout=stream, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True)
        assert re.match(rf"ebb: {name}: saved, .* of its memory; it stood still for", done.stderr), done
        snapshot(name, there)
    finally:
        payload.kill()
    return there


def fed(data):
    """`ebb run --restore -` with this on its standard input."""
    return subprocess.run(RESTORE, input=data, capture_output=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("backing", ["anon", "memfd"])
def test_it_goes_on_elsewhere(run, receive, backing):
    """Through a pipe, from one ebb to another: with all that it had; and the one that was saved goes on, too."""
    options = ("-c", "2", "--mem-backing", backing)
    name = f"moved-{os.getpid()}"
    payload = run("saved", *OPTIONS, *options, "--name", name, test="two-cpus")
    first = step(payload)
    with subprocess.Popen([*SNAPSHOT, name, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
        one = receive(*options, stdin=sender.stdout)
        sender.stdout.close()
        assert sender.wait(TIMEOUT) == 0, sender.stderr.read()
    steps = one.steps(4)
    assert first <= steps[0] and steps == list(range(steps[0], steps[0] + 4))
    now = step(payload)
    assert step(payload) > now
    one.process.terminate()
    assert one.wait(TIMEOUT) == 0 and not lib.own_words(one.stderr()), one.stderr()


def test_pages_of_zeros_are_not_sent(saved):
    """The control is the file, which has them as holes. What is sent is what holds something, and little else."""
    stream, file = (saved / "stream").read_bytes(), (saved / "snapshot").read_bytes()
    pages = [sum(pages for _, pages in snapshots.runs(data)) for data in (stream, file)]
    at, length = snapshots.sections(stream)[snapshots.PAGES]
    assert all(any(stream[page:page + 4096]) for page in range(at, at + length, 4096))
    assert 4 * MIB < pages[0] * 4096 < pages[1] * 4096 and len(stream) < pages[0] * 4096 + MIB


def test_a_stream_is_a_snapshot(saved, tmp_path):
    """Kept in a file it can be restored as any, and the other way round."""
    (tmp_path / "snapshot").write_bytes((saved / "stream").read_bytes())
    for folder, stdin in (tmp_path, None), ("-", saved / "snapshot"):
        with open(stdin or os.devnull, "rb") as file:
            with Restored(folder, *OPTIONS, stdin=file) as one:
                assert one.steps(2)


def test_damage_is_refused(saved):
    """Cut short, a bit flipped, also in its memory, something else, nothing: one line, and no guest runs."""
    whole = (saved / "stream").read_bytes()

    def refused(data, words):
        done = fed(data)
        lines = lib.own_words(done.stderr.decode()).splitlines()
        assert done.returncode == 2 and len(lines) == 1 and not done.stdout, done
        assert re.match(f"ebb: cannot restore the snapshot from standard input: .*(?:{words})", lines[0]), lines
    for length in 0, 31, 40, 5000, len(whole) // 2, len(whole) - 1:
        refused(whole[:length], "is cut short")
    for at in [9, 33, 70, 4096 + 100, len(whole) // 2, len(whole) - 200, len(whole) - 1]:
        refused(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:], "damaged|is missing|has another|cut short|missing in it")
    refused(whole + b"x", "goes on after its end")
    refused(b"x" * 5000, "is no snapshot of ebb")
    # The control: unchanged, the guest goes on, until the test ends it.
    with open(saved / "stream", "rb") as file, Restored("-", *OPTIONS, stdin=file) as one:
        assert one.steps(2)


def test_a_terminal_is_refused(run):
    """Neither shows a snapshot, nor waits for one to be typed."""
    name = f"shown-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    ours, terminal = pty.openpty()
    try:
        for argv, streams in ([*SNAPSHOT, name, "-"], {"stdout": terminal}), (RESTORE, {"stdin": terminal}):
            done = subprocess.run(argv, **({"stdin": subprocess.DEVNULL} | streams), stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
            assert done.returncode == 2 and "terminal" in done.stderr and len(done.stderr.splitlines()) == 1, done
    finally:
        os.close(ours)
        os.close(terminal)
    done = subprocess.run([*SNAPSHOT, name, "--working-set", "-"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "needs the folder" in done.stderr, done


def test_a_reader_that_goes(run):
    """The client says so, and the guest goes on."""
    name = f"lonely-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    reader, writer = os.pipe()
    with subprocess.Popen([*SNAPSHOT, name, "-"], stdout=writer, stderr=subprocess.PIPE, text=True) as client:
        os.close(writer)
        assert os.read(reader, 4) == b"ebb\x9a"
        os.close(reader)
        said = client.stderr.read()
        assert client.wait(TIMEOUT) == 1 and "cannot write to 'standard output': Broken pipe" in said and len(said.splitlines()) == 1, said
    now = step(payload)
    assert step(payload) > now


def test_a_sender_that_says_nothing(saved):
    """A signal ends ebb while it waits; nothing of it is left."""
    name = f"waiting-{os.getpid()}"
    with open(saved / "stream", "rb") as file:
        part = file.read(MIB)
    with subprocess.Popen([*RESTORE, "--name", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        # More than a pipe holds: it has begun to read.
        one.stdin.write(part)
        one.stdin.flush()
        one.send_signal(signal.SIGTERM)
        # Its input stays open until then, or it may find that cut short before it finds the signal.
        assert one.wait(TIMEOUT) == 2
        said = one.stderr.read()
        assert b"Interrupted" in said, said
    assert not status(name)


def test_detached(saved):
    """In the background its console is another one in any case."""
    name = f"background-{os.getpid()}"
    with open(saved / "stream", "rb") as file:
        done = subprocess.run([*RESTORE, "--detach", "--name", name], stdin=file, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done
    assert "running" in status(name)
    subprocess.run([EBB, "stop", "-n", name, "--force"], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    wait_until(lambda: not status(name), "it is not stopped")
    # What is cut says so in the foreground.
    done = subprocess.run([*RESTORE, "--detach", "--name", name], input="", capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "it is cut short" in done.stderr, done
