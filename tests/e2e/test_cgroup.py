# SPDX-License-Identifier: Apache-2.0
"""A guest's processes in a cgroup of their own (--cgroup): an ebb that takes all the memory it can get ends there, and its
neighbour lives. In the control, without the option, nothing stops it."""

import os
import re
import signal
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until, write

ROOT = "/sys/fs/cgroup"
MIB = 1 << 20
ATTACK = os.path.join(lib.BUILD, lib.CROSS, "tests", "attack")
TICKS = "n=0; while :; do n=$((n + 1)); echo tick $n; sleep 0.2; done"
NOBODY = 65534

pytestmark = [pytest.mark.linux, pytest.mark.root, pytest.mark.emulated]


def read(*path):
    with open(os.path.join(*path), encoding="ascii") as file:
        return file.read()


def processes(*path):
    return {int(pid) for pid in read(*path, "cgroup.procs").split()}


def use(path):
    write(f"{path}/cgroup.subtree_control", "+memory +pids +cpu +io")


def remove(path):
    for folder, _, _ in os.walk(path, topdown=False):
        wait_until(lambda folder=folder: "populated 0" in read(folder, "cgroup.events"), f"{folder} is empty")
        os.rmdir(folder)


@pytest.fixture
def guests():
    """A cgroup for guests, with all controllers."""
    use(ROOT)
    path = f"{ROOT}/guests"
    os.mkdir(path)
    yield path
    remove(path)


@pytest.fixture
def sleeper():
    """sleeper(cgroup): starts a process in it."""
    started = []

    def start(path):
        started.append(subprocess.Popen(["sleep", "1000"]))
        write(f"{path}/cgroup.procs", str(started[-1].pid))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def name_of(pid):
    try:
        return read("/proc", str(pid), "comm").strip()
    except OSError:
        return ""  # it has just ended


def keepers():
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and name_of(pid) == "cgroup-keeper"]


def gone(path):
    wait_until(lambda: not os.path.exists(path), f"{path} is gone")


def tick(guest):
    """Waits for a new one."""
    guest.wait_for("^tick", LIMIT, start=len(guest.lines))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_limits(guests, ebb, tmp_path, end):
    """ebb and what it has forked are in it, with limits; it goes with them, however they end."""
    own = f"{guests}/ebb-one"
    guest = ebb.start(TICKS, "--name=one", "--cgroup=guests,cpu=150", f"--vsock={tmp_path}/v", memory="128M", popen={"cwd": ROOT})
    tick(guest)
    assert read(own, "memory.max") == f"{(128 + 2 + 256) * MIB}\n"
    assert read(own, "memory.oom.group") == "1\n" and read(own, "pids.max") == "4096\n"
    assert read(own, "cpu.max") == "150000 100000\n"
    inside = processes(own)
    assert guest.pid in inside and len(inside) > 1, "ebb, and what connects for --vsock"
    assert int(read(own, "memory.current")) > 10 * MIB
    stat = subprocess.run([lib.EBB, "stat", "-n", "one", "--json", "--no-refresh"], env=ebb.env, capture_output=True, check=True)
    assert f'"cgroup": "{guests}"' in stat.stdout.decode()
    # Nothing of it is left in the sandbox.
    assert not [name for name in lib.opened(guest.pid).values() if "cgroup" in name]
    (keeper,) = keepers()
    assert keeper not in inside
    os.kill(keeper, signal.SIGTERM)  # as a service manager does to all at once
    guest.process.send_signal(end)
    assert guest.wait(LIMIT) in (0, -end)
    gone(own)
    assert not any(os.path.exists(f"/proc/{pid}/exe") for pid in inside)


def test_keeper_leaves_the_next_guest_alone(guests, ebb):
    """However late it is: the name of its cgroup is then another's."""
    first = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    tick(first)
    (keeper,) = keepers()
    os.kill(keeper, signal.SIGSTOP)
    first.process.kill()
    first.wait(LIMIT)
    second = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    tick(second)
    os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: not os.path.exists(f"/proc/{keeper}/exe"), "the first guest's keeper is gone")
    assert second.pid in processes(guests, "ebb-one")
    tick(second)
    second.process.terminate()
    second.wait(LIMIT)
    gone(f"{guests}/ebb-one")


def awaits(guest):
    """Waits until an ebb waits for the cgroup of its name."""
    def waits():
        assert guest.process.poll() is None, guest.stderr()
        return any(name.endswith("/cgroup.events") for name in lib.opened(guest.pid).values())

    wait_until(waits, "ebb waits for the cgroup")


def test_again_at_once(guests, ebb, sleeper):
    """A guest of the same name waits until what was around the last one has ended; a signal ends that."""
    own = f"{guests}/ebb-one"
    last = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    tick(last)
    process = sleeper(own)
    last.process.kill()
    last.wait(LIMIT)
    told = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    awaits(told)
    told.process.terminate()
    assert told.wait(LIMIT) == 2 and "a signal ended ebb" in told.stderr()
    again = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    awaits(again)
    process.terminate()
    tick(again)
    assert again.pid in processes(own)
    again.process.terminate()
    again.wait(LIMIT)
    gone(own)


def take_memory(ebb, *options):
    """How an ebb ends that takes 512 MiB beside its guest's 64, and what it says."""
    env = ebb.env | {"EBB_ATTACK": "main:memory", "EBB_ATTACK_MIB": "512"}
    argv = [ATTACK, "run", "-k", lib.KERNEL, "-i", lib.INITRAMFS, "-m", "64M", "-n", "none", "--name", "greedy", *options]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=LIMIT, check=False)
    return done.returncode, lib.own_words(done.stderr)


def test_greedy_ebb_ends_alone(guests, ebb):
    neighbour = ebb.start(TICKS, "--name=neighbour", f"--cgroup={guests}", memory="128M")
    tick(neighbour)
    status, said = take_memory(ebb, f"--cgroup={guests}")
    assert status == -signal.SIGKILL, said
    assert said.count("\n") == 1, said
    assert 'the kernel ended the guest "greedy"' in said and f"{(64 + 1 + 256) * MIB} bytes" in said and "memory=SIZE" in said
    gone(f"{guests}/ebb-greedy")
    tick(neighbour)
    # With more it may; and without the option nothing stops it.
    assert take_memory(ebb, f"--cgroup={guests},memory=1G") == (0, "attack: done\n")
    gone(f"{guests}/ebb-greedy")
    assert take_memory(ebb) == (0, "attack: done\n")
    tick(neighbour)


def test_another_limit(guests, ebb):
    """It is told apart from the guest's own."""
    use(guests)
    write(f"{guests}/memory.max", str(256 * MIB))
    status, said = take_memory(ebb, f"--cgroup={guests},memory=1G")
    assert status == -signal.SIGKILL, said
    assert said.count("\n") == 1 and 'the kernel ended the guest "greedy"' in said and "above the guest's" in said, said
    gone(f"{guests}/ebb-greedy")


def test_user(guests, ebb):
    """Another user, in a cgroup that was delegated to it: no root is needed."""
    for path in ("", "/shell"):
        os.makedirs(guests + path, exist_ok=True)
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control"):
            os.chown(guests + path + name, NOBODY, NOBODY)
    os.mkdir(ebb.runtime, 0o700)
    os.chown(ebb.runtime, NOBODY, NOBODY)
    for folder in list(ebb.runtime.parents)[:-2]:
        os.chmod(folder, 0o755)
    as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    inside = ["sh", "-c", f'echo $$ >{guests}/shell/cgroup.procs && exec "$@"', "sh", *as_user]
    for which in guests, "auto":
        guest = ebb.start(TICKS, "--name=one", f"--cgroup={which}", memory="128M", wrapper=inside)
        tick(guest)
        assert guest.pid in processes(guests, "ebb-one")
        guest.process.send_signal(signal.SIGTERM)
        guest.wait(LIMIT)
        gone(f"{guests}/ebb-one")
    # From elsewhere the kernel lets nobody but root move a process there.
    mistaken(ebb, guests, "may not move ebb", "delegated", wrapper=as_user)
    # And nothing is found: what is above the cgroup of this process is not this user's.
    ebb.mistake([*as_user, lib.EBB, "run", "-k", lib.KERNEL, "-m", "64M", "-n", "none", "--name=one", "--cgroup=auto"],
                "finds no cgroup for the guest")


def mistaken(ebb, path, *words, wrapper=()):
    ebb.mistake([*wrapper, lib.EBB, "run", "-k", lib.KERNEL, "-m", "64M", "-n", "none", "--name=one", f"--cgroup={path}"], *words)
    gone(f"{path}/ebb-one")


def test_what_stays_is_killed(guests, ebb, sleeper):
    """After some seconds, in which a storage daemon may write what it holds."""
    own = f"{guests}/ebb-one"
    guest = ebb.start(TICKS, "--name=one", f"--cgroup={guests}", memory="128M")
    tick(guest)
    process = sleeper(own)
    guest.process.terminate()
    assert guest.wait(LIMIT) == 0
    assert process.poll() is None and processes(own) == {process.pid}
    assert process.wait(LIMIT) == -signal.SIGKILL
    gone(own)


def detach(ebb, *options, **machine):
    return subprocess.run(lib.ebb(TICKS, "--detach", "--name=one", *options, **machine), env=ebb.env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LIMIT, check=False)


def test_detached(guests, ebb, tmp_path):
    """Its answer comes once the guest runs, or has failed; its log ends."""
    own, log, into = f"{guests}/ebb-one", tmp_path / "log", f"--cgroup={guests}"
    done = detach(ebb, into, f"--log={log}", memory="128M")
    assert (done.returncode, done.stdout) == (0, "one\n"), done.stderr
    wait_until(lambda: "tick 1" in log.read_text(), "the guest ticks")
    inside = processes(own)
    assert "console-keeper" not in map(name_of, inside) and "cgroup-keeper" not in map(name_of, inside)
    stopped = subprocess.run([lib.EBB, "stop", "-n", "one", "--force"], env=ebb.env, capture_output=True, check=False)
    assert stopped.returncode == 0, stopped.stderr
    gone(own)
    wait_until(lambda: "ebb: ended with status 0" in log.read_text(), "the log ends")
    done = detach(ebb, into, f"--log={log}", kernel="/nonesuch")
    assert done.returncode == 2 and "/nonesuch" in done.stderr and done.stdout == ""
    gone(own)


def test_sandbox(guests, ebb, tmp_path):
    """The command's guest, and what serves its files, are in one."""
    words = [lib.EBB, "sandbox", "-m", "256M", "-c", "1", f"--cgroup={guests}", "--", "sh", "-c", "echo ready; cat"]
    with subprocess.Popen(words, env=ebb.env, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"ready\n"
        (own,) = (entry.path for entry in os.scandir(guests) if entry.is_dir())
        assert {"virtiofsd", "fs-keeper"} <= set(map(name_of, processes(own)))
        assert running.pid not in processes(own), "what waits for the command's end takes nothing"
        running.stdin.close()
        assert running.wait(LIMIT) == 0
    gone(own)


def used(guest):
    """Microseconds of CPU time that the processes in its cgroup took."""
    return int(re.search(r"^usage_usec (\d+)$", read(guest, "cpu.stat"), re.M)[1])


def share(guest, neighbour):
    """CPU time of a guest's while its neighbour takes two seconds, as a part of it."""
    before, start = used(guest), used(neighbour)
    wait_until(lambda: used(neighbour) - start > 2000000, "the neighbour took its time")
    return (used(guest) - before) / (used(neighbour) - start)


def test_cpu(guests, ebb):
    """A guest that always computes takes what cpu= says; in the control, once that is gone, as much as its neighbour."""
    busy = "echo tick; while :; do :; done"
    for name, option in (("held", ",cpu=20"), ("free", "")):
        tick(ebb.start(busy, f"--name={name}", f"--cgroup={guests}{option}", memory="128M"))
    held, free = f"{guests}/ebb-held", f"{guests}/ebb-free"
    assert share(held, free) < 0.5
    write(f"{held}/cpu.max", "max")
    assert share(held, free) > 0.7


def test_mistakes(guests, ebb, sleeper, tmp_path):
    mistaken(ebb, f"{guests}/none", "cannot open the cgroup", "No such file")
    mistaken(ebb, tmp_path, "needs a cgroup of version 2", "ebb doctor")
    os.mkdir(f"{guests}/deep")
    mistaken(ebb, f"{guests}/deep", 'no controller "memory"', "subtree_control")
    write(f"{guests}/cgroup.subtree_control", "+memory +pids")
    ebb.mistake([lib.EBB, "run", "-k", lib.KERNEL, "-n", "none", f"--cgroup={guests}/deep,cpu=10"], 'no controller "cpu"')
    sleeper(f"{guests}/deep")
    mistaken(ebb, f"{guests}/deep", "has processes of its own")


def test_name_is_taken(guests, ebb, sleeper):
    use(guests)
    own = f"{guests}/ebb-one"
    os.mkdir(own)
    process = sleeper(own)
    ebb.mistake([lib.EBB, "run", "-k", lib.KERNEL, "-n", "none", "--name=one", f"--cgroup={guests}"], f"ebb-one in {guests} is in use")
    assert processes(own) == {process.pid}


def test_left_over(guests, ebb):
    """An empty one of this name is no hindrance, and its limits do not stay."""
    use(guests)
    own = f"{guests}/ebb-one"
    os.mkdir(own)
    write(f"{own}/memory.max", str(MIB))
    ebb.job("true", "--name=one", f"--cgroup={guests}", memory="128M")
    gone(own)
