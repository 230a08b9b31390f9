# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count --memory 2048
"""What a guest with our kernel tells of its memory: how old it is, and what was needed again."""

import json
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until

pytestmark = pytest.mark.linux

MIB = lib.MIB
HALF = 64 * MIB
# A disk that nobody has open any more is not cached either.
JOB = (
    "echo %s >/sys/kernel/mm/lru_gen/enabled; exec 3</dev/vda; "
    "half() { dd if=/dev/vda of=/dev/null bs=1M count=64 skip=$1 2>/dev/null; }; half 0; echo ready; "
)


def tells(box, name):
    done = subprocess.run([lib.EBB, "stat", "-n", name, "--json"], env=box.env, capture_output=True, check=True, timeout=LIMIT)
    return json.loads(done.stdout)["guest-stats"]["stats"]


@pytest.fixture
def start(ebb, tmp_path):
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(2 * HALF)

    def one(name, lru, job):
        guest = ebb.start(JOB % lru + job, "-d", f"{disk},ro", "--free-page-reporting", "--name", name, memory="256M")
        guest.wait_for("^ready$", LIMIT)
        if "stat-ebb-file" not in tells(ebb, name):
            pytest.skip("the guest's kernel does not tell")
        return guest

    return one


@pytest.mark.parametrize("lru", ["n", "y"])
def test_what_is_not_used_grows_old(ebb, start, lru):
    """Files that were read once are old after 10 s. The control reads its own all the time, by read(): they are not."""
    start("once", lru, "sleep 100000")
    start("always", lru, "while :; do half 0; sleep 2; done")

    def old(name):
        return tells(ebb, name).get("stat-ebb-file-10s", 0)

    wait_until(lambda: old("once") > HALF * 3 // 4 and "stat-ebb-file-10s" in tells(ebb, "always"), "files grow old")
    once, always = tells(ebb, "once"), tells(ebb, "always")
    assert once["stat-ebb-file-10s"] <= once["stat-ebb-file"] and once["stat-ebb-file-1h"] == 0
    assert always["stat-ebb-file"] >= HALF and always["stat-ebb-file-10s"] < HALF // 4


@pytest.mark.parametrize("lru", ["n", "y"])
def test_what_was_dropped_and_is_read_again_is_counted(ebb, start, lru):
    """And what is read for the first time is not."""
    guest = start("reader", lru, "read line; half 64; echo new; read line; half 0; echo again; sleep 100000")
    guest.send("\n")
    guest.wait_for("^new$", LIMIT)
    assert tells(ebb, "reader")["stat-ebb-refault-file"] < MIB
    words = [lib.EBB, "reclaim", "-n", "reader", "--cache=all"]
    subprocess.run(words, env=ebb.env, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT)
    guest.send("\n")
    guest.wait_for("^again$", LIMIT)
    assert tells(ebb, "reader")["stat-ebb-refault-file"] > HALF * 3 // 4
