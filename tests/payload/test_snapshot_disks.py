# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot of a guest with disks, which are not in the snapshot."""

import ctypes
import os

import pytest
from test_snapshot import MIB, OPTIONS, snapshot, step

CACHESTAT = 451


def unwritten(path):
    """How many pages of it only the host's memory has."""
    whole = (ctypes.c_uint64 * 2)(0, 0)
    found = (ctypes.c_uint64 * 5)()
    with open(path, "rb") as file:
        if ctypes.CDLL(None, use_errno=True).syscall(CACHESTAT, file.fileno(), whole, found, 0):
            pytest.skip(f"needs a kernel with cachestat(): {os.strerror(ctypes.get_errno())}")
    return found[1] + found[2]


def test_they_are_flushed(run, tmp_path):
    """And named, since they must not change. A disk that is read-only is the control."""
    disks = [tmp_path / "disk, with a comma", tmp_path / "shared"]
    for disk in disks:
        disk.write_bytes(bytes(MIB))
    name = f"disks-{os.getpid()}"
    payload = run("saved", *OPTIONS, "-d", str(disks[0]).replace(",", ",,"), "-d", f"{disks[1]},ro", "--name", name, test="one-cpu")
    step(payload)
    # The host may happen to write by itself.
    for _ in range(10):
        for disk in disks:
            with open(disk, "r+b") as file:
                file.write(os.urandom(MIB))
        if not unwritten(disks[0]):
            pytest.skip("needs a file system that writes later")
        said = snapshot(name, tmp_path / "there").splitlines()
        assert said[1:] == [f"{name}: until it is restored, its disks must not change: '{disks[0]}'"]
        assert not unwritten(disks[0])
        if unwritten(disks[1]):
            break
    else:
        pytest.fail("the other one is flushed, too")
    payload.kill()
    # Nothing is said of one that has none.
    payload = run("saved", *OPTIONS, "-d", f"{disks[1]},ro", "--name", name, test="one-cpu")
    step(payload)
    assert len(snapshot(name, tmp_path / "there").splitlines()) == 1
