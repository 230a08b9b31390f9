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


def assert_comes_first(payload, size):
    """Below the program and its libraries: the kernel tells of mappings in this order, and each costs time."""
    lines = [line.split() for line in payload.look(f"/proc/{payload.pid}/maps").splitlines()]
    spans = [[int(address, 16) for address in fields[0].split("-")] for fields in lines]
    at = [end - start for start, end in spans].index(size)
    assert at <= 1 and len(lines[at]) == 5, lines[:at + 1]
    return spans[at][0]


def test_is_somewhere_else_each_time(run):
    """A guest that found a hole in ebb would still have to find its own RAM."""
    places = set()
    for _ in range(3):
        payload = run("ram", test="all", memory="16M", params=f"memory={16 * MIB}")
        payload.paused("filled")
        places.add(assert_comes_first(payload, 16 * MIB))
        payload.kill()
    assert len(places) == 3, places


def test_all_of_a_small_guest(run):
    """Every page of 16 MiB; the host has them, and little more."""
    payload = run("ram", test="all", memory="16M", params=f"memory={16 * MIB}")
    payload.paused("filled")
    assert 13 * MIB < payload.rss() < 20 * MIB
    payload.proceed()
    payload.passed("all")
