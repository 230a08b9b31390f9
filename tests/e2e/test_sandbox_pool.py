# SPDX-License-Identifier: Apache-2.0
"""Commands in guests that a pool has started before: what they see, what comes of them, and what is left."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
from conftest import LIMIT, lib, wait_until
from test_backings import lowest
from test_folder import processes
from test_sandbox import HOLD, MIB, Running, freed, held, read_until, terminal

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]
MACHINE = ["-c", "1", "-m", "256M"]
SERVERS = ("virtiofsd", "fs-keeper", "vsock-dialer", "sandbox-keeper")


def guests(ebb, name="web"):
    """The numbers of the pool's guests, ready or not, taken or not."""
    return sorted(int(file[len(name) + 1:-5]) for file in ebb.left() if file.startswith(f"{name}-") and file.endswith(".sock"))


def ready():
    """How many agents wait for a command: each has a connection that nobody has accepted, beside the socket that it came to."""
    with open("/proc/net/unix", encoding="utf-8") as file:
        names = [line.split()[-1] for line in file if line.rstrip().endswith("/v_1000")]
    return sum(names.count(name) == 2 for name in set(names))


def in_flight(process):
    """Descriptors in messages that it has not received."""
    found = 0
    for entry in os.scandir(f"/proc/{process.pid}/fdinfo"):
        with open(entry.path, encoding="ascii") as file:
            found += sum(int(line.split()[1]) for line in file if line.startswith("scm_fds:"))
    return found


def nothing_left(ebb):
    def left():
        # It also removes what a killed pool has left.
        subprocess.run([lib.EBB, "list"], env=ebb.env, check=True, capture_output=True, timeout=LIMIT)
        return [line for name in SERVERS for _, line in processes(name) if line] + ebb.left() + [
            name for name in os.listdir("/tmp") if name.startswith("ebb-sandbox-")]

    wait_until(lambda: not left(), "nothing is left")


@pytest.fixture
def pool(ebb):
    """Starts pools; ends them. Nothing of them is left then."""
    started = []

    def start(*options, ready=1, **popen):
        process = subprocess.Popen([lib.EBB, "pool", "web", "--sandbox", "--ready", str(ready), "--", *MACHINE, *options], env=ebb.env,
                                   stderr=subprocess.PIPE, text=True, **popen)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        assert process.wait(LIMIT) in (0, -signal.SIGKILL, -signal.SIGTERM)
        process.stderr.close()
    nothing_left(ebb)


@pytest.fixture
def pooled(ebb, folder):
    def argv(*words, options=()):
        return [lib.EBB, "sandbox", "--pool", "web", *map(str, options), "--", *map(str, words)]

    def run(*words, options=(), **popen):
        popen = {"stdin": subprocess.DEVNULL, "timeout": LIMIT, "cwd": folder, "env": ebb.env} | popen
        return subprocess.run(argv(*words, options=options), capture_output=True, check=False, text=True, **popen)

    run.argv = argv
    return run


def runs(pool_process):
    """It has its name, and can be asked."""
    assert "keeping" in pool_process.stderr.readline()


def test_command(pool, pooled, ebb, folder):
    """What it sees, its variables, its status; what it changes; and the guest that comes in its place."""
    runs(pool())
    script = "cat data; echo by the guest >made; echo $WORD; env | grep -c SECRET; [ -e /sys/class/net/eth0 ] || echo no network; echo err >&2; exit 42"
    for number, options in enumerate(((), ("--rw", ".")), 2):
        done = pooled("sh", "-c", script, options=["-e", "WORD=a b", *options], env=ebb.env | {"SECRET": "x"})
        assert (done.returncode, done.stdout, done.stderr) == (42, "of the host\na b\n0\nno network\n", "err\n"), done
        assert (folder / "made").exists() == bool(options)
        wait_until(lambda number=number: guests(ebb) == [number], "another one, and the last is gone")
    assert (folder / "made").read_text() == "by the guest\n"
    # Its own, and to read only.
    done = pooled("sh", "-c", "cat made; echo x 2>/dev/null >made || echo refused; kill -SEGV $$", options=["--ro"])
    assert (done.returncode, done.stdout) == (128 + signal.SIGSEGV, "by the guest\nrefused\n"), done
    done = pooled("nonesuch")
    assert done.returncode == 127 and done.stderr.startswith("ebb: cannot run nonesuch") and done.stderr.count("\n") == 1


def test_each_its_own(pool, pooled, ebb, folder, tmp_path):
    """Two at once see each its folder alone, and nothing of one that was before. The control: what both are given, both see."""
    runs(pool(ready=2))
    other = tmp_path / "other"
    other.mkdir()
    (other / "theirs").write_text("theirs\n")
    (folder / "ours").write_text("ours\n")
    boot = "/proc/sys/kernel/random/boot_id"
    look = f"cat {boot}; ls /root; ls /usr/local/left 2>/dev/null"
    script = f"read -r go; {look}; cat '{folder}/ours' {other}/theirs 2>/dev/null; echo x >/root/left; : >/usr/local/left; ls /usr/local/left >/dev/null"
    running = [Running(ebb, pooled.argv("sh", "-c", script, options=options), where, stdin=subprocess.PIPE)
               for where, options in ((folder, ()), (other, ()), (folder, ("--fs", other)))]
    for one in running:
        one.process.stdin.write(b"\n")
        one.process.stdin.flush()
    said = [one.process.stdout.read().decode() for one in running]
    for one in running:
        one.ended(0)
    boots, seen = zip(*(text.split("\n", 1) for text in said))
    assert seen == ("ours\n", "theirs\n", "ours\ntheirs\n")
    last = pooled("sh", "-c", f"{look}; echo x >/root/left; ls /root").stdout.splitlines()
    assert last[1:] == ["left"] and len({*boots, last[0]}) == 4, (boots, last)
    assert not os.path.exists("/usr/local/left")


def test_while_they_wait(pool, pooled, ebb):
    """No descriptor is in flight, which the user's other processes would lack; keepers take no signal, but their guests end as before."""
    process = pool(ready=2)
    runs(process)
    wait_until(lambda: ready() == 2, "both are ready")
    assert in_flight(process) == 0
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:  # the control
        socket.send_fds(ours, [b"x"], [1, 2])
        with open(f"/proc/self/fdinfo/{theirs.fileno()}", encoding="ascii") as file:
            assert [line.split()[1] for line in file if line.startswith("scm_fds:")] == ["2"]
    for pid, _ in processes("sandbox-keeper"):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(int(pid), number)
    assert pooled("echo", "well").stdout == "well\n"


def test_keeper_killed(pool, pooled, ebb):
    """Its guest ends with it, and another one comes; its folder stays."""
    runs(pool())
    wait_until(lambda: ready() == 1, "it is ready")
    left = [f"/tmp/{name}" for name in os.listdir("/tmp") if name.startswith("ebb-sandbox-")]
    for pid, _ in processes("sandbox-keeper"):
        os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: guests(ebb) == [2], "another one is there, and the first is gone")
    assert pooled("echo", "well").stdout == "well\n"
    assert len(left) == 1
    shutil.rmtree(left[0])


def test_streams_and_signals(pool, pooled, ebb, folder):
    runs(pool())
    data = os.urandom(MIB)
    done = subprocess.run(pooled.argv("cat"), env=ebb.env, cwd=folder, input=data, capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    running = Running(ebb, pooled.argv("sh", "-c", "trap 'echo heard; exit 9' TERM; echo ready; while :; do sleep 0.1; done"), folder)
    assert running.line() == "ready\n"
    running.process.send_signal(signal.SIGTERM)
    assert running.line() == "heard\n"
    running.ended(9)
    with terminal(pooled.argv("sh", "-c", "trap 'stty size; exit 7' INT; tty; echo ready; while :; do sleep 0.1; done"), ebb.env, folder,
                  33, 77) as (pid, master):
        assert b"/dev/pts/" in read_until(master, b"ready", b"")
        os.write(master, b"\x03")
        read_until(master, b"33 77", b"")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def killed(process):
    process.kill()
    process.wait(LIMIT)


def test_who_ends(pool, pooled, ebb, folder):
    """The taker killed: the guest goes with it. The pool ended or killed: what was taken goes on, what was not goes with it."""
    process = pool()
    runs(process)
    sleeper = ("sh", "-c", "echo ready; read -r line; echo $line")
    running = Running(ebb, pooled.argv(*sleeper), folder, stdin=subprocess.PIPE)
    assert running.line() == "ready\n"
    wait_until(lambda: guests(ebb) == [1, 2], "the next is there")
    killed(running.process)
    wait_until(lambda: guests(ebb) == [2], "the taken one is gone")
    running = Running(ebb, pooled.argv(*sleeper), folder, stdin=subprocess.PIPE)
    assert running.line() == "ready\n"
    for end in (subprocess.Popen.terminate, subprocess.Popen.kill):
        wait_until(lambda: len(guests(ebb)) == 2, "the next is there")
        mine = min(guests(ebb))
        end(process)
        process.wait(LIMIT)
        wait_until(lambda: guests(ebb) == [mine], "that is gone, and the taken one is not")
        running.process.stdin.write(b"still here\n")
        running.process.stdin.flush()
        assert running.line() == "still here\n"
        running.ended(0)
        nothing_left(ebb)
        done = pooled("true")
        assert done.returncode == 125 and 'no pool called "web" runs' in done.stderr and done.stderr.count("\n") == 1, done
        if end is subprocess.Popen.terminate:
            process = pool()
            runs(process)
            running = Running(ebb, pooled.argv(*sleeper), folder, stdin=subprocess.PIPE)
            assert running.line() == "ready\n"


def test_ready_ones_end(pool, pooled, ebb):
    """Nobody is given one that has ended."""
    runs(pool())
    assert pooled("true").returncode == 0
    wait_until(lambda: guests(ebb) == [2], "the next is there")
    subprocess.run([lib.EBB, "stop", "--force", "-n", "web-2"], env=ebb.env, check=True, timeout=LIMIT)
    # At once: another one is taken if the pool gives that yet.
    assert pooled("echo", "well").stdout == "well\n"
    assert min(guests(ebb), default=3) > 2


def test_more_than_are_ready(pool, pooled, ebb, folder):
    """They wait, and each has a guest of its own."""
    runs(pool())
    running = [Running(ebb, pooled.argv("sh", "-c", "echo $$; cat /proc/sys/kernel/random/boot_id"), folder) for _ in range(4)]
    said = [one.process.stdout.read() for one in running]
    for one in running:
        one.ended(0)
    assert len({text.split()[1] for text in said}) == 4, said


def test_none_starts(pool, pooled, ebb, tmp_path):
    """In words on both sides; the control is every other test."""
    (tmp_path / "kernel").write_bytes(b"x" * 100)
    process = pool("-k", tmp_path / "kernel")
    runs(process)
    done = pooled("true")
    assert done.returncode == 125 and "none starts" in done.stderr and done.stderr.count("\n") == 1, done
    assert "kernel" in process.stderr.readline()


def test_no_folder(pool, pooled, ebb, folder):
    """One that is gone when it is to be served: one line, from the taker. The pool goes on."""
    process = pool()
    runs(process)
    assert pooled("true").returncode == 0
    wait_until(lambda: guests(ebb) == [2], "the next is there")
    (folder / "gone").mkdir()
    process.send_signal(signal.SIGSTOP)
    try:
        running = Running(ebb, pooled.argv("true", options=["--fs", folder / "gone"]), folder)
        wait_until(lambda: [file for file in os.listdir(f"/proc/{running.process.pid}/fd")
                            if os.readlink(f"/proc/{running.process.pid}/fd/{file}").startswith("socket:")], "it asks")
        (folder / "gone").rmdir()
    finally:
        process.send_signal(signal.SIGCONT)
    said = running.ended(125)
    assert "virtiofsd cannot serve the folders" in said and f"{folder}/gone" in said and said.count("\n") == 1, said
    assert pooled("true").returncode == 0


def test_memory(pool, pooled, ebb, folder):
    """What the command frees comes back while it still runs; with reporting off it does not."""
    with open(os.path.join(lib.GUEST, "initramfs.cpio"), "rb") as archive:
        subprocess.run(["busybox", "cpio", "-i", "-d", "bin/hold"], stdin=archive, cwd=folder, check=True, capture_output=True)
    enough = HOLD * MIB * 3 // 4
    for reporting in ("on", "off"):
        process = pool("--free-page-reporting", reporting)
        runs(process)
        running = Running(ebb, pooled.argv("sh", "-c", f"bin/hold {HOLD}M --wait; read -r line"), folder, stdin=subprocess.PIPE)
        wait_until(lambda: len(guests(ebb)) == 2, "the next is there")
        killed(process)
        wait_until(lambda: len(guests(ebb)) == 1, "and ends: `ebb stat` needs no name")
        taken = freed(running, ebb)
        if reporting == "on":
            seconds = wait_until(lambda: taken - held(ebb) > enough, "the memory comes back")
        else:
            assert taken - lowest(lambda: held(ebb), 2 * seconds + 5) <= HOLD * MIB // 4, "it came back without reports"
        running.process.stdin.write(b"\n")
        running.process.stdin.flush()
        assert "hold: done" in running.line()
        running.ended(0)
        nothing_left(ebb)


def test_sooner(pool, pooled, ebb, folder):
    """A command begins in less than half of the time that a new guest takes; of which the emulated host's files take much."""
    def took(argv, process=None):
        """Seconds until it writes. On this host the next guest's start would fall into that: the pool stands still meanwhile."""
        start = time.monotonic()
        running = Running(ebb, argv, folder)
        try:
            if process:
                wait_until(lambda: processes("fs-keeper"), "it has its guest")
                process.send_signal(signal.SIGSTOP)
            assert running.line() == "x\n"
            seconds = time.monotonic() - start
        finally:
            if process:
                process.send_signal(signal.SIGCONT)
        running.ended(0)
        return seconds

    echo = ("sh", "-c", "echo x")
    new = [lib.EBB, "sandbox", *MACHINE, "--", *echo]
    took(new)  # reads everything once
    new = min(took(new) for _ in range(2))
    process = pool()
    runs(process)
    waited = []
    for number in (1, 2, 3):
        wait_until(lambda number=number: guests(ebb) == [number] and ready() == 1, "one is ready")
        waited.append(took(pooled.argv(*echo), process))
    assert min(waited) < new / 2, (waited, new)


@contextlib.contextmanager
def no_more_namespaces():
    limit = pathlib.Path("/proc/sys/user/max_user_namespaces")
    before = limit.read_text("ascii")
    limit.write_text("0", "ascii")
    try:
        yield
    finally:
        limit.write_text(before, "ascii")


def test_plain_user(pooled, ebb):
    """Without root on the host. Root sees no such pool. Where nobody may make a user namespace, the taker says so."""
    user = 65534
    os.chmod("/dev/kvm", 0o666)
    with tempfile.TemporaryDirectory(prefix="ebb-user-") as home:
        for path in (home, f"{home}/run", f"{home}/job"):
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.chown(path, user, user)
        env = ebb.env | {"EBB_RUNTIME_DIR": f"{home}/run"}
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]

        def run():
            return subprocess.run([*become, *pooled.argv("sh", "-c", "id -u; echo by the guest >made; stat -c %u . made", options=["--rw", "."])], env=env,
                                  cwd=f"{home}/job", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT)

        with subprocess.Popen([*become, lib.EBB, "pool", "web", "--sandbox", "--", *MACHINE], env=env, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: lib.listens(f"{home}/run/pool web-sock"), "the pool can be asked")
                done = run()
                assert (done.returncode, done.stdout, done.stderr) == (0, "0\n0\n0\n", ""), done
                assert os.stat(f"{home}/job/made").st_uid == user
                assert 'no pool called "web" runs' in pooled("true").stderr
                with no_more_namespaces():
                    done = run()
                assert done.returncode == 125 and "make a user namespace" in done.stderr and done.stderr.count("\n") == 1, done
            finally:
                process.terminate()
        assert process.returncode == 0
        assert not os.listdir(f"{home}/run")
