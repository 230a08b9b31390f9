# SPDX-License-Identifier: Apache-2.0
"""The first inputs of each target: what a good driver, a kernel's build, a client, a person would write.

Everything here is also right: the fuzzer finds the wrong by itself. guest.h has the form of the devices' scripts.
"""

import gzip
import re
import struct

START, CHAIN, DATA, KICK, TURN, WRITE, READ, POKE, EVENT, TIME, AGAIN = range(11)
W = 1  # BUFFER_WRITE
PAGES = 0x10
INDIRECT, NO_KICK = 0x08, 0x40
HIGH = 2


def record(op, a=0, b=0, c=0):
    return struct.pack("<BBHI", op, a, b, c)


def script(*steps, a=0, b=0, c=0):
    return record(0, a, b, c) + b"".join(steps)


def chain(queue, *buffers):
    """Buffers are (flags, length, offset) or (flags, length, offset, place)."""
    return record(CHAIN, queue, len(buffers)) + b"".join(
        record(buffer[0], buffer[3] if len(buffer) > 3 else 0, buffer[1], buffer[2]) for buffer in buffers)


def data(offset, content):
    return record(DATA, 0, len(content), offset) + content + b"\0" * (-len(content) % 8)


def event(kind, b=0, c=0):
    return record(EVENT, kind, b, c)


def pages(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def balloon():
    driver = record(START, 0, 6)
    inflate = data(0, pages(17, 18, 20, 256)) + chain(0, (0, 16, 0))
    deflate = data(64, pages(18, 20)) + chain(1, (0, 8, 64))
    # Each feature has its queue: statistics 2, reports 3, reclaim 4.
    stats = data(128, b"".join(struct.pack("<HQ", tag, 4096) for tag in range(10))) + chain(2, (0, 100, 128))
    report = chain(3, (W | PAGES, 2, 0x1000), (W | PAGES, 1, 0x5000), (W | PAGES, 4, 0, HIGH))
    answer = data(256, struct.pack("<II5QII", 0, 0, 0, 0, 0, 0, 0, 0, 0)) + chain(4, (0, 56, 256), (W, 24, 512))
    answered = data(256, struct.pack("<II5QII", 1, 0, 4096, 0, 0, 4096, 8192, 3, 0)) + chain(4, (0, 56, 256), (W, 24, 512))
    late, failed = (data(256, struct.pack("<II5QII", 1, status, 0, 0, 0, 0, 0, 0, 0)) + chain(4, (0, 56, 256), (W, 24, 512)) for status in (1, 2))
    own = data(128, b"".join(struct.pack("<HQ", tag, 7) for tag in (0xeb00, 0xeb01, 9, 99))) + chain(2, (0, 40, 128))
    config = record(WRITE, 0x82, 4, 4) + record(READ, 0x82, 0)
    poison = record(START, 0, 0x26) + record(WRITE, 0x82, 12, 0xaa) + record(WRITE, 2, 0x70, 15)
    for b in 0, 1:
        yield script(driver, inflate, deflate, inflate, config, b=b)
        yield script(driver, report, report, event(4, 1), report, event(3, 1), report, b=b)
    yield script(driver, stats, event(1), stats, event(1))
    yield script(driver, answer, event(2, 1000, 1), answered, event(2), record(TIME, 31, 0xffff), event(2))
    yield script(driver, answer, event(2, 1, 9), late, event(2), failed, own)
    yield script(driver, event(0, 12, 4), config, record(READ, 0x82, 4))
    yield script(poison, report)
    yield script(record(START, 0, 6, 1 << 29), report, report, a=2)
    yield script(record(START, 0, 6), chain(2, (W | PAGES, 1, 0)), a=1)


def blk():
    def request(kind, sector, *buffers, at=0, flags=0):
        return data(at, struct.pack("<IIQ", kind, 0, sector)) + record(CHAIN, flags, len(buffers) + 2) + b"".join(
            record(f, 0, n, o) for f, n, o in ((0, 16, at), *buffers, (W, 1, at + 32)))

    def ranges(kind, *of):
        content = b"".join(struct.pack("<QII", *one) for one in of)
        return data(64, content) + request(kind, 0, (0, len(content), 64))

    driver = record(START, 0, 5)
    some = (request(0, 1, (W, 512, 4096)), request(1, 2, (0, 1024, 4096), (0, 512, 8192)), request(4, 0),
            request(8, 0, (W, 20, 4096)), ranges(11, (0, 8, 0), (16, 1, 0)), ranges(13, (8, 8, 1), (3, 2, 0)))
    for a in (*range(8), 0x14, 0x16):
        yield script(driver, *some, a=a)
        yield script(driver, event(1, 700), request(0, 0, (W, 4096, 4096)), event(0, 0), request(1, 0, (0, 4096, 4096)), a=a)
    several = b"".join(request(i & 1, i, (W * (1 - i % 2), 512, 4096 * i), at=64 * i, flags=NO_KICK) for i in range(6))
    yield script(driver, event(5, 3), several, record(KICK), event(5, 2), a=2)
    yield script(driver, event(5, 1), several, record(KICK), record(WRITE, 2, 0x70, 0), a=2)
    yield script(record(START, 0, 8), event(5, 1), request(1, 3, (0, 512, 4096)), record(AGAIN, 0, 63), record(AGAIN, 0, 9), event(5, 2), a=2)
    yield script(driver, event(5, 1), several, record(KICK), event(5, 4), several, record(KICK), event(5, 10), several, a=2)
    yield script(driver, event(6, 1), several, record(KICK), event(5, 0), event(0, 0), several, record(KICK), a=2)
    yield script(driver, event(2, 0, 1000), *some, event(4, 1), event(3, 0, 4096), *some, a=2)
    yield script(driver, *(request(k, 0, (W, 512, 4096), flags=INDIRECT) for k in (0, 1, 2, 3, 8)))
    yield script(record(START, 0, 5, 1 << 9), *some, record(READ, 0x83, 0), record(READ, 0x83, 16), a=8)


def net():
    header = struct.pack("<BBHHHHH", 0, 0, 0, 0, 0, 0, 0)
    offload = struct.pack("<BBHHHHH", 1, 1, 54, 1000, 34, 6, 0)
    driver = record(START, 0, 4)
    rx = b"".join(record(CHAIN, NO_KICK, 1) + record(W, 0, 1526, 2048 * i) for i in range(4)) + record(KICK, 0)
    small = b"".join(record(CHAIN, NO_KICK, 1) + record(W, 0, 128, 2048 * i) for i in range(8)) + record(KICK, 0)
    tx = data(0x8000, header) + chain(1, (0, 12, 0x8000), (0, 60, 0x9000))
    for a in 0, 1, 3, 4:
        yield script(driver, rx, event(0, 60), event(0, 1514), tx, event(0, 200), tx, a=a)
        yield script(driver, small, event(0, 600), event(0, 60), tx, record(WRITE, 2, 0x70, 0), driver, tx, a=a)
    yield script(driver, rx, event(1, 20, 60), event(0, 36), event(4, 10), tx, tx, event(4, 0xffff), event(3), event(7), tx)
    yield script(driver, tx, event(5, 0), tx, event(0, 60), event(5, 1), event(6, 1), tx, event(6, 0), rx)
    yield script(driver, event(2, 0x622, 1 | 1 << 8 | 100 << 16), rx, event(0, 1514),
                 data(0x8000, offload) + chain(1, (0, 12, 0x8000), (0, 1514, 0x9000)), event(8, 1), tx, event(8, 2), tx, a=1)
    yield script(driver, event(9, 3), rx, event(5, 0), event(5, 1), event(9, 0x100), tx, driver, event(9, 7), tx, a=3)
    yield script(record(START, 0, 4, 1 << 15), small, event(0, 600), tx)
    large = record(CHAIN, NO_KICK, 2) + record(W, 0, 12, 0) + record(W, 0, 0xfff0, 16) + record(KICK, 0)
    yield script(driver, large, event(0, 65535), large, event(1, 65000, 65540), event(0, 65000), tx)
    yield script(driver, large, event(0, 65535), large, event(1, 65000, 65553), tx, a=1)
    yield script(driver, rx, event(8, 1), tx, event(5, 0), event(5, 1), event(6, 1), event(6, 0), tx, a=3)
    # Three pairs: the control queue is the seventh. Frames come to pair n by events from 10 * n on.
    pairs = {n: data(0x8100, bytes((4, 0, n, 0))) + chain(6, (0, 4, 0x8100), (W, 1, 0x8200)) for n in (0, 1, 2, 3, 4)}
    second = record(CHAIN, NO_KICK | 2, 1) + record(W, 0, 1526, 0x2000) + record(KICK, 2) + data(0x8000, header) + chain(3, (0, 12, 0x8000), (0, 60, 0x9000))
    for a in 0x11, 0x13:
        yield script(driver, pairs[3], rx, second, event(0, 60), event(10, 60), event(20, 60), pairs[1], second, event(10, 60), pairs[2], event(10, 60), a=a)
        yield script(driver, pairs[2], event(10, 60), pairs[1], pairs[0], pairs[4], event(8, 3), pairs[3], driver, pairs[3], event(18, 2), second, a=a)


def fs():
    def request(queue, opcode, at=0, flags=0):
        return data(at, struct.pack("<IIQQIIIi", 40, opcode, 7, 1, 0, 0, 0, 0)) + record(CHAIN, queue | flags, 3) + b"".join(
            record(f, 0, n, o) for f, n, o in ((0, 40, at), (0, 16, at + 64), (W, 104, at + 128)))

    driver = record(START, 0, 4)
    for a in 0, 2:
        yield script(driver, request(1, 26), event(1, 0, 1), request(1, 3), request(0, 2), event(1, 0, 0), event(1, 0, 1), a=a)
        yield script(driver, request(1, 26), event(3), request(1, 3), event(5), request(1, 3), request(1, 26), event(1, 1, 1), a=a)
        yield script(driver, request(1, 26), request(1, 3, 256), request(1, 4, 512), event(1, 0, 3), event(3), request(1, 3), event(5), request(1, 26), a=a)
        yield script(driver, request(1, 26), request(1, 3, 256), record(WRITE, 2, 0x70, 0), driver, request(1, 26), event(1, 0, 1), a=a)
        yield script(driver, request(1, 26), request(1, 3), event(1, 8, 1), event(3), request(1, 3), a=a)
        yield script(driver, request(1, 26), event(7, 1), event(3), event(5), request(1, 26), b=2, a=a)
    for lie in range(10):
        yield script(driver, request(1, 26), c=lie | 2 << 8)
        yield script(event(0, lie | lie << 8, 9), driver, request(1, 26), event(1, 0, 1), event(0, lie, 1), record(WRITE, 2, 0x70, 0), a=lie & 2)
    yield script(driver, request(1, 26), event(2, 1, 0x801), request(1, 3), event(6, 300, 1), request(1, 3), event(4, 3, 1))


def vsock():
    def header(op, src=1, dst=2, length=0, flags=0, room=65536, forwarded=0):
        return struct.pack("<QQIIIHHIII", 3, 2, src, dst, length, 1, op, flags, room, forwarded)

    def send(op, *more, length=0, **fields):
        return data(0x8000, header(op, length=length, **fields)) + chain(1, (0, 44, 0x8000), *more)

    driver = record(START, 0, 5)
    rx = b"".join(record(CHAIN, NO_KICK, 1) + record(W, 0, 4096, 4096 * i) for i in range(6)) + record(KICK, 0)
    told, moved = chain(2, (W, 8, 0xf000)), record(0xff)
    connect, answer = event(0, 0, 5000), send(2, src=5000, dst=1 << 30)
    served = send(1) + event(5)
    yield script(driver, rx, told, connect, answer, event(1, 300), send(3, (0, 100, 0x9000), length=100, src=5000, dst=1 << 30), event(3))
    yield script(driver, rx, served, send(3, (0, 1000, 0x9000), length=1000), event(4, 10), send(3, (0, 1000, 0x9000), length=1000), event(4, 0xffff),
                 send(4, flags=1), send(4, flags=2), event(1, 9), send(5))
    yield script(driver, rx, told, served, connect, moved, send(6), told, connect, answer, event(1, 300), served, a=3)
    yield script(driver, moved, connect, told, rx, moved, told, answer)
    yield script(driver, rx, event(8, 1), send(1), event(8), send(1), event(5, 0x100), send(7), event(7, 31), event(6, 1), connect, event(6), event(2, 4, 7))
    yield script(driver, send(9), send(1, room=0), event(5), event(1, 100), rx, send(6, room=50), record(WRITE, 2, 0x70, 0), driver, rx, record(READ, 0x82, 0))


def rng():
    driver = record(START, 0, 4)
    fill = chain(0, (W, 1024, 0))
    yield script(driver, fill, chain(0, (W, 8, 0), (W, 64, 64)), record(TIME, 20, 100), fill, record(KICK))
    yield script(driver, fill, record(AGAIN, 0, 63), record(TIME, 20, 1000), fill, record(AGAIN, 0, 20))
    yield script(driver, record(CHAIN, NO_KICK, 1) + record(W, 0, 4096, 0), event(1), record(KICK), event(0), record(KICK), a=100)
    yield script(driver, *[record(CHAIN, NO_KICK, 1) + record(W, 0, 1024, 1024 * i) for i in range(12)], *[record(KICK)] * 12)


def vcon():
    def control(number, what, value=1):
        return data(0x8000, struct.pack("<IHH", number, what, value)) + chain(3, (0, 8, 0x8000))

    driver = record(START, 0, 4)
    told = b"".join(record(CHAIN, 2 | NO_KICK, 1) + record(W, 0, 64, 64 * i) for i in range(12)) + record(KICK, 2)
    rx = b"".join(record(CHAIN, queue, 1) + record(W, 0, 512, 0x4000 + 512 * queue) for queue in (0, 4, 6))
    ready = control(0, 0) + b"".join(control(port, 3) + control(port, 6) for port in range(3))
    sent = b"".join(chain(queue, (0, 300, 0x9000)) for queue in (1, 5, 7))
    moved = record(0xff)
    for a in 0, 1, 2:
        yield script(driver, told, ready, rx, event(0, 100), event(1, 300, 1), event(2, 80, 25), sent, event(0, 5000), rx, moved, rx, sent, a=a)
        yield script(driver, event(3, 10), sent, moved, event(3, 0xffff), sent, event(4, 1, 1), told, ready, event(4, 0, 1), told, a=a)
        yield script(driver, event(5, 1), sent, event(0, 9), event(5, 0), rx, record(WRITE, 2, 0x70, 0), driver, rx, record(READ, 0x82, 0), a=a)


def board():
    def access(what, offset, value=0, width=0):
        return struct.pack("<BBHI", what, width, offset, value)

    yield b"".join((access(0, 1, 7), access(0, 2, 1), access(2, 4, 0x64636261), access(1, 5), access(1, 0), access(1, 2), access(3, 0, 0x62),
                    access(0, 0, 0x41), access(0, 3, 0x80), access(0, 0, 1), access(1, 6)))
    yield b"".join((access(4, 0, i) + access(4, 3, 0x0f) for i in (0, 2, 4, 6, 7, 8, 9, 10, 11, 13, 0x32, 0x40)))
    yield b"".join((access(5, 4 * i, 0x12345678) for i in range(6)))
    enable, context = 0x2000 // 64, 0x200000 // 64
    yield b"".join((access(7, 0, 3, 6), access(7, enable, 0xfe, 2), access(6, 1, 1), access(8, context, 0, 6), access(6, 1, 0), access(7, context, 1, 6),
                    access(8, 0x1000 // 64, 0, 2), access(7, context, 7, 2), access(6, 1, 1), access(8, enable, 0, 2), access(8, context, 0, 2)))


def header(length, flags=0):
    return struct.pack("<I", flags | length << 8)


def elf(*programs, machine=62, kind=2, phnum=None):
    return struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", kind, machine, 1, 0x1000000, 64, 0, 0, 64, 56,
                       len(programs) if phnum is None else phnum, 64, 0, 0) + b"".join(
        struct.pack("<IIQQQQQQ", *program) for program in programs)


def kernel():
    load = (1, 5, 0x1000, 0x100000, 0x100000, 0x800, 0x2000, 4096)
    note = (4, 4, 232, 0, 0, 20, 20, 4)
    pvh = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
    for flags in 0, 3, 7, 8:
        yield header(0x2000, flags) + elf(load, note, (1, 6, 0x1800, 0x102000, 0x102000, 16, 4096, 4096)) + pvh
    yield header(0x2000) + elf(load, machine=183)
    yield header(0x2000) + elf((3, 4, 0, 0, 0, 0, 0, 1))
    setup = bytearray(0x270)
    setup[0x1f1] = 1
    setup[0x1f4:0x1f8] = struct.pack("<I", 0x40)
    setup[0x1fe:0x208] = b"\x55\xaa\xeb\x66HdrS" + struct.pack("<H", 0x20f)
    setup[0x211] = 1
    setup[0x22c:0x240] = struct.pack("<IIBBHII", 0x7fffffff, 0x200000, 1, 21, 1, 2047, 0)
    setup[0x258:0x264] = struct.pack("<QI", 0x1000000, 0x100000)
    for flags in 0, 3:
        yield header(0x1000, flags) + bytes(setup)
    yield header(0x1000) + bytes(setup[:0x234]) + b"\0" + bytes(setup[0x235:])
    for magic in b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18", b"\x89LZO", b"\x5d\0\0":
        yield header(0x1000) + magic
    for kind in b"gzip", b"zstd22", b"xzkern", b"odd":
        yield header(0x1000) + b"MZ\0\0zimg" + struct.pack("<II8x8s", 4096, 99, kind) + b"\0" * 16


def image():
    for magic, flag in (b"ARM\x64", 0), (b"RSC\x05", 4):
        head = struct.pack("<IIQQQ24x4sI", 0, 0, 0x80000, 0x10000, 0, magic, 0)
        yield header(0x4000, flag) + head
        yield header(0x4000, flag | 3) + head + b"\x13" * 32
        yield header(0, flag | 2) + gzip.compress(head + b"kernel" * 20, mtime=0)
        yield header(0, flag ^ 4) + gzip.compress(head, 1, mtime=0)
    yield header(0x4000, 8) + b"\x1f\x20\x03\xd5" * 20
    yield header(0x4000) + elf()
    yield header(100) + b"\xfd7zXZ\0"


def disk():
    mbr = bytearray(512)
    mbr[446:462] = struct.pack("<B3xB3xII", 0x80, 0x83, 8, 100)
    mbr[510:] = b"\x55\xaa"
    yield b"\0" + bytes(mbr)
    gpt = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, 99, 34, 90, b"", 2, 4, 128, 0)
    entry = struct.pack("<16s16sQQQ", b"\1" * 16, b"\2" * 16, 34, 50, 0)
    yield b"\0" + struct.pack("<Q", 1 << 20) + bytes(504) + gpt.ljust(512, b"\0") + entry
    for mark in b"QFI\xfb\0\0\0\3", b"KDMV\1\0\0\0", b"vhdxfile", b"conectix":
        yield b"\1" + mark + bytes(8)
    yield b"\2title Linux\nversion 6.1\nlinux /vmlinuz-6.1\ninitrd /initrd.img-6.1 /more\noptions root=/dev/vda1 ro \"a b\"\n"
    yield (b"\3set default=0\nmenuentry 'Debian' --class os {\n\tinsmod ext2\n\tlinux ($root)/boot/vmlinuz root=UUID=1 ro  quiet $more\n"
           b"\tinitrd\t/boot/initrd.img\n}\nmenuentry 'other' {\n linux16 /b\n}\n")
    yield b"\3menuentry \"x\\\"y\" {\nlinuxefi /a b='c d' e\\ f\ninitrdefi /i $tuned\n"


def qmp():
    hello = b'{"execute": "qmp_capabilities"}\r\n'
    yield b"\0" + hello + b'{"execute": "echo", "arguments": {"a": [1, -2.5e3, null]}, "id": "x"}\n' + hello
    yield b"\5" + b"{'execute': 'qmp_capabilities', 'arguments': {'enable': []}} {'execute':'refuse','arguments':{'name':'a\\u00e9'}}"
    yield b"\1" + hello + b'{"execute":"query-commands"}{"execute":"query-version"}\x01\n{"execute":"query-version","arguments":{"x":1}}{"execute":"none"}'
    yield b"\0" + b'[1,true,{"a":"\\ud83d\\ude00\\n"},false]\n"text" 18446744073709551615 0.1 1e999 -0 "\\/\\b\\f\\t\\r\\\\"'
    yield b"\0" + b'{"execute":"echo"}{"execute":1}{"execute":"x","arguments":1}{"x":1}[]\x7f}]\xff{"id":1}'
    yield b"\0" + b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}{"execute":"qmp_capabilities","arguments":{"x":1}}'
    yield b"\0" + b"[" * 40
    for value in b'"\\ud800"', b'"\\u0000"', b'"\xc3"', b'{"a":1,"a":2}', b"[1,]", b"01", b"nul", b'{"a" 1}', b"9" * 30, b'"\\x"', b"1 2", b"[" * 70 + b"]" * 70:
        yield b"\0" + value
    yield b"\0" + (b'{"uptime":5,"memory":{"size":1048576,"resident":4096},"balloon":{"state":"reached","target":0,"actual":0},'
                   b'"guest-stats":{"stats":{"stat-free-memory":-1,"stat-total-memory":1048576},"last-update":9},"name":"g","pid":1,"state":"running"}')


def words():
    for line in (b"-k vmlinux -m 512M -c 2 --name guest-1", b"vmlinux -i initrd -p quiet -p root=/dev/vda --nodefaults --debug",
                 b"-d /tmp/a,,b,ro,format=raw,aio=sync,cache=none -d b -m 64", b"--fs /srv,tag=t,ro --fs /home -m 1G --mem-backing memfd k",
                 b"-n user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:0.0.0.0:53-:53 k", b"-n tap,tapif=tap0,guest_mac=02:00:00:00:00:01,vhost=1,mtu=1400 k", b"-n none k",
                 b"-n mode=user k", b"--balloon=64M k", b"--balloon=1G -m 512 k", b"--no-balloon --free-page-reporting=off k", b"--free-page-reporting --deflate-on-oom k",
                 b"--mem-backing hugetlbfs:/dev/hugepages --mem-prealloc --mem-lock k", b"--numa-node 0 --discard free k", b"--vcpu-affinity 0-3,8 -c 3 k",
                 b"--irqchip gicv3 --pmu --sandbox=off --rng k", b"--cgroup /a,,b,memory=1G,cpu=50 k", b"--console serial --detach --log /tmp/log k",
                 b"--console virtio --port a.0 --port b k", b"--console file=f k", b"--user-data f -d disk.raw", b"--dump-dtb f k",
                 b"1.5 0-3,8 16G FILE,ro,hostfwd=a,hostfwd=b n\xc3\xa4me \xff\x1b[2J 0.001 99P 4095 4096 3-1 ,, =", b"--hlep --naem=x -x", b"--help"):
        yield line.replace(b" ", b"\n")


def section(index, kind, payload, number=0):
    # The target's checksums are all 0.
    return struct.pack("<IIQIIII", kind, number, len(payload), 0, index, 0, 0) + payload


def snapshot():
    with open("vmm/snapshot/stream.h", encoding="utf-8") as file:
        version = int(re.search(r"SNAPSHOT_VERSION +(\d+)", file.read())[1])
    head = b"ebb\x9a\r\n\x1a\n" + struct.pack("<IQQI", version, 0, 0, 0)
    runs = struct.pack("<IQQQQQ", 2, 2, 0x1000, 1, 0x101000, 1)
    with open("vmm/lib/version.h", encoding="utf-8") as file:
        ebb = re.search(r'EBB_VERSION +"(.+)"', file.read())[1].encode()
    # One CPU, one region, and a balloon.
    machine = struct.pack("<16s16sIIQQIIQI", b"x86_64", ebb, 1, 1, 0, 1 << 20, 1, 5, 0xd0000000, 5)
    before = head + section(0, 2, machine) + section(1, 3, runs)
    filler = section(2, 1, b"\0" * (4096 - len(before) - 64))
    end = struct.pack("<IQI", 4, 2, 0)
    yield before + filler + section(3, 9, b"\x55" * 8192) + section(4, 8, end)
    # An increment, and what it is based on, in one stream.
    zeros = struct.pack("<IQQQ", 1, 16, 0x80000, 16)
    base = struct.pack("<IQQQ", 1, 2, 0x8f000, 2)
    before = head + section(0, 2, b"machine") + section(1, 11, bytes(16) + zeros) + section(2, 3, runs)
    first = before + section(3, 1, b"\0" * (4096 - len(before) - 64)) + section(4, 9, b"\x55" * 8192) + section(5, 3, base)
    yield first + section(6, 1, b"\0" * (16384 - len(first) - 64)) + section(7, 9, b"\x66" * 8192) + section(8, 8, struct.pack("<IQI", 8, 2, 0))
    # What was sent while the guest ran: two pages, one of them as zeros, and one anew.
    before = head + section(0, 2, b"machine") + section(1, 12, struct.pack("<QQ", 0x2000, 2) + b"\x55" * 8192) + section(2, 12, struct.pack("<QQ", 0x3000, 1))
    before += section(3, 12, struct.pack("<QQ", 0x2000, 1) + b"\x66" * 4096) + section(4, 3, struct.pack("<IQ", 0, 0))
    yield before + section(5, 1, b"\0" * (16384 - len(before) - 64)) + section(6, 9, b"") + section(7, 8, struct.pack("<IQI", 7, 3, 0))
    # A working set, of the snapshot that ends with zeros.
    yield head + section(0, 10, bytes(16) + runs) + section(1, 8, struct.pack("<IQI", 1, 0, 0))


TARGETS = {function.__name__: function for function in (balloon, blk, net, fs, rng, vcon, vsock, board, kernel, image, disk, qmp, snapshot, words)}

# From which a planted fault has to be found: a driver's start, and nothing else.
PLANTED = script(record(START, 0, 6))

# What libFuzzer may insert as a whole.
DICTIONARIES = {
    "disk": [b"menuentry", b"linux", b"linux16", b"linuxefi", b"initrd", b"initrd16", b"initrdefi", b"options", b"($root)", b"\\", b"'", b'"', b"$",
             b"\t", b"\n", b"EFI PART", b"\x55\xaa"],
    "image": [b"ARM\x64", b"RSC\x05", b"\x1f\x8b", b"\x7fELF"],
    "kernel": [b"HdrS", b"\x7fELF\x02\x01\x01", b"Xen\0", b"\x04\0\0\0\x04\0\0\0\x12\0\0\0", b"MZ", b"zimg"],
    "qmp": [b"qmp_capabilities", b"execute", b"arguments", b"echo", b"refuse", b"query-commands", b"enable", b"id", b"true", b"false", b"null", b"\\u0000",
            b"\\ud83d\\ude00", b"e+99", b"-0", b"\r\n", b"guest-stats", b"stats", b"memory", b"disks", b"networks", b"balloon", b"name", b"size"],
    "snapshot": [bytes([kind, 0, 0, 0]) for kind in range(1, 13)] + [struct.pack("<Q", n) for n in (12, 44, 4096, 0x1000, 0xff000, 0x101000, 0x102000)],
    "words": [b"--disk\n", b"--fs\n", b"--network\n", b"--mem\n", b"--cpus\n", b"--balloon=", b"--free-page-reporting=", b"--no-balloon", b"--nodefaults",
              b"--vcpu-affinity\n", b"--mem-backing\n", b"--discard\n", b"--numa-node\n", b"--params\n", b"--initrd\n", b"--name\n", b"hostfwd=", b"tapif=",
              b"guest_mac=", b"mtu=", b"vhost=", b"fd=", b"user,", b"tap,", b"none", b"tcp:", b"udp:", b",ro", b",format=raw", b",aio=", b",cache=", b",tag=", b",,",
              b"18446744073709551616", b"memfd", b"hugetlbfs", b"4095", b"-", b"="],
}
