# SPDX-License-Identifier: Apache-2.0
"""ebb as a guest has taken it over (tests/attack): what each of its threads tries is refused.

The control: with --sandbox=off each attempt is done. Root's own ebb keeps what root may do then, and so do the attempts.
"""

import ctypes
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import tempfile
import time

import pytest
from test_sandbox import AS, USER
from payload import PAYLOADS, REPORTING, TIMEOUT, lib

ATTACK = os.path.join(lib.BUILD, "tests", "attack")
THREADS = ["main", "vcpu0", "balloon", "blk", "rng", "pmem", "net", "fs", "vsock", "console", "measure", "snapshot"]
ATTEMPTS = ["openat", "create", "unlinkat", "unlinkat-directory", "openat-above", "unlinkat-above", "proc", "connect-abstract",
            "connect-loopback", "connect-file", "execve", "fork", "thread", "socket", "local-socket", "ptrace", "process_vm_readv",
            "mmap-exec", "mprotect-exec", "mmap-file", "kill", "tgkill", "create-vcpu", "tiocsti", "io_uring", "dumpable",
            "unshare", "chdir", "rt_sigaction"]


# Other architectures cannot be saved, nor restored (docs/limits.md).
RESTORES = pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are for x86_64")
LANDLOCK = max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))  # landlock_create_ruleset(2): the version

# The kernel answers main, since ebb removes its own two files so: what a name can be is a matter of namespaces and Landlock.
BY_DIRECTORY = ["unlinkat-directory", "unlinkat-above"]
if not lib.namespaces() and not LANDLOCK:
    ATTEMPTS = [what for what in ATTEMPTS if what not in BY_DIRECTORY]  # nothing keeps ebb from it: docs/limits.md

# What is refused where all calls may be made, and with which errno: by namespaces without Landlock, and by it alone.
BY_NAMESPACES = {"openat": 2, "create": 2, "unlinkat": 2, "unlinkat-directory": 2, "openat-above": 2, "unlinkat-above": 30,
                 "proc": 2, "execve": 2, "connect-abstract": 111, "connect-loopback": 101, "connect-file": 2}
BY_LANDLOCK = {"openat": 13, "create": 13, "unlinkat": 13, "unlinkat-directory": 13, "openat-above": 13, "unlinkat-above": 13,
               "proc": 13, "execve": 13} | ({"connect-abstract": 1} if LANDLOCK >= 6 else {})


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """Servers of another process, each of another kind, for attempts to connect."""
    name = f"ebb-attack-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as file, socket.socket() as loopback:
        abstract.bind(f"\0{name}")
        file.bind(str(tmp_path / "server"))
        loopback.bind(("127.0.0.1", 0))
        for server in (abstract, file, loopback):
            server.listen(100)
        monkeypatch.setenv("EBB_ATTACK_ABSTRACT", name)
        monkeypatch.setenv("EBB_ATTACK_SOCKET", str(tmp_path / "server"))
        monkeypatch.setenv("EBB_ATTACK_PORT", str(loopback.getsockname()[1]))
        yield


def wait_gone(path):
    """The process beside ebb removes the socket, even if ebb was killed."""
    limit = time.monotonic() + TIMEOUT
    while path.exists():
        assert time.monotonic() < limit, f"{path} stays"
        time.sleep(0.01)


def attempt(tmp_path, thread, what, *options, wrapper=(), without="", kernel=None, payload=("exits", "ports"), user=None):
    """What ebb ended with, and what it said."""
    disk, pmem, victim, runtime, folder = (tmp_path / name for name in ("disk", "pmem", "victim", what, "folder"))
    for path in disk, pmem:
        path.write_bytes(bytes(2 << 20))
    victim.write_bytes(b"")
    folder.mkdir(exist_ok=True)
    for path in (tmp_path, disk, pmem, victim, folder) if user else ():
        os.chown(path, user, user)
    name, test = payload
    boot = ["-k", kernel or os.path.join(PAYLOADS, f"{name}.elf"), "-p", f"test={test}", "--pmem", str(pmem)]
    words = [*wrapper, ATTACK, "run", *([] if "--restore" in options else boot), "-d", str(disk),
             REPORTING, "--rng", "--port", "a", "-n", "user" if thread == "net" else "none", "--vsock", str(tmp_path / f"vsock-{what}"), *options]
    if thread == "fs":
        words += ["--fs", str(folder)]
    env = os.environ | {"EBB_ATTACK": f"{thread}:{what}", "EBB_ATTACK_FILE": str(victim), "EBB_RUNTIME_DIR": str(runtime),
                        "EBB_ATTACK_WITHOUT": without}
    done = subprocess.run(words, env=env, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert victim.exists() or "--sandbox=off" in options, what
    said = re.sub(r"^ebb: warning: with --fs guest memory is shared, .*\n", "", lib.own_words(done.stderr))
    return done.returncode, said, os.listdir(runtime)


def test_every_kind_of_thread_attacks():
    """A new kind (vmm/sandbox/threads.c) is in THREADS, too."""
    with open(os.path.join(lib.TREE, "vmm", "sandbox", "threads.c"), encoding="utf-8") as source:
        kinds = re.findall(r'\[THREAD_\w+\] = "(\w+)"', source.read())
    assert len(kinds) > 5 and {*kinds, "vcpu0"} == {*THREADS, "restore", "keeper"}


@pytest.fixture
def users_folder():
    """That a user other than root reaches: pytest's is closed to it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield pathlib.Path(path)


def refused(folder, thread, namespaces, **how):
    """Each attempt; for names of files, by namespaces, or by Landlock alone."""
    by = BY_NAMESPACES if namespaces else BY_LANDLOCK
    for what in ATTEMPTS:
        by_name = what in BY_DIRECTORY and thread == "main"
        if by_name and not namespaces and not LANDLOCK:
            continue  # nothing keeps ebb from it: docs/limits.md
        status, said, left = attempt(folder, thread, what, **how)
        said = lib.own_words(said, namespaces)
        if by_name:
            assert said == f"attack: errno {by[what]}\n", (what, status, said)
            continue
        name = "attack" if thread == "main" else thread
        assert status == -signal.SIGSYS, (what, status, said)
        assert re.fullmatch(rf"ebb: the sandbox refused the system call \d+ to the thread {name}: .*\n", said), (what, said)
        assert not left, (what, left)
        wait_gone(folder / f"vsock-{what}")


@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.usefixtures("servers")
def test_refused(thread, tmp_path):
    refused(tmp_path, thread, lib.namespaces())


@pytest.mark.skipif(not lib.namespaces(), reason="test_refused was without namespaces")
@pytest.mark.parametrize("thread", [thread for thread in THREADS if thread != "net"])
@pytest.mark.usefixtures("servers")
def test_refused_without_namespaces(thread, tmp_path):
    """As in most containers; there passt, which needs a user namespace, cannot start either."""
    refused(tmp_path, thread, False, wrapper=lib.NO_NAMESPACES)


@pytest.mark.skipif(os.geteuid() != 0, reason="test_refused was a plain user's, and root alone can become another")
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.usefixtures("servers")
def test_refused_to_a_user(thread, users_folder):
    """Without any privilege."""
    refused(users_folder, thread, lib.namespaces(), wrapper=["unshare", "-m", "sh", "-c", AS, "sh", str(USER)], user=USER)


@pytest.mark.parametrize("thread", ["main", "vcpu0", "balloon"])
@pytest.mark.usefixtures("servers")
def test_done_without_the_sandbox(thread, tmp_path):
    for what in ATTEMPTS:
        status, said, _ = attempt(tmp_path, thread, what, "--sandbox=off")
        # A thread may run another program while the main thread begins the next ones, which then fails.
        said = re.sub(r"^ebb: cannot start the thread .*\n", "", said, flags=re.M) if what == "execve" else said
        assert (status, said) == (0, "attack: done\n"), (what, status, said)


@pytest.mark.parametrize("thread", ["main", "vcpu0", "balloon"])
@pytest.mark.parametrize("what, words", [("blocked", ""), ("handler", "attack: goes on\n")])
def test_refused_at_the_latest_the_second_time(thread, what, words, tmp_path):
    """Code that blocks the signal ends at once, without a line of ebb's, and so does what took over ebb's handler, at the second
    refused call. The control is without the sandbox."""
    status, said, _ = attempt(tmp_path, thread, what)
    assert (status, said) == (-signal.SIGSYS, words)
    status, said, _ = attempt(tmp_path, thread, what, "--sandbox=off")
    assert (status, said) == (0, "attack: done\n")


def ioctl(way, kind, nr, size):
    """A request's number, as the kernel's headers make it."""
    return (way << 30) | (size << 16) | (kind << 8) | nr


KVM, VHOST, WRITE, READ = 0xae, 0xaf, 1, 2
TCGETS, TCSETS, TCFLSH, TIOCGPGRP, TIOCGWINSZ, BLKDISCARD = 0x5401, 0x5402, 0x540b, 0x540f, 0x5413, 0x1277
KVM_RUN, KVM_NMI, KVMCLOCK_CTRL, GET_TSC_KHZ = (ioctl(0, KVM, nr, 0) for nr in (0x80, 0x9a, 0xad, 0xa3))
IRQ_LINE, GET_IRQCHIP = ioctl(WRITE, KVM, 0x61, 8), ioctl(READ | WRITE, KVM, 0x62, 520)
TRANSLATE = ioctl(READ | WRITE, KVM, 0x85, 24)
GET_REGS, SET_REGS, GET_SREGS, SET_SREGS = (ioctl(way, KVM, nr, size) for nr, way, size in [
    (0x81, READ, 144), (0x82, WRITE, 144), (0x83, READ, 312), (0x84, WRITE, 312)])
TAP, SET_QUEUE = {ioctl(WRITE, 0x54, 0xd0, 4)}, ioctl(WRITE, 0x54, 0xd9, 4)
LENT = {ioctl(way, VHOST, nr, size) for way, nr, size in [
    (0, 1, 0), (WRITE, 0, 8), (WRITE, 3, 8), (WRITE, 0x10, 8), (WRITE, 0x11, 40), (WRITE, 0x12, 8),
    (READ | WRITE, 0x12, 8), (WRITE, 0x20, 8), (WRITE, 0x21, 8), (WRITE, 0x22, 8)]}
RESET_OWNER, SET_BACKEND, SET_RUNNING = ioctl(0, VHOST, 2, 0), ioctl(WRITE, VHOST, 0x30, 8), ioctl(WRITE, VHOST, 0x61, 4)
VHOSTS = LENT | {RESET_OWNER, SET_BACKEND, SET_RUNNING}
# GET_MP_STATE, XSAVE, XSAVE2, XCRS, DEBUGREGS, LAPIC, MSRS, VCPU_EVENTS, CPUID2, PIT2, CLOCK; and for --live
# SET_USER_MEMORY_REGION, GET_DIRTY_LOG.
SAVED = {ioctl(way, KVM, nr, size) for way, nr, size in [
    (READ, 0x98, 4), (READ, 0xa4, 4096), (READ, 0xcf, 4096), (READ, 0xa6, 392), (READ, 0xa1, 128), (READ, 0x8e, 1024),
    (READ | WRITE, 0x88, 8), (READ, 0x9f, 64), (READ | WRITE, 0x91, 8), (READ, 0x9f, 112), (READ, 0x7c, 48),
    (WRITE, 0x46, 32), (WRITE, 0x42, 16)]}
EACH = {IRQ_LINE}
# What a kind of thread needs: all others are refused. The kinds that are not here have none of their own, as the balloon's.
IOCTLS = {"vcpu0": EACH | {KVM_RUN, KVMCLOCK_CTRL, GET_IRQCHIP},
          "main": EACH | TAP | VHOSTS | {TCGETS, TCSETS, TIOCGPGRP, TCFLSH, TIOCGWINSZ, KVM_NMI, GET_REGS, SET_REGS, GET_SREGS, SET_SREGS, TRANSLATE},
          "balloon": EACH, "blk": EACH | {BLKDISCARD}, "net": EACH | TAP | LENT | {RESET_OWNER, SET_BACKEND, SET_QUEUE}, "vsock": EACH | LENT | {SET_RUNNING},
          "snapshot": EACH | SAVED | {GET_REGS, GET_SREGS, GET_TSC_KHZ, GET_IRQCHIP}}


def passing(tmp_path, thread, *options, without="death"):
    """The ioctls that reach the kernel, how many these are, and of how many. The guest waits meanwhile."""
    status, said, _ = attempt(tmp_path, thread, "ioctls", *options, without=without, payload=("ram", "all"))
    match = re.fullmatch(r"attack: (\d+) ioctls of (\d+):(.*)\nattack: done\n", said)
    assert status == 0 and match, (status, said)
    return {int(word, 16) for word in match[3].split()}, int(match[1]), int(match[2])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("thread", IOCTLS)
def test_ioctls(thread, tmp_path):
    """All that KVM, vhost, terminals, taps and the kernel's older drivers have: none passes but what the thread is for."""
    assert passing(tmp_path, thread)[0] == IOCTLS[thread]


@pytest.mark.parametrize("options, without", [(("--sandbox=off",), ""), ((), "calls")])
def test_ioctls_reach_the_kernel(options, without, tmp_path):
    """The control of test_ioctls."""
    _, passed, tried = passing(tmp_path, "vcpu0", *options, without=without)
    assert passed == tried > 9 << 20


def as_a_kernel(tmp_path, what, options):
    kernel = tmp_path / "kernel"
    kernel.write_text(f"attack: {what}\n" + "\n" * 5000)
    return attempt(tmp_path, "none", what, *options, kernel=str(kernel))


def as_a_snapshot(tmp_path, what, options):
    folder = tmp_path / "saved"
    folder.mkdir(exist_ok=True)
    (folder / "snapshot").write_text(f"attack: {what}\n" + "\n" * 5000)
    return attempt(tmp_path, "none", what, "--restore", str(folder), *options)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("options", [(), ("--sandbox=off",)], ids=["on", "off"])
@pytest.mark.parametrize("owned", [as_a_kernel, pytest.param(as_a_snapshot, marks=RESTORES)])
def test_owned_by_a_file(owned, options, tmp_path):
    """A stranger's kernel or snapshot takes over what reads it: there is as little to be had. The control is without the sandbox."""
    for what in [*ATTEMPTS, "mmap-snapshot"]:
        status, said, left = owned(tmp_path, what, options)
        if options or (what == "mmap-snapshot" and owned == as_a_snapshot):
            assert (status, said) == (0, "attack: done\n"), (what, status, said)
        elif what in BY_DIRECTORY:
            errno = (BY_NAMESPACES if lib.namespaces() else BY_LANDLOCK)[what]
            assert said == f"attack: errno {errno}\n", (what, status, said)
        else:
            assert status == -signal.SIGSYS, (what, status, said)
            assert re.fullmatch(r"ebb: the sandbox refused the system call \d+ to the thread attack: .*\n", said), (what, said)
            assert not left, (what, left)


# Commands that are in no sandbox, or not yet, and read a stranger's snapshot. The last one: how many disks its guest had.
READERS = {"merge": ["snapshot", "merge", "SAVED", "OUT"], "clone": ["clone", "--from", "SAVED", "-c", "1"],
           "pool": ["pool", "none", "--from", "SAVED"], "base": ["snapshot", "-n", "GUEST", "--base", "SAVED", "OUT"],
           "disks": ["run", "--restore", "SAVED", "-n", "none"]}

# There is no directory to begin with, and no standard stream, so that another program's words go nowhere.
NOT_TOLD = ["openat-above", "unlinkat-above", "create-vcpu", "tiocsti", "execve"]


def by_a_reader(tmp_path, command, guest, what, without=""):
    """What a command said to a snapshot that takes over what reads it."""
    saved, victim = tmp_path / "saved", tmp_path / "victim"
    saved.mkdir(exist_ok=True)
    (saved / "snapshot").write_text(f"attack: {what}\n" + "\n" * 5000)
    if command == "disks":
        (saved / ("disk0-" + 16 * "0a")).write_bytes(bytes(4096))
    victim.write_bytes(b"")
    names = {"SAVED": str(saved), "OUT": str(tmp_path / "out"), "GUEST": guest}
    env = os.environ | {"EBB_ATTACK_FILE": str(victim), "EBB_ATTACK_WITHOUT": without}
    done = subprocess.run([ATTACK, *(names.get(word, word) for word in READERS[command])], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert done.returncode in (1, 2) and not done.stdout, (what, done)
    assert without or victim.exists(), what
    assert not (tmp_path / "out").exists(), what
    return done.stderr


@RESTORES
@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("command", READERS)
def test_commands_owned_by_a_snapshot(command, run, tmp_path):
    """Without a sandbox of their own: a process that can do nothing else reads it. The control is one that gives up nothing."""
    guest = f"base-{os.getpid()}"
    if command == "base":
        run("stopped", "--name", guest, test="told").paused("ready")
    for what in ATTEMPTS:
        said = by_a_reader(tmp_path, command, guest, what)
        assert "the process that reads it failed" in said and "attack:" not in said, (what, said)
        if what not in NOT_TOLD:
            assert "attack: done\n" in by_a_reader(tmp_path, command, guest, what, "confine"), what


@RESTORES
def test_what_restores_may_is_taken_away(tmp_path):
    """Once the snapshot is read, or refused as here. The control: above, what reads it maps files."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "snapshot").write_text("no snapshot\n" * 500)
    status, said, _ = attempt(tmp_path, "main", "mmap-snapshot", "--restore", str(tmp_path / "saved"))
    assert status == -signal.SIGSYS and "the sandbox refused the system call 9 to the thread attack" in said, (status, said)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("thread", ["main", "vcpu0"])
def test_namespaces_refuse(thread, tmp_path):
    """By themselves: no call is filtered, and there is no Landlock."""
    if not lib.namespaces():
        pytest.skip("this host permits no namespaces")
    for what, errno in BY_NAMESPACES.items():
        _, said, _ = attempt(tmp_path, thread, what, without="calls,paths")
        assert said == f"attack: errno {errno}\n", (what, said)


@pytest.mark.parametrize("options, answer", [((), "errno 27"), (("--sandbox=off",), "done")])
def test_limits(tmp_path, options, answer):
    """A disk's thread may write to files: no longer ones than there are."""
    status, said, _ = attempt(tmp_path, "blk", "grow", *options)
    assert (status, said) == (0, f"attack: {answer}\n")


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("thread", ["main", "vcpu0"])
def test_landlock_refuses(thread, tmp_path):
    """By itself: no call is filtered, and there are no namespaces."""
    if not LANDLOCK:
        pytest.skip("this host has no Landlock")
    for what, errno in BY_LANDLOCK.items():
        _, said, _ = attempt(tmp_path, thread, what, wrapper=lib.NO_NAMESPACES, without="calls")
        *note, answer = said.splitlines()
        assert answer == f"attack: errno {errno}" and len(note) == lib.namespaces(), (what, said)


# --- the keeper, as a guest's answer has taken it over -------------------------------------------

# It looks for guests by their names, so it may open, remove and connect: where, is a matter of namespaces and Landlock.
KEEPERS_CALLS = ["local-socket", "connect-file", "connect-abstract", "unlinkat", "unlinkat-directory", "openat-name",
                 "create-name", "proc-name", "unlinkat-above"]
# What a guest's ebb does with its backends: a keeper that could would have all of a guest's RAM, by x-ebb-snapshot.
# And a keeper that could write PIDs into the names' files would have a command of the user's signal anybody.
KEEPER_ATTEMPTS = [*ATTEMPTS, "pass-descriptor", "write-name"]
KEEPER_BY_NAMESPACES = {"openat-name": 2, "create-name": 2, "proc-name": 2, "unlinkat": 2, "unlinkat-directory": 2,
                        "unlinkat-above": 30, "connect-abstract": 111, "connect-file": 2}
KEEPER_BY_LANDLOCK = {"openat-name": 13, "create-name": 13, "proc-name": 13, "unlinkat": 13, "unlinkat-directory": 13,
                      "unlinkat-above": 13, "write-name": 13}
KEEPER_BY_LANDLOCK |= {"connect-abstract": 1} if LANDLOCK >= 6 else {}
KEEPER_BY_LIMITS = {"write-name": 27}


def attempt_by_keeper(tmp_path, what, *options, wrapper=(), without=""):
    """What the keeper ended with, and what it said after its first line."""
    victim, runtime = tmp_path / "victim", tmp_path / "names"
    victim.write_bytes(b"")
    env = os.environ | {"EBB_ATTACK": f"main:{what}", "EBB_ATTACK_FILE": str(victim), "EBB_RUNTIME_DIR": str(runtime),
                        "EBB_ATTACK_WITHOUT": without}
    done = subprocess.run([*wrapper, ATTACK, "keeper", *options], env=env, stdin=subprocess.PIPE, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    assert victim.exists() or "attack: done" in done.stderr, what
    said = [line for line in done.stderr.splitlines(True) if "looking after the guests" not in line]
    return done.returncode, "".join(said)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("wrapper", [(), lib.NO_NAMESPACES], ids=["all", "less"])
def test_the_keeper_is_refused(tmp_path, wrapper):
    """What is left to it is told, too, by what is done: without namespaces, sockets of others that have a file (docs/security.md)."""
    namespaces = lib.namespaces() and not wrapper
    kept_in = KEEPER_BY_NAMESPACES if namespaces else KEEPER_BY_LANDLOCK if LANDLOCK else {}
    for what in [*KEEPER_ATTEMPTS, *KEEPERS_CALLS]:
        status, said = attempt_by_keeper(tmp_path, what, wrapper=wrapper)
        if what in KEEPERS_CALLS:
            assert said.endswith(f"attack: errno {kept_in[what]}\n" if what in kept_in else "attack: done\n"), (what, status, said)
        else:
            assert status == -signal.SIGSYS, (what, status, said)
            assert "ebb: the sandbox refused the system call" in said, (what, said)
            assert not os.listdir(tmp_path / "names"), what
        assert ("could connect to this user's other programs" in said) != namespaces, (what, said)


@pytest.mark.usefixtures("servers")
def test_the_keeper_without_its_sandbox(tmp_path):
    """The control: each attempt is done."""
    for what in [*KEEPER_ATTEMPTS, *KEEPERS_CALLS]:
        status, said = attempt_by_keeper(tmp_path, what, "--sandbox=off")
        assert (status, said) == (0, "attack: done\n"), (what, status, said)


@pytest.mark.usefixtures("servers")
def test_namespaces_refuse_the_keeper(tmp_path):
    """By themselves: no call is filtered, and there is no Landlock."""
    if not lib.namespaces():
        pytest.skip("this host permits no namespaces")
    for what, errno in (BY_NAMESPACES | KEEPER_BY_NAMESPACES).items():
        _, said = attempt_by_keeper(tmp_path, what, without="calls,paths")
        assert said == f"attack: errno {errno}\n", (what, said)


@pytest.mark.usefixtures("servers")
def test_landlock_refuses_the_keeper(tmp_path):
    """By itself: no call is filtered, and there are no namespaces."""
    if not LANDLOCK:
        pytest.skip("this host has no Landlock")
    for what, errno in (BY_LANDLOCK | KEEPER_BY_LANDLOCK).items():
        _, said = attempt_by_keeper(tmp_path, what, wrapper=lib.NO_NAMESPACES, without="calls")
        *note, answer = said.splitlines()
        assert answer == f"attack: errno {errno}" and len(note) == lib.namespaces(), (what, said)


def test_limits_refuse_the_keeper(tmp_path):
    """By themselves: no file becomes longer."""
    for what, errno in KEEPER_BY_LIMITS.items():
        _, said = attempt_by_keeper(tmp_path, what, without="calls,paths")
        assert said.endswith(f"attack: errno {errno}\n"), (what, said)


@pytest.mark.skipif(not lib.namespaces(), reason="this host permits no namespaces")
def test_the_keeper_may_be_required_to_have_all(tmp_path):
    status, said = attempt_by_keeper(tmp_path, "openat", "--sandbox=require", wrapper=lib.NO_NAMESPACES)
    assert status == 1 and "cannot give up the host's namespaces" in said and said.count("\n") == 1, said
    assert not os.listdir(tmp_path / "names")
    status, said = attempt_by_keeper(tmp_path, "openat", "--sandbox=require")
    assert status == -signal.SIGSYS, said
