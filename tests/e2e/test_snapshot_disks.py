# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot with Linux and a disk: saved with the guest (--disks copy); and what is read from it counts as written to the guest's
memory (--track). tests/payload/test_snapshot_disks.py and test_track.py have mistakes and killed clients.
"""

import os
import re

import pytest
from test_monitor import run
from test_snapshot import JOB, MEMORY, MIB, PATTERN, answer, counts, restore

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]

READ = "dd if=/dev/vda bs=1M count=4 {} 2>/dev/null | cmp - /tmp/pattern && echo same"


def has_pattern(one, flags="iflag=direct"):
    return answer(one, READ.format(flags), "^same$|differ|EOF")[0] == "same"


def test_disks_are_copied(ebb, tmp_path):
    """The guest that goes on finds its disk as it was, though the first one wrote to it meanwhile, and writes to one of its own.
    The control: with a disk that was kept it finds what the first one wrote."""
    disk, folder, kept = tmp_path / "disk.img", tmp_path / "copied", tmp_path / "kept"
    with open(disk, "wb") as file:
        file.truncate(16 * MIB)
    guest = ebb.start(JOB, "-d", disk, "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    write = "dd if={} of=/dev/vda bs=1M count=4 conv=fsync && echo written"
    answer(guest, write.format("/tmp/pattern"), "^written$")
    assert re.search("saved 1 of its disks in .*, too: ", run(ebb, "snapshot", "--disks", "copy", "-n", "saved", folder))
    run(ebb, "snapshot", "-n", "saved", kept)
    answer(guest, write.format("/dev/zero"), "^written$")
    guest.kill()
    copied = restore(ebb, folder, "--name", "copied")
    assert has_pattern(copied)
    answer(copied, write.format("/dev/zero"), "^written$")
    assert not has_pattern(copied) and not any(disk.read_bytes()[:MIB])
    assert has_pattern(restore(ebb, folder, "--name", "again"))
    assert not has_pattern(restore(ebb, kept, "-d", disk, "--name", "control"))


def test_what_a_disk_writes_is_tracked(ebb, tmp_path):
    """The guest reads a disk into its page cache after its first snapshot: only the disk writes there. What goes on from the
    increment has that, with another disk beneath; the control is what it reads past the cache. And it is small."""
    disk, other, first, part = (tmp_path / name for name in ("disk.img", "other.img", "first", "part"))
    for name in disk, other:
        with open(name, "wb") as file:
            file.truncate(16 * MIB)
    guest = ebb.start(JOB, "-d", disk, "--name", "booted", memory=MEMORY)
    counts(guest, 1)
    answer(guest, "dd if=/tmp/pattern of=/dev/vda bs=1M oflag=direct && echo written", "^written$")
    print(run(ebb, "snapshot", "--track", "-n", "booted", first))
    # Linux drops the cache of a disk that nobody has open any more.
    answer(guest, "exec 3</dev/vda; cat <&3 >/dev/null; echo cached", "^cached$")
    print(run(ebb, "snapshot", "-n", "booted", "--base", first, part))
    size = [os.stat(folder / "snapshot").st_blocks * 512 for folder in (first, part)]
    assert PATTERN * MIB < size[1] < PATTERN * MIB + size[0] / 4, size
    guest.kill()
    one = restore(ebb, part, "-d", other)
    assert counts(one, 2) and has_pattern(one, "") and not has_pattern(one)
    assert "BAD" not in one.console()
