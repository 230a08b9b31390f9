# SPDX-License-Identifier: Apache-2.0
"""ebb sandbox --pool and ebb pool --sandbox without a guest: mistakes, and a pool that lies. tests/e2e has those that work."""

import array
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading

import pytest
from conftest import EBB, LIMIT, wait
from fake import GREETING

VERSION = subprocess.run([EBB, "version"], check=True, capture_output=True, text=True).stdout.split()[1]

PLACE = tempfile.TemporaryDirectory(prefix="ebb-place-")  # pylint: disable=consider-using-with


@pytest.mark.parametrize("words, said", [
    (("web", "--sandbox", "--from", "/there"), "leave out one"),
    (("take", "web", "--sandbox"), "takes no options"),
    (("web", "--sandbox", "--", "--ro"), "--ro is for the command: give it to ebb sandbox --pool"),
    (("web", "--sandbox", "--", "-e", "A=b"), "--env is for the command"),
    (("web", "--sandbox", "--", "--fs", "/usr"), "--fs is for the command"),
    (("web", "--sandbox", "--", "--rw", "/usr"), "--rw is for the command"),
    (("web", "--sandbox", "--", "--pool", "web"), "--pool is for the command"),
    (("web", "--sandbox", "--", "--cgroup", "/x"), "--cgroup would not bound virtiofsd"),
    (("web", "--sandbox", "--", "--name", "x"), "--name is made of the pool's name"),
    (("web", "--sandbox", "--", "-m", "lots"), "memory \"lots\" is not a size"),
    (("web", "--sandbox", "--", "-m", "1G", "make"), "\"make\" is no option; the command is that of ebb sandbox --pool"),
    (("web", "--sandbox", "--", "--help"), "\"ebb help sandbox\" shows the options"),
    (("web", "--sandbox", "--", "--zzzzzz"), "unknown option --zzzzzz"),
    (("web", "--sandbox", "--", "--admit", "perhaps"), "unknown word for --admit"),
], ids=str)
def test_mistakes_of_the_pool(ebb, tmp_path, words, said):
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(b"x" * 100)
    machine = ("-k", "kernel", "-i", "initrd") if words[:2] == ("web", "--sandbox") and "--" in words else ()
    at = words.index("--") + 1 if machine else len(words)
    ebb("pool", *words[:at], *machine, *words[at:], cwd=tmp_path).failed(2, said)


@pytest.mark.parametrize("words, said", [
    (("-m", "1G"), "--mem is for the start of a guest, and a pool's has started: \"ebb pool web --sandbox -- …\""),
    (("-c", "1"), "--cpus is for the start"),
    (("-k", "K"), "--kernel is for the start"),
    (("-i", "I"), "--initrd is for the start"),
    (("-p", "x"), "--params is for the start"),
    (("-n", "user"), "--network is for the start"),
    (("--free-page-reporting", "off"), "--free-page-reporting is for the start"),
    (("--admit", "strict"), "--admit is for the start"),
    (("--cgroup", "/x"), "--cgroup is for a guest of one's own"),
    (("--name", "x"), "--name is made of the pool's name"),
    ((), "no pool called \"web\" runs; \"ebb pool web --sandbox\" starts one"),
    (("--pool", "other"), "--pool is given twice"),
], ids=str)
def test_mistakes_of_the_taker(ebb, tmp_path, words, said):
    ebb("sandbox", "--pool", "web", *words, "--", "true", cwd=tmp_path).failed(125, said)


def test_names(ebb, tmp_path):
    ebb("sandbox", "--pool", "a/b", "true", cwd=tmp_path).failed(125, "the name \"a/b\" of the pool contains a slash")
    ebb("sandbox", "--pool", "web", cwd=tmp_path).failed(125, "no command is given")
    ebb("sandbox", "--pool", "web", "true", cwd="/").failed(125, "the current folder is /")


class Pool:
    """One that does with a taker's socket what it is told; or another service."""

    def __init__(self, runtime, command, act, name="pool web"):
        self.act, self.command = act, command
        self.lock = os.open(f"{runtime}/{name}-lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.write(self.lock, b"%d\n" % os.getpid())
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{runtime}/{name}-sock")
        self.listener.listen(1)
        self.kept = []
        self.times = 0
        self.server = socket.socket()  # of the guest that was given last
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, contextlib.suppress(ConnectionError):
                    self.answer(connection)

    def answer(self, connection):
        connection.sendall(json.dumps(GREETING).encode() + b"\r\n")
        taker = None
        while True:
            data, fds, _, _ = socket.recv_fds(connection, 4096, 1)
            if not data:
                return
            taker = socket.socket(fileno=fds[0]) if fds else taker
            for line in data.splitlines():
                message = json.loads(line)
                answer = {"return": {}}
                if message["execute"] == self.command:
                    answer = self.act(self, taker) or answer
                    taker = None
                connection.sendall(json.dumps(answer | ({"id": message["id"]} if "id" in message else {})).encode() + b"\r\n")

    def end(self):
        self.listener.close()
        os.close(self.lock)

    def give(self, taker, *passed, note=b"x"):
        """Sends descriptors; they are its own, too, for as long as it lives."""
        self.kept += passed
        fds = array.array("i", [one.fileno() for one in passed])
        taker.sendmsg([note], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if passed else [])


def note(version=VERSION, network=0, place=PLACE.name.encode()):
    return version.encode().ljust(32, b"\0") + network.to_bytes(4, "little") + place.ljust(64, b"\0")


def listener():
    made = socket.socket(socket.AF_UNIX)
    made.bind("")
    made.listen(1)
    return made


def pipe():
    return [os.fdopen(fd, mode + "b", buffering=0) for fd, mode in zip(os.pipe(), "rw")]


def member(change=None, size=None, **said):
    """Gives a guest: of a pipe, a socket for its server and four that listen, with one thing changed."""
    def act(pool, taker):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pool.server, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = pipe()
        pool.kept += pipes
        pool.guest = ours
        parts = [pipes[0], server, *(listener() for _ in range(4))]
        if change:
            change(parts)
        pool.give(ours, *parts, note=note(**said)[:size])
        pool.give(taker, theirs)
        taker.close()
        for one in (server, theirs):
            one.close()
    return act


def no_guest(pool, taker):
    file = open("/etc/passwd", "rb")  # noqa: SIM115  it is kept
    pool.give(taker, file)


def ended_guest(pool, taker):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pool.give(taker, theirs)
    ours.close()
    pool.times += 1


def put(at, made):
    def change(parts):
        parts[at] = made()
    return change


@pytest.mark.parametrize("act, said", [
    (lambda pool, taker: taker.close(), "gives no guest: none starts, and the pool's own ebb says why"),
    (lambda pool, taker: {"error": {"class": "GenericError", "desc": "it keeps\x1b[2J clones"}}, "gives no guest: it keeps\\x1b[2J clones"),
    (lambda pool, taker: pool.give(taker), "what came from the pool \"web\" is no guest"),
    (no_guest, "what came from the pool \"web\" is no guest"),
    (ended_guest, "have ended, 4 one after the other"),
    (member(version="0.0"), "is of another version of ebb: start it again"),
    (member(version="0.0", size=40), "is of another version of ebb"),
    (member(place=b"tmp"), "is no guest"),
    (member(place=b"/etc/passwd"), "is no guest"),
    (member(place=b"/" * 64), "is no guest"),
    (member(network=2), "is no guest"),
    (member(size=8), "is no guest"),
    (member(lambda parts: parts.pop()), "is no guest"),
    (member(put(0, listener)), "is no guest"),
    (member(put(1, listener)), "is no guest"),
    (member(put(5, lambda: pipe()[0])), "is no guest"),
    (member(put(3, lambda: socket.socket(socket.AF_INET))), "is no guest"),
    (member(put(2, lambda: socket.socketpair()[0])), "is no guest"),
], ids=["closes", "refuses", "nothing", "a file", "has ended", "version", "short version", "no path", "no folder", "no end", "network", "short",
        "too few", "no pipe", "no server", "pipe", "TCP", "no listener"])
def test_a_pool_that_lies(ebb, runtime, tmp_path, act, said):
    pool = Pool(runtime, "x-ebb-pool-sandbox", act)
    try:
        ebb("sandbox", "--pool", "web", "true", cwd=tmp_path).failed(125, said)
    finally:
        pool.end()


def start(runtime, tmp_path, pool, **env):
    del pool
    return subprocess.Popen([EBB, "sandbox", "--pool", "web", "true"], env=os.environ | {"EBB_RUNTIME_DIR": runtime} | env, cwd=tmp_path,
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def server_comes(pool, process):
    """Waits until the guest is given its server. Only where there is no virtiofsd can that be skipped."""
    def came():
        if process.poll() is not None:
            said = process.stderr.read()
            if "it is not installed" in said:
                pytest.skip(said)
            pytest.fail(f"it ended: {said}")
        return ready(pool.server)

    wait(came, "its server comes")


def test_the_control(runtime, tmp_path):
    """With nothing changed it goes on to virtiofsd, and waits for the agent, until the guest ends; what comes meanwhile is no end."""
    pool = Pool(runtime, "x-ebb-pool-sandbox", member())
    with start(runtime, tmp_path, pool) as process:
        server_comes(pool, process)
        pool.guest.send(b"x")
        assert pool.guest.recv(1) == b"\0", "it is asked for"
        pool.guest.settimeout(1)
        with pytest.raises(TimeoutError):  # at its end, the taker lets the guest go
            pool.guest.recv(1)
        pool.guest.close()
        process.wait(LIMIT)
        assert process.returncode == 125 and "the guest ended before the command did" in process.stderr.read()
    pool.end()


def ready(one):
    with contextlib.suppress(OSError):  # no message yet, or closed meanwhile
        one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return True
    return False


def ends_first(how):
    """The first guest ends while it is passed on; the next does not."""
    def act(pool, taker):
        pool.times += 1
        if pool.times == 1:
            how(pool, taker)
        else:
            member()(pool, taker)
    return act


def without_server(pool, taker):
    member()(pool, taker)
    pool.server.close()
    pool.guest.close()


@pytest.mark.parametrize("how", [ended_guest, without_server])
def test_another_is_taken(runtime, tmp_path, how):
    pool = Pool(runtime, "x-ebb-pool-sandbox", ends_first(how))
    with start(runtime, tmp_path, pool) as process:
        server_comes(pool, process)
        assert pool.times >= 2
        pool.guest.close()
        assert process.wait(LIMIT) == 125 and process.stderr.read().count("\n") == 1
    pool.end()


def descendants(pid):
    """The names of the processes that @pid and its children have started."""
    with contextlib.suppress(OSError):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return {pathlib.Path(f"/proc/{child}/comm").read_text("utf-8").strip() for child in children}.union(*map(descendants, children))
    return set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_says_nothing(runtime, tmp_path, number):
    """It is not waited for longer than its user wants; a signal for the command is."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "virtiofsd").write_text("#!/bin/sh\n[ \"$1\" = --help ] || exec sleep 1000\n")
    (programs / "virtiofsd").chmod(0o755)
    pool = Pool(runtime, "x-ebb-pool-sandbox", member())
    with start(runtime, tmp_path, pool, PATH=f"{programs}:{os.environ['PATH']}") as process:
        wait(lambda: "sleep" in descendants(process.pid), "the server runs")
        for other in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
            process.send_signal(other)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(number)
        pool.guest.settimeout(10)
        assert [pool.guest.recv(1) for _ in range(2)] == [b"\0", b""], "the guest is asked for, and let go"
        pool.guest.close()
        assert process.wait(LIMIT) == (-number if number == signal.SIGKILL else 128 + number)
        assert process.stderr.read() == ""
    pool.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pool_that_has_none(runtime, tmp_path, number):
    """It waits; and ends by the signal, in silence."""
    asked = threading.Event()
    pool = Pool(runtime, "x-ebb-pool-sandbox", lambda pool, taker: (pool.kept.append(taker), asked.set())[1])
    with start(runtime, tmp_path, pool) as process:
        assert asked.wait(LIMIT)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(LIMIT) == 128 + number
        assert process.stderr.read() == ""
    pool.end()


@pytest.mark.parametrize("how, said", [("strict", "the guest's 64.0 MiB would not fit"), ("warn", "the host could not hold the guest's 64.0 MiB")])
def test_the_keeper_bounds_it(runtime, tmp_path, how, said):
    """One that does not fit is not started with --admit=strict; without, the control, it is, with a warning."""
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(b"x" * 100)
    keeper = Pool(runtime, "x-ebb-keeper-admit", lambda keeper, _: {"return": {"fit": "no", "available": 1, "reclaimable": 1}}, "keeper")
    with subprocess.Popen([EBB, "pool", "web", "--sandbox", "--", "-m", "64M", "-c", "1", "--admit", how, "-k", tmp_path / "kernel",
                           "-i", tmp_path / "initrd"], env=os.environ | {"EBB_RUNTIME_DIR": runtime}, stderr=subprocess.PIPE, text=True) as process:
        assert "keeping 1 guests ready" in process.stderr.readline()
        assert said in process.stderr.readline()
        if how == "warn":
            assert any("kernel" in line for line in itertools.islice(process.stderr, 3))
        process.terminate()
        assert process.wait(LIMIT) == 0
    keeper.end()


def test_none_starts(runtime, tmp_path):
    """A kernel that is none: both sides say so, and nothing is left."""
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(b"x" * 100)
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    before = set(os.listdir("/tmp"))
    with subprocess.Popen([EBB, "pool", "web", "--sandbox", "--", "-m", "64M", "-c", "1", "-k", tmp_path / "kernel", "-i", tmp_path / "initrd"],
                          env=env, stderr=subprocess.PIPE, text=True) as process:
        assert "keeping 1 guests ready" in process.stderr.readline()
        done = subprocess.run([EBB, "sandbox", "--pool", "web", "true"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
                              check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 125 and "none starts" in done.stderr and done.stderr.count("\n") == 1, done
        done = subprocess.run([EBB, "pool", "take", "web"], env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 1 and "it keeps guests for \"ebb sandbox --pool\"" in done.stderr and done.stderr.count("\n") == 1, done
        process.terminate()
        assert process.wait(LIMIT) == 0
        assert "ebb: " in process.stderr.read()
    wait(lambda: not os.listdir(runtime), "files are left")
    wait(lambda: not {name for name in set(os.listdir("/tmp")) - before if name.startswith("ebb-sandbox-")}, "a folder is left")
