# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot to a folder, while the guest runs: with guests that check themselves (saved.c). What it writes meanwhile is saved, what
it gives back meanwhile is not, and it stands still for the last part alone."""

import contextlib
import os
import re
import signal
import subprocess

import pytest
import snapshots
from payload import EBB, TIMEOUT, lib, wait_until
from test_snapshot import MIB, OPTIONS, PATIENT, WAYS, limit_file, snapshot, status, step
from test_track import ask, sent


def stood(said):
    return float(re.search(r"it stood still for ([\d.]+) s", said)[1])


def on_disk(folder):
    return os.stat(folder / "snapshot").st_blocks * 512


def came(client):
    """Bytes of the file without a name that it writes."""
    with contextlib.suppress(FileNotFoundError):
        files = [f"/proc/{client.pid}/fd/{fd}" for fd, name in lib.opened(client.pid).items() if name.endswith(" (deleted)")]
        return max((os.stat(file).st_size for file in files), default=0)
    return 0


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] in "TZ"


class Stopped:
    """A client that is stopped once more than `least` bytes have come: it is caught if no more than `most` have by then."""

    def __init__(self, name, folder, least, most):
        self.process = subprocess.Popen([EBB, "snapshot", "-n", name, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: self.process.poll() is not None or came(self.process) > least, "nothing comes")
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.process.poll() is not None or is_stopped(self.process.pid), "it does not stop")
        self.caught = self.process.poll() is None and least < came(self.process) <= most

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def goes_on(self):
        self.process.send_signal(signal.SIGCONT)
        said, wrong = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == 0, wrong
        return said


def stream(name, meanwhile=None, **more):
    """What is sent of a guest that goes on here."""
    return sent(name, meanwhile, **{"stays": True, "downtime-limit": 10} | more)


def test_it_stands_still_shorter(run, restore, tmp_path):
    """Beside the whole time that writing takes, which a guest that is paused stands still for."""
    name = f"large-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="large", memory="256M", params=PATIENT)
    step(payload)
    # The best of three: the machine may be busy with others for a moment.
    short = min(stood(snapshot(name, tmp_path / "there")) for _ in range(3))
    assert on_disk(tmp_path / "there") < 140 * MIB
    assert restore(tmp_path / "there", *OPTIONS, memory="256M").steps(2)
    subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    whole = min(stood(snapshot(name, tmp_path / "whole")) for _ in range(3))
    print(f"it stood still for {short} s, and for {whole} s while all was written")
    assert short < whole / 3


@pytest.mark.parametrize("test", ["busy", "paced"])
@pytest.mark.parametrize("options", [(), ("--mem-backing", "memfd")], ids=["anon", "memfd"])
def test_what_it_writes_meanwhile(run, restore, tmp_path, test, options):
    """Each word that was saved is of one moment. (The control: with the first round alone, it is not.) One that writes faster than that
    is sent is saved, too, and stands still longer."""
    name = f"{test}-{os.getpid()}"
    payload = run("saved", *OPTIONS, *options, "--name", name, test=test, params=PATIENT)
    step(payload)
    for number, way in enumerate(WAYS):
        last = step(payload)
        snapshot(name, tmp_path / str(number))
        one = restore(tmp_path / str(number), *OPTIONS, *options, way=way)
        assert one.steps(3)[0] >= last
        one.kill()

    def two_steps():
        payload.heard = len(payload.lines)
        step(payload)
        step(payload)
    data, said = stream(name, two_steps)
    assert b'"ran": true' in said, said
    for folder, bytes_ in ("all", data), ("first", snapshots.first_round(data)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "snapshot").write_bytes(bytes_)
    assert restore(tmp_path / "all", *OPTIONS, *options, way="--restore-all").steps(2)
    # What it finds wrong may be behind the end of the step that it is in.
    restore(tmp_path / "first", *OPTIONS, *options, way="--restore-all").wait_for(r"^FAIL.* is not of step", TIMEOUT)
    now = step(payload)
    assert step(payload) > now


def test_what_it_gives_back_meanwhile(run, restore, tmp_path):
    """All of its memory has come when it gives most of that back, and writes to some of it again: what is kept is what it has then."""
    name = f"trap-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="trap", params=PATIENT)
    payload.paused("full")
    for _ in range(50):
        # What is behind that memory is more than a socket holds.
        with Stopped(name, tmp_path / "there", 28 * MIB, 31 * MIB) as client:
            if client.caught:
                payload.proceed()
                step(payload)
                client.goes_on()
                break
    else:
        pytest.fail("the guest was saved too soon, each time")
    for way in WAYS:
        assert restore(tmp_path / "there", *OPTIONS, way=way).steps(3)
    # The pattern before what it gave back, two pages of that, and the pattern behind it.
    assert 8 * MIB < on_disk(tmp_path / "there") < 9 * MIB, on_disk(tmp_path / "there")


def test_a_client_that_is_killed(run, tmp_path):
    """The guest runs, also while its client is stopped; and then nothing is left."""
    name = f"stays-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, memory="256M", test="large", params=PATIENT)
    step(payload)
    for attempt in range(50):  # it may be done before it is stopped
        folder = tmp_path / str(attempt)
        with Stopped(name, folder, MIB, 100 * MIB) as client:
            if client.caught:
                assert "running" in status(name)
                payload.heard = len(payload.lines)
                now = step(payload)
                assert step(payload) > now
                break
    else:
        pytest.fail("the guest was saved too soon, each time")
    payload.heard = len(payload.lines)
    now = step(payload)
    assert step(payload) > now and "running" in status(name)
    assert not (folder / "snapshot").exists() and not os.listdir(folder)
    snapshot(name, folder)
    assert os.listdir(folder) == ["snapshot"]


def test_a_full_disk_afterwards(run, tmp_path):
    """What came fits, what is made of that does not: the guest goes on, and the folder has what it had."""
    name = f"full-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    snapshot(name, tmp_path / "there")
    good = (tmp_path / "there" / "snapshot").read_bytes()
    # It is in whole blocks, what came is not.
    data, _ = stream(name)
    assert len(data) < len(good) - MIB
    assert "cannot write" in snapshot(name, tmp_path / "there", 1, preexec_fn=limit_file(len(good) - MIB // 2))
    assert os.listdir(tmp_path / "there") == ["snapshot"] and (tmp_path / "there" / "snapshot").read_bytes() == good
    payload.heard = len(payload.lines)
    now = step(payload)
    assert step(payload) > now


def test_one_that_is_not_kept(run, restore, tmp_path):
    """A tracked one, on a disk that is full afterwards: its ebb forgets it, and the next is tracked as if it were the first."""
    name = f"dropped-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    snapshot(name, tmp_path / "plain")
    enough = os.stat(tmp_path / "plain" / "snapshot").st_size
    said = snapshot(name, tmp_path / "there", 1, options=["--track"], preexec_fn=limit_file(enough - MIB // 2))
    assert "cannot write" in said and "did not hear" not in said and not (tmp_path / "there").exists()
    # The control of that: by hand, with the id.
    _, said = stream(name, track=True)
    last = re.search(rb'"id": ?"([0-9a-f]{32})"', said)[1].decode()
    assert "error" in ask(name, "x-ebb-snapshot-kept", id="0" * 32, kept=False)
    assert "error" in ask(name, "x-ebb-snapshot-kept", id=last, kept=True)
    assert ask(name, "x-ebb-snapshot-kept", id=last, kept=False) == {"return": {}}
    assert "nothing is tracked" in ask(name, "x-ebb-snapshot-kept", id=last, kept=False)["error"]["desc"]
    snapshot(name, tmp_path / "there", options=["--track"])
    step(payload)
    snapshot(name, tmp_path / "next", options=["--base", str(tmp_path / "there")])
    assert restore(tmp_path / "next", *OPTIONS).steps(2)
