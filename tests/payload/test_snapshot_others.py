# SPDX-License-Identifier: Apache-2.0
"""Snapshots of another version, architecture or processor, with right checksums: refused in words."""

import re
import struct

import pytest
import snapshots
from test_snapshot import OPTIONS, WAYS, refusal

NAME = 16  # bytes of each name in the machine's record
LEAF = 24  # bytes of each leaf of CPUID
PROCESSOR = "saved on a host with another processor, kernel or options of KVM"


def name(at, text):
    """A change of the machine's record."""
    return lambda payload: payload[:at] + text.ljust(NAME, b"\0") + payload[at + NAME:]


def feature(function, register, bit):
    """A change of a CPU's record: another bit of that leaf, of index 0."""
    def change(payload):
        payload = bytearray(payload)
        count, = struct.unpack_from("<I", payload)
        for at in range(4, 4 + count * LEAF, LEAF):
            if struct.unpack_from("<II", payload, at) == (function, 0):
                value, = struct.unpack_from("<I", payload, at + 8 + 4 * register)
                struct.pack_into("<I", payload, at + 8 + 4 * register, value ^ 1 << bit)
                return payload
        raise ValueError(f"it has no leaf {function:#x}")
    return change


def fewer(payload):
    return struct.pack("<I", struct.unpack_from("<I", payload)[0] - 1) + payload[4:]


CASES = {
    "architecture": (snapshots.MACHINE, name(0, b"aarch64"), r"it is of a machine of another architecture \(aarch64\)"),
    "hostile": (snapshots.MACHINE, name(0, b"x\x1b[2J\n"), r"another architecture \(x\?\[2J\?\)"),
    "newer": (snapshots.MACHINE, name(NAME, b"99.0"), r"it was saved by ebb 99\.0, and this is ebb \S+$"),
    "feature": (snapshots.CPU, feature(7, 1, 5), PROCESSOR),
    "maker": (snapshots.CPU, feature(0, 1, 0), PROCESSOR),
    "leaves": (snapshots.CPU, fewer, PROCESSOR),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind, change, words", CASES.values(), ids=CASES)
def test_another_machine(restore, saved, tmp_path, kind, change, words, way):
    (tmp_path / "snapshot").write_bytes(snapshots.with_payload((saved / "snapshot").read_bytes(), kind, change))
    assert re.search(words, refusal(restore, tmp_path, *OPTIONS, way=way))


@pytest.mark.parametrize("step", [1, 1 << 20, -1])
def test_another_version(restore, saved, tmp_path, step):
    """One above ours, far above, and below."""
    whole = (saved / "snapshot").read_bytes()
    ours = snapshots.version(whole)
    (tmp_path / "snapshot").write_bytes(snapshots.with_version(whole, ours + step))
    assert f"its format has version {ours + step}, and this ebb reads version {ours}: " in refusal(restore, tmp_path, *OPTIONS)


def test_a_section_from_the_future(restore, saved, tmp_path):
    data = snapshots.with_payload((saved / "snapshot").read_bytes(), snapshots.CPU, bytes, new_kind=4711)
    (tmp_path / "snapshot").write_bytes(data)
    assert "it has section 0 of type 4711 where this ebb expects section 0 of type 5" in refusal(restore, tmp_path, *OPTIONS)


@pytest.mark.parametrize("change", [bytes, feature(1, 2, 27), feature(7, 2, 4)], ids=["nothing", "OSXSAVE", "OSPKE"])
def test_the_same_goes_on(restore, saved, tmp_path, change):
    """The control: what is changed back is what it was, and bits that follow other registers do not count."""
    whole = (saved / "snapshot").read_bytes()
    data = snapshots.with_payload(whole, snapshots.CPU, change)
    assert snapshots.with_payload(data, snapshots.CPU, change) == whole == snapshots.with_version(whole, snapshots.version(whole))
    (tmp_path / "snapshot").write_bytes(data)
    assert restore(tmp_path, *OPTIONS).steps(2)
