# SPDX-License-Identifier: Apache-2.0
"""Huge pages that a guest gave back and another process took, when the device wants them again (taken.c)."""

import os
import pathlib
import subprocess

import pytest
from payload import REPORTING

HUGE = 2 << 20
MEMORY = 32 << 20
POOL = "/proc/sys/vm/nr_hugepages"


@pytest.fixture
def huge(tmp_path):
    """A hugetlbfs that has no page more than the guest: others' pages don't matter, nor how many the pool has."""
    if os.environ.get("EBB_HOST") != "1":
        pytest.skip("changes the host's pool of huge pages: only on the emulated host, by tests/e2e/test_backings.py")
    before = pathlib.Path(POOL).read_text("ascii")
    pathlib.Path(POOL).write_text(str(MEMORY // HUGE), "ascii")
    path = tmp_path / "huge"
    path.mkdir()
    subprocess.run(["mount", "-t", "hugetlbfs", "-o", f"size={MEMORY}", "none", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)
    pathlib.Path(POOL).write_text(before, "ascii")


def reported(run, huge):
    payload = run("taken", REPORTING, "--mem-backing", f"hugetlbfs:{huge}", "--mem-prealloc", memory=f"{MEMORY >> 20}M")
    payload.paused("given back")
    return payload


def test_the_ring_is_taken(run, huge):
    """The guest ends, with the reason; ebb does not crash."""
    payload = reported(run, huge)
    with open(huge / "other", "wb") as other:
        os.posix_fallocate(other.fileno(), 0, HUGE)
        payload.proceed()
        payload.ended(1)
    assert "huge page" in payload.stderr() and "died of signal" not in payload.stderr()


def test_the_ring_is_left(run, huge):
    """The control: nobody took it."""
    payload = reported(run, huge)
    payload.proceed()
    payload.passed("ring")
