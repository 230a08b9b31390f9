# SPDX-License-Identifier: Apache-2.0
"""ebb clone, with a guest that checks itself (saved.c)."""

import json
import os
import re
import resource
import signal
import subprocess

import pytest
from payload import EBB, REPORTING, TIMEOUT, lib, wait_until
from test_snapshot import MIB, PATIENT, smaps, step

OPTIONS = (REPORTING, "--rng")


def listed():
    """All guests. Some may end meanwhile, which makes another status."""
    done = subprocess.run([EBB, "list", "--json"], capture_output=True, check=False, timeout=TIMEOUT)
    return {one["name"]: one for one in json.loads(done.stdout)}


class Host:
    """Clones of one test: `tmp` has what ebb leaves, `names` begin with this process's number."""

    def __init__(self, tmp):
        self.tmp, self.name = tmp, f"clone-{os.getpid()}"
        (tmp / "folders").mkdir()
        self.env = os.environ | {"TMPDIR": str(tmp / "folders")}

    def argv(self, count, *options, log=None, source=None):
        return [EBB, "clone", *(source or ("-n", self.name)), "-c", str(count), "--name-pattern", f"{self.name}-%", *options,
                "--", "--log", str(log or self.tmp / "log-%")]

    def clone(self, count, *options, status=0, **where):
        done = subprocess.run(self.argv(count, *options, **where), env=self.env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == status, done.stderr
        assert not self.left_folders()
        return done.stderr if status else done.stdout.split()

    def left_folders(self):
        return os.listdir(self.tmp / "folders")

    def live(self):
        """Names and process IDs of its clones."""
        return {name: one["pid"] for name, one in listed().items() if name.startswith(f"{self.name}-")}

    def kill_all(self):
        for pid in self.live().values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.live(), "the clones have ended")

    def steps(self, number, count=3, log=None):
        """What a clone says, once it has said so much."""
        path = log or self.tmp / f"log-{number}"

        def said():
            return re.findall(r"^step (\d+)\s*$|^(FAIL.*)", path.read_text(), re.M)

        wait_until(lambda: len(said()) >= count, f"clone {number} goes on")
        assert not [fail for _, fail in said() if fail], said()
        return [int(one) for one, _ in said()]


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def source(run, host):
    """The guest that is cloned."""
    payload = run("saved", *OPTIONS, "--name", host.name, test="one-cpu", params=PATIENT)
    step(payload)
    yield payload
    # Whatever became of its clones, it goes on.
    payload.heard = len(payload.lines)
    step(payload)


@pytest.mark.usefixtures("source")
def test_they_go_on_and_share(host):
    """From one moment; of the folder and of the file there is no name any more. One that has read all is the control."""
    names = [f"{host.name}-{number}" for number in (1, 2, 3)]
    assert host.clone(3, "--save", host.tmp / "kept") == names
    first = [host.steps(number)[0] for number in (1, 2, 3)]
    assert len(set(first)) == 1, first
    whole = subprocess.run([EBB, "run", "--restore-all", host.tmp / "kept", "-m", "64M", "-n", "none", *OPTIONS, "--name", f"{host.name}-all",
                            "--detach", "--log", host.tmp / "log-all"], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    assert whole.returncode == 0
    host.steps("all")
    live = host.live()
    own = {name: smaps(pid, "Anonymous") for name, pid in live.items()}
    assert all(own[f"{host.name}-all"] - own[name] > 3.5 * MIB for name in names), own


@pytest.mark.usefixtures("source")
def test_a_folder_of_its_own_is_gone(host):
    """The clones go on from a file without a name."""
    host.clone(2)
    assert host.live().keys() == {f"{host.name}-1", f"{host.name}-2"}
    for number in (1, 2):
        host.steps(number, 5)


def test_of_a_paused_guest(host, source):
    """It stays paused; they run, also later. (Restored, it is paused: test_snapshot_paused.py.)"""
    subprocess.run([EBB, "pause", "-n", host.name], check=True, timeout=TIMEOUT)
    host.clone(1, "--save", host.tmp / "kept")
    host.steps(1)
    assert listed()[f"{host.name}-1"]["status"] == "running" and "paused" not in (host.tmp / "log-1").read_text()
    host.kill_all()
    host.clone(1, source=("--from", host.tmp / "kept"))
    host.steps(1)
    assert listed()[host.name]["status"] == "paused"
    subprocess.run([EBB, "resume", "-n", host.name], check=True, timeout=TIMEOUT)
    step(source)


def test_from_a_folder(host, source):
    """Also one whose guest has ended: what it was is in the snapshot. It stays, for more of them."""
    host.clone(1, "--save", host.tmp / "kept")
    host.kill_all()
    host.clone(2, source=("--from", host.tmp / "kept"))
    for number in (1, 2):
        host.steps(number)
    assert os.listdir(host.tmp / "kept") == ["snapshot"]
    step(source)


@pytest.mark.usefixtures("source")
def test_all_or_none(host):
    """The third cannot write its log. With its folder there it can: the control."""
    for number in (1, 2):
        (host.tmp / f"logs-{number}").mkdir()
    log = host.tmp / "logs-%" / "log"
    said = host.clone(3, status=2, log=log).splitlines()
    assert "logs-3" in said[0] and said[1:] == ["ebb: 2 of 3 clones had started: they are ended again"], said
    # The one that did not start ends by itself.
    assert not host.live().keys() - {f"{host.name}-3"}
    wait_until(lambda: not host.live(), "the third has ended, too")
    # They had run.
    said = host.tmp / "logs-2" / "log"
    wait_until(lambda: said.read_text().endswith("ebb: ended with status 0\n"), "the second one's log ends")
    (host.tmp / "logs-3").mkdir()
    assert len(host.clone(3, log=log)) == 3 == len(host.live())


@pytest.mark.usefixtures("source")
def test_it_is_told_to_end(host):
    """Whatever it does then, none of them stays, nor its folder."""
    for first in (False, True):
        with subprocess.Popen(host.argv(200), env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            wait_until(host.live if first else host.left_folders, "it works")
            client.send_signal(signal.SIGTERM)
            out, said = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 1 and not out and "a signal came: no clone stays" in said, said
        assert not host.left_folders()
        assert not host.live()


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The directory of guests' names."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


def begin(host, count, started, **limits):
    """`ebb clone`, once that many have started."""
    client = subprocess.Popen(host.argv(count), env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **limits)
    try:
        wait_until(lambda: len(host.live()) >= started, "clones run")
    except BaseException:
        client.kill()
        raise
    return client


def tell_to_end(client):
    """What it says then."""
    with client:
        client.send_signal(signal.SIGTERM)
        try:
            return client.communicate(timeout=TIMEOUT)[1]
        finally:
            client.kill()


@pytest.mark.usefixtures("names", "host", "source")
def test_another_process_is_left_alone(names, host):
    """Whose number is where a clone's is told, as if that were used again: a clone is told by its socket."""
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            client = begin(host, 50, 2)
            with open(names / f"{host.name}-1.lock", "r+", encoding="utf-8") as lock:
                lock.truncate()
                lock.write(f"{other.pid}\n")
            said = tell_to_end(client)
            assert other.poll() is None
        finally:
            other.kill()
    assert "not all clones end" not in said and not host.live(), said


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("hard", [64, 4096])
def test_fewer_descriptors_than_clones(host, hard):
    """With a low soft limit, and a low hard one: they are told some at a time, and nothing is said of each."""
    client = begin(host, 200, 40, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    said = tell_to_end(client)
    assert "a signal came: no clone stays" in said and said.count("\n") == 2, said
    assert not host.live()


def alone(names, host):
    """Waits until the first clone is left. `ebb list` would wait for that."""
    wait_until(lambda: {path.stem for path in names.glob(f"{host.name}-*.sock")} == {f"{host.name}-1"}, "the others have ended")


@pytest.mark.usefixtures("names", "host", "source")
def test_a_stuck_clone_holds_up_no_other(names, host):
    """Its ebb is stopped, so that it takes neither the command nor the signal; the others end all the same."""
    client = begin(host, 50, 3)
    stuck = host.live()[f"{host.name}-1"]
    os.kill(stuck, signal.SIGSTOP)
    try:
        client.send_signal(signal.SIGTERM)
        alone(names, host)
        assert client.poll() is None
    finally:
        os.kill(stuck, signal.SIGCONT)
        said = tell_to_end(client)
    assert "not all clones end" not in said and not host.live(), said


def has_signal(pid, number):
    """Whether it waits for the process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        waiting = int(re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status.read(), re.M)[1], 16)
    return bool(waiting & 1 << number - 1)


@pytest.mark.usefixtures("names", "host", "source")
def test_a_stuck_clone_gets_a_signal(names, host):
    """When it has not been told for long. The control: it has none before."""
    client = begin(host, 50, 3)
    stuck = host.live()[f"{host.name}-1"]
    os.kill(stuck, signal.SIGSTOP)
    try:
        assert not has_signal(stuck, signal.SIGTERM)
        client.send_signal(signal.SIGTERM)
        alone(names, host)
        wait_until(lambda: has_signal(stuck, signal.SIGTERM), "a signal")
    finally:
        os.kill(stuck, signal.SIGCONT)
        tell_to_end(client)
    wait_until(lambda: not host.live(), "it has ended, too")


@pytest.mark.usefixtures("source")
def test_what_is_ignored_stays_so(host):
    """A job in the background of a shell without job control: Ctrl-C is for others. The test above is the control."""
    with subprocess.Popen(host.argv(20), env=host.env, stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as client:
        wait_until(host.live, "it works")
        client.send_signal(signal.SIGINT)
        assert len(client.communicate(timeout=TIMEOUT)[0].split()) == 20
    assert client.returncode == 0


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("options, words", [
    (("--rng", "--vsock"), "--vsock needs a value"),
    (("--free-page-reporting=off",), "options that it was started with"),
    (("--port", "other"), "the guest has neither --console virtio nor --port"),
    (("-d", "/dev/null"), "fewer disks (0) than are given (1)"),
])
def test_other_options(host, options, words):
    done = subprocess.run([*host.argv(2), *options], env=host.env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and not done.stdout and words in done.stderr and done.stderr.count("\n") == 1, done
    assert not host.live() and not host.left_folders()


def test_ports_are_given(run, host):
    """The snapshot has no names of them that could be trusted."""
    payload = run("saved", *OPTIONS, "--name", host.name, "--port", "ours", test="one-cpu", params=PATIENT)
    step(payload)
    said = host.clone(1, "--save", host.tmp / "kept", status=2)
    kept, why = said.splitlines()
    assert kept.startswith(f"{host.name}: saved in {host.tmp / 'kept'}") and "give them as it has them" in why, said
    pool = subprocess.run([EBB, "pool", "ports", "--from", host.tmp / "kept"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert pool.returncode == 2 and "give them as it has them" in pool.stderr, pool
    assert not host.live()
    done = subprocess.run([*host.argv(1, source=("--from", host.tmp / "kept")), "--port", "ours"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0 and not done.stderr, done
    host.steps(1)


def test_disks_are_given(run, host):
    """A disk is not in the snapshot, and two guests cannot write to it: each gets its own copy, by its number."""
    for name in ("disk", "1", "2"):
        with open(host.tmp / f"{name}.img", "wb") as file:
            file.truncate(MIB)
    payload = run("saved", *OPTIONS, "--name", host.name, "-d", str(host.tmp / "disk.img"), test="one-cpu", params=PATIENT)
    step(payload)

    def clone(*options):
        return subprocess.run([*host.argv(2), *options], env=host.env, capture_output=True, text=True, timeout=TIMEOUT, check=False)

    done = clone()
    assert done.returncode == 2 and "disks (1) are in no snapshot" in done.stderr and done.stderr.count("\n") == 1, done
    same = clone("-d", str(host.tmp / "disk.img"))
    assert same.returncode == 2 and "disk.img" in same.stderr, same
    assert not host.live() and not host.left_folders()
    done = clone("-d", str(host.tmp / "%.img"))
    assert done.returncode == 0 and not done.stderr, done
    for number in (1, 2):
        host.steps(number)
    assert lib.own_words(payload.stderr()) == ""
    host.kill_all()
    # Of a snapshot that is kept, it is said what must not change.
    argv = [*host.argv(1, "--save", host.tmp / "kept"), "-d", str(host.tmp / "%.img")]
    done = subprocess.run(argv, env=host.env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0 and done.stdout == f"{host.name}-1\n", done
    assert f"until it is restored, its disks must not change: '{host.tmp / 'disk.img'}'\n" in done.stderr, done
