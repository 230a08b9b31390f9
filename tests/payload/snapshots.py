# SPDX-License-Identifier: Apache-2.0
"""The form of snapshots (docs/snapshot-format.md), and which of a file's pages are in the host's page cache."""

import ctypes
import os
import struct

HEAD, SECTION, PAGE = 32, 32, 4096
FILLER, MACHINE, MEMORY, CPU, END, PAGES, WORKING_SET, BASE, WRITTEN = 1, 2, 3, 5, 8, 9, 10, 11, 12


def checksum(data):
    """CRC-32C, a bit at a time."""
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def sections(data):
    """{type: (where the payload begins, its length)}; of several of a type the last."""
    at, found = HEAD, {}
    while at < len(data):
        kind, _, length = struct.unpack_from("<IIQ", data, at)
        found[kind] = (at + SECTION, length)
        at += SECTION + length
    return found


def runs(data, kind=MEMORY):
    """[(guest address, pages)] of a snapshot, or of a working set, or of what an increment has as zeros."""
    at = sections(data)[kind][0] + (0 if kind == MEMORY else 16)
    count, _ = struct.unpack_from("<IQ", data, at)
    return [struct.unpack_from("<QQ", data, at + 12 + 16 * n) for n in range(count)]


def with_runs(data, wanted):
    """A working set with these runs instead, and the right checksums."""
    at, length = sections(data)[WORKING_SET]
    listed = struct.pack("<IQ", len(wanted), sum(pages for _, pages in wanted)) + b"".join(struct.pack("<QQ", *run) for run in wanted)
    payload = data[at:at + 16] + listed
    head = struct.pack("<IIQIII", WORKING_SET, 0, len(payload), checksum(payload), 0, 0)
    return data[:HEAD] + head + struct.pack("<I", checksum(head)) + payload + data[at + length:]


def without_zeros(data):
    """An increment that has forgotten what reads as zero, with the right checksums; but the pages', which is not looked at
    where they are mapped. All else stays where it is."""
    at, length = sections(data)[BASE]
    lost, out, at, index = length - 28, data[:HEAD], HEAD, 0
    while at < len(data):
        kind, number, length, check = struct.unpack_from("<IIQI", data, at)
        payload = data[at + SECTION:at + SECTION + length]
        if kind == BASE:
            payload = payload[:16] + bytes(12)
        if kind == FILLER:
            payload = bytes(length + lost)
        if kind in (BASE, FILLER):
            check = checksum(payload)
        head = struct.pack("<IIQIII", kind, number, len(payload), check, index, 0)
        out += head + struct.pack("<I", checksum(head)) + payload
        at += SECTION + length
        index += 1
    return out


def first_round(data):
    """Of a guest that was saved while it ran: only what was sent of its memory before any of it was sent again."""
    out, at, index, last, pages = [data[:HEAD]], HEAD, 0, 0, 0
    while at < len(data):
        kind, number, length, check = struct.unpack_from("<IIQI", data, at)
        payload = data[at + SECTION:at + SECTION + length]
        at += SECTION + length
        if kind == WRITTEN:
            gpa, count = struct.unpack_from("<QQ", payload)
            if gpa < last:
                last = 1 << 64
                continue
            last = gpa
            pages += count if length > 16 else 0
        if kind == FILLER:  # before the pages, which begin at a multiple of 4096
            payload = bytes(-(sum(map(len, out)) + 2 * SECTION) % PAGE)
            length, check = len(payload), checksum(payload)
        if kind == END:
            payload = struct.pack("<IQ", index, pages) + payload[12:]
            check = checksum(payload)
        head = struct.pack("<IIQIII", kind, number, length, check, index, 0)
        out += [head, struct.pack("<I", checksum(head)), payload]
        index += 1
    return b"".join(out)


def with_version(data, version):
    """The same, as of another version of the format, with the right checksum."""
    head = data[:8] + struct.pack("<I", version) + data[12:HEAD - 4]
    return head + struct.pack("<I", checksum(head)) + data[HEAD:]


def version(data):
    return struct.unpack_from("<I", data, 8)[0]


def with_payload(data, kind, change, new_kind=None):
    """The same, but what `change` makes of the payload of a section of that kind, as long as it was, and the right checksums.
    Of several of a kind it is the last."""
    at, length = sections(data)[kind]
    payload = bytes(change(data[at:at + length]))
    assert len(payload) == length
    _, number, _, _, index, zero = struct.unpack_from("<IIQIII", data, at - SECTION)
    head = struct.pack("<IIQIII", new_kind or kind, number, length, checksum(payload), index, zero)
    return data[:at - SECTION] + head + struct.pack("<I", checksum(head)) + payload + data[at + length:]


def offset_of(data, gpa):
    """Where the guest's page at `gpa` is in the snapshot."""
    at = sections(data)[PAGES][0]
    for start, pages in runs(data):
        if start <= gpa < start + pages * PAGE:
            return at + gpa - start
        at += pages * PAGE
    raise ValueError(f"it has no memory at {gpa:#x}")


libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def drop(path):
    """The host forgets its copy of the file, which no process uses."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached(path, offset, length):
    """How many bytes from there on are in the host's page cache."""
    with open(path, "r+b") as file:
        where = libc.mmap(None, length, 1, 2, file.fileno(), offset)
        there = ctypes.create_string_buffer(length // PAGE)
        assert libc.mincore(where, length, there) == 0, os.strerror(ctypes.get_errno())
        libc.munmap(where, length)
    return sum(byte & 1 for byte in there.raw[:length // PAGE]) * PAGE
