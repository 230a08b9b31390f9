# SPDX-License-Identifier: Apache-2.0
"""ebb as a guest has taken it over (tests/attack): what each of its threads tries is refused.

The control: with --sandbox=off each attempt is done. Root's own ebb keeps what root may do then, and so do the attempts.
"""

import ctypes
import os
import re
import signal
import subprocess

import pytest
from payload import PAYLOADS, REPORTING, TIMEOUT, lib

ATTACK = os.path.join(lib.BUILD, "tests", "attack")
THREADS = ["main", "vcpu0", "balloon", "blk", "rng", "net", "measure"]
ATTEMPTS = ["openat", "create", "unlinkat", "unlinkat-directory", "execve", "fork", "thread", "socket", "local-socket", "ptrace", "process_vm_readv",
            "mmap-exec", "mprotect-exec", "mmap-file", "kill", "tgkill", "create-vcpu", "tiocsti", "io_uring", "dumpable",
            "unshare", "chdir"]


LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0  # landlock_create_ruleset(2): the version
if not LANDLOCK:
    ATTEMPTS.remove("unlinkat-directory")  # without it nothing keeps ebb from that: docs/limits.md

# The kernel answers, since ebb removes its own two files so: what it lets a name be is Landlock's matter.
NO_FILTER = {"unlinkat-directory": "attack: errno 13\n"}


def attempt(tmp_path, thread, what, *options):
    """What ebb ended with, and what it said."""
    disk, victim, runtime = tmp_path / "disk", tmp_path / "victim", tmp_path / what
    disk.write_bytes(bytes(1 << 20))
    victim.write_bytes(b"")
    words = [ATTACK, "run", "-k", os.path.join(PAYLOADS, "exits.elf"), "-p", "test=ports", "-d", str(disk),
             REPORTING, "--rng", "-n", "user" if thread == "net" else "none", *options]
    env = os.environ | {"EBB_ATTACK": f"{thread}:{what}", "EBB_ATTACK_FILE": str(victim), "EBB_RUNTIME_DIR": str(runtime)}
    done = subprocess.run(words, env=env, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert victim.exists() or options, what
    return done.returncode, done.stderr, os.listdir(runtime)


@pytest.mark.parametrize("thread", THREADS)
def test_refused(thread, tmp_path):
    for what in ATTEMPTS:
        status, said, left = attempt(tmp_path, thread, what)
        if what in NO_FILTER:
            assert said == NO_FILTER[what], (what, status, said)
            continue
        name = "attack" if thread == "main" else thread
        assert status == -signal.SIGSYS, (what, status, said)
        assert re.fullmatch(rf"ebb: the sandbox refused the system call \d+ to the thread {name}: .*\n", said), (what, said)
        assert not left, (what, left)


@pytest.mark.parametrize("thread", ["main", "vcpu0", "balloon"])
def test_done_without_the_sandbox(thread, tmp_path):
    for what in ATTEMPTS:
        status, said, _ = attempt(tmp_path, thread, what, "--sandbox=off")
        # A thread may run another program while the main thread begins the next one, which then fails.
        said = re.sub(r"^ebb: cannot start the thread .*\n", "", said) if what == "execve" else said
        assert (status, said) == (0, "attack: done\n"), (what, status, said)
