# SPDX-License-Identifier: Apache-2.0
"""What is out of reach while a guest runs: of ebb, what its parent left open.

With its control: the same with --sandbox=off, in which it is within reach.
"""

import json
import os
import subprocess

import pytest
from payload import EBB, PAYLOADS, TIMEOUT

NAME = f"sandbox-{os.getpid()}"
OFF = "--sandbox=off"
MODES = [(), (OFF,)]


def running(run, *options, **popen):
    """A guest that waits, on a vCPU that runs."""
    payload = run("stopped", "--name", NAME, *options, test="told", **popen)
    payload.paused("ready")
    return payload


def descriptors(payload):
    folder = f"/proc/{payload.pid}/fd"
    try:
        return {int(fd): os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
    except PermissionError:
        pytest.skip("only root may look at the descriptors of a process that is not dumpable")


def without_proc():
    """The words to start ebb by in a mount namespace in which /proc is empty."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a mount namespace without /proc")
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


@pytest.mark.parametrize("hidden", [False, True], ids=["proc", "no-proc"])
@pytest.mark.parametrize("options", MODES)
def test_inherited_descriptors(run, options, hidden):
    """Two that the parent left open, one of them far up."""
    reader, writer = os.pipe()
    far = os.dup2(reader, 900, inheritable=True)
    payload = running(run, *options, pass_fds=(writer, far), wrapper=without_proc() if hidden else ())
    there = descriptors(payload)
    os.close(writer)
    os.close(far)
    os.close(reader)
    inherited = {writer, far} & set(there)
    assert inherited == ({writer, far} if options else set()), there
    # Of the machine only: a new machine needs /dev/kvm.
    assert "/dev/kvm" not in there.values(), there
    assert "anon_inode:kvm-vm" in there.values(), there


def test_kernel_by_descriptor(run):
    """A kernel from a descriptor's name, as a shell gives it for <(…), is read before the descriptor is closed."""
    with open(os.path.join(PAYLOADS, "exits.elf"), "rb") as file:
        done = subprocess.run([EBB, "run", "-k", f"/dev/fd/{file.fileno()}", "--no-balloon", "-p", "acpi=off test=ports"],
                              pass_fds=(file.fileno(),), capture_output=True, timeout=TIMEOUT, check=False,
                              stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and b"ok ports" in done.stdout, done


@pytest.mark.parametrize("options", MODES)
def test_list_says(run, options):
    running(run, *options)

    def listed(*words):
        return subprocess.run([EBB, "list", *words], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout

    row = next(row for row in json.loads(listed("--json")) if row["name"] == NAME)
    assert row["sandbox"] == ("off" if options else "on")
    line = next(line for line in listed().splitlines() if NAME in line)
    assert ("running, no sandbox" in line) == bool(options), line
