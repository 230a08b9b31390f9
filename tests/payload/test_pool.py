# SPDX-License-Identifier: Apache-2.0
"""ebb pool, with a guest that checks itself (saved.c)."""

import contextlib
import os
import signal
import subprocess

import pytest
from payload import EBB, TIMEOUT, lib, wait_until
from test_clone import OPTIONS, Host, listed
from test_snapshot import PATIENT, snapshot, step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A snapshot; its guest has ended."""
    from payload import Payload  # not before the fixtures that end all of them
    made = tmp_path_factory.mktemp("pool") / "there"
    name = f"pool-source-{os.getpid()}"
    payload = Payload("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    try:
        step(payload)
        snapshot(name, made)
    finally:
        payload.kill()
    return made


ASKING = 40


class Pool(Host):
    """Guests of a pool that is called as its clones are."""

    def start(self, folder, ready, *options, **kwargs):
        self.process = subprocess.Popen([EBB, "pool", self.name, "--from", folder, "--ready", str(ready), "--", "--log", self.tmp / "log-%", *options],
                                        stderr=subprocess.PIPE, text=True, **kwargs)

    def numbers(self, status):
        return sorted(int(name.rpartition("-")[2]) for name, one in listed().items() if name.startswith(f"{self.name}-") and one["status"] == status)

    def is_full(self, numbers):
        wait_until(lambda: self.numbers("paused") == numbers, f"{numbers} are ready")

    def run_alone(self, numbers):
        """One that has just started runs, too, for a moment."""
        wait_until(lambda: self.numbers("running") == numbers, f"{numbers} run alone")

    def take(self):
        """The number of the guest."""
        done = subprocess.run([EBB, "pool", "take", self.name], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0 and not done.stderr, done
        assert done.stdout.startswith(f"{self.name}-"), done
        return int(done.stdout.rpartition("-")[2])

    def end(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """Before it: monkeypatch, so that the runtime directory that a test sets is there until its guests have ended."""
    del monkeypatch
    made = Pool(tmp_path)
    yield made
    try:
        made.end()
    finally:
        made.kill_all()


def children(pid):
    """The words that they were started with."""
    words = b""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as line:
                words += line.read()
    return words


def said(pool, number):
    return len((pool.tmp / f"log-{number}").read_text().splitlines())


def test_one_is_taken(pool, folder):
    """The oldest; it runs then, and another takes its place. Those that nobody takes stand still: the control. They end with
    the pool, and what was taken does not."""
    pool.start(folder, 2)
    pool.is_full([1, 2])
    still = said(pool, 2)
    assert pool.take() == 1
    pool.run_alone([1])
    pool.steps(1, count=said(pool, 1) + 5)
    pool.is_full([2, 3])
    assert said(pool, 2) == still
    assert [pool.take(), pool.take()] == [2, 3]
    pool.is_full([4, 5])
    pool.end()
    assert pool.process.returncode == 0
    assert pool.numbers("paused") == [] and pool.numbers("running") == [1, 2, 3]
    pool.steps(3)


def test_what_is_ignored_stays_so(pool, folder):
    """By nohup. The others end it: the control."""
    pool.start(folder, 1, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    pool.is_full([1])
    pool.process.send_signal(signal.SIGHUP)
    assert pool.take() == 1
    pool.is_full([2])
    pool.process.send_signal(signal.SIGINT)
    assert pool.process.wait(TIMEOUT) == 0


def test_ready_ones_may_end(pool, folder):
    """Nobody is given one that has ended, and another is started."""
    pool.start(folder, 2)
    pool.is_full([1, 2])
    os.kill(listed()[f"{pool.name}-1"]["pid"], signal.SIGKILL)
    wait_until(lambda: f"{pool.name}-1" not in listed(), "it has ended")
    assert pool.take() == 2
    pool.is_full([3, 4])


def test_a_client_that_has_gone(pool, folder, tmp_path, monkeypatch):
    """While one was started for it: nobody is given that, and it does not run. The next client has it: the control."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "log-1").mkdir()  # the first cannot write its log: so none is ready
    with subprocess.Popen([EBB, "keeper"], stderr=subprocess.DEVNULL) as keeper:
        wait_until(lambda: lib.listens(tmp_path / "runtime" / "keeper-sock"), "the keeper runs")
        keeper.send_signal(signal.SIGSTOP)
        try:
            pool.start(folder, 1, "--admit=strict")
            while "log-1" not in pool.process.stderr.readline():
                assert pool.process.poll() is None
            # The second waits for the keeper.
            with subprocess.Popen([EBB, "pool", "take", pool.name], stdout=subprocess.PIPE) as client:
                wait_until(lambda: f"{pool.name}-2".encode() in children(pool.process.pid), "one is started")
                client.kill()
            keeper.send_signal(signal.SIGCONT)
            pool.is_full([2])
        finally:
            keeper.kill()
    assert pool.numbers("running") == []
    assert pool.take() == 2
    pool.run_alone([2])


def test_more_than_are_ready(pool, folder):
    """None is given out twice, however many ask at once, also more than the pool serves at once."""
    pool.start(folder, 1)
    pool.is_full([1])
    asking = [subprocess.Popen([EBB, "pool", "take", pool.name], stdout=subprocess.PIPE, text=True) for _ in range(ASKING)]
    names = [one.communicate(timeout=TIMEOUT)[0].strip() for one in asking]
    assert len(set(names)) == ASKING and "" not in names, names
    wait_until(lambda: len(pool.numbers("running")) == ASKING, "as many run")


def sockets(pid):
    return {name for name in lib.opened(pid).values() if name.startswith("socket:")}


def test_a_pool_that_is_busy(pool, folder):
    """It greets nobody for longer than a guest may: one that wants to take waits."""
    pool.start(folder, 1)
    pool.is_full([1])
    pool.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen([EBB, "pool", "take", pool.name], stdout=subprocess.PIPE, text=True) as client:
        wait_until(lambda: sockets(client.pid), "it does not connect")
        first = sockets(client.pid)
        wait_until(lambda: client.poll() is not None or sockets(client.pid) - first, "it does not try again")
        pool.process.send_signal(signal.SIGCONT)
        assert client.communicate(timeout=TIMEOUT)[0] == f"{pool.name}-1\n"


def test_one_of_each_name(pool, folder):
    """Other pools, and what has the names of its clones."""
    pool.start(folder, 1)
    pool.is_full([1])
    done = subprocess.run([EBB, "pool", pool.name, "--from", folder], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and f"a pool {pool.name} of this user runs already" in done.stderr and done.stderr.count("\n") == 1, done
    assert pool.take() == 1
    pool.is_full([2])
    pool.end()
    # Another time: 1 still runs.
    pool.start(folder, 2)
    pool.is_full([2, 3])


def test_a_pool_that_is_killed(pool, folder, tmp_path, monkeypatch):
    """Its files go with the next look at the guests, and not before it has ended. Its clones stay, and nobody is given one; the next pool of that name begins beside them."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    pool.start(folder, 1)
    pool.is_full([1])
    files = {f"pool {pool.name}-lock", f"pool {pool.name}-sock"}
    listed()
    assert files < set(os.listdir(tmp_path / "runtime"))
    pool.process.kill()
    pool.process.wait(TIMEOUT)
    listed()
    assert not files & set(os.listdir(tmp_path / "runtime"))
    done = subprocess.run([EBB, "pool", "take", pool.name], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "no pool called" in done.stderr and done.stderr.count("\n") == 1, done
    pool.start(folder, 1)
    pool.is_full([1, 2])
    assert pool.take() == 2


def test_guests_are_not_to_be_found(pool, folder, tmp_path, monkeypatch):
    """For a moment: that is not that they have ended. The pool ends its clones when they are there again."""
    runtime, away = tmp_path / "runtime", tmp_path / "away"
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(runtime))
    pool.start(folder, 1)
    pool.is_full([1])
    pid = pool.live()[f"{pool.name}-1"]
    runtime.rename(away)
    runtime.write_bytes(b"")
    pool.process.terminate()
    said = "keeping"
    while "keeping" in said:
        said = pool.process.stderr.readline()
    assert str(runtime) in said, said
    assert os.path.exists(f"/proc/{pid}")
    runtime.unlink()
    away.rename(runtime)
    pool.end()
    assert pool.live() == {} and "not all clones end" not in pool.process.stderr.read()


def test_none_starts(pool, folder):
    """In words, and it tries again: the snapshot may come back."""
    pool.start(folder, 1)
    pool.is_full([1])
    (folder / "snapshot").rename(folder / "away")
    try:
        assert pool.take() == 1
        done = subprocess.run([EBB, "pool", "take", pool.name], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 1 and "no clone is ready, and none starts" in done.stderr and done.stderr.count("\n") == 1, done
    finally:
        (folder / "away").rename(folder / "snapshot")
    assert pool.take() > 1
    pool.end()
    assert "there is no snapshot in" in pool.process.stderr.read()
