# SPDX-License-Identifier: Apache-2.0
"""RAM where the memory map says it is, and nothing elsewhere (ram.c)."""

import pytest
from payload import lib

MIB = lib.MIB
GIB = 1024 * MIB


@pytest.mark.parametrize("size", [16 * MIB, 3 * GIB, 3 * GIB + MIB, 5 * GIB], ids=lambda s: f"{s // MIB}M")
@pytest.mark.parametrize("test", ["map", "ends", "nothing"])
def test_layout(run, size, test):
    run("ram", test=test, memory=f"{size // MIB}M", params=f"memory={size}").passed(test)


def test_all_of_a_small_guest(run):
    """Every page of 16 MiB; the host has them, and little more."""
    payload = run("ram", test="all", memory="16M", params=f"memory={16 * MIB}")
    payload.paused("filled")
    assert 13 * MIB < payload.rss() < 20 * MIB
    payload.proceed()
    payload.passed("all")
