# SPDX-License-Identifier: Apache-2.0
"""Disks by qemu-storage-daemon: qcow2 images with backing files, and NBD; what their server's end means."""

import hashlib
import os
import signal
import socket
import subprocess
import time

import pytest
from conftest import LIMIT, lib, trouble, wait_until
from test_backings import lowest, meminfo
from test_folder import SHELL, asked, gone, processes
from test_monitor import answers, qmp, stat
from test_network import free_port

# Other guests' shared memory would be counted, and other guests' servers found.
pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.arch("x86_64")]

MIB = lib.MIB


def sha(data):
    return hashlib.sha256(data).hexdigest()


def qemu_img(*words, status=(0,)):
    done = subprocess.run(["qemu-img", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=LIMIT)
    assert done.returncode in status, done.stdout
    return done.stdout


@pytest.fixture
def layers(tmp_path):
    """(a qcow2 image, its raw backing file of 16 MiB)"""
    base, top = tmp_path / "base.img", tmp_path / "top, new.qcow2"
    base.write_bytes(os.urandom(16 * MIB))
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", top)
    return top, base


def option(path, *more):
    return ["-d", ",".join([str(path).replace(",", ",,"), *more])]


def listens(port):
    """Whether something listens at this port, which is not asked: a server of NBD may serve one client."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        return f"0100007F:{port:04X} 00000000:0000 0A" in file.read()


def servers():
    return [pid for pid, _ in processes("qemu-storage-da")]


def nothing_left():
    gone("qemu-storage-da", "disk-keeper")
    assert not [name for name in os.listdir("/tmp") if name.startswith("ebb-disk-keeper")]


def contents(path, tmp_path):
    """What a guest would find in a qcow2 image that nothing uses."""
    raw = tmp_path / "converted"
    qemu_img("check", path, status=(0, 3))  # 3: clusters that nothing uses, as a killed server may leave them
    qemu_img("convert", "-O", "raw", path, raw)
    return raw.read_bytes()


def read_all(started):
    """The guest's sum of its whole disk."""
    status, text = asked(started, "blockdev --flushbufs /dev/vda; sha256sum /dev/vda")
    assert status == 0, text
    return text.split()[0]


def test_qcow2(ebb, layers, tmp_path):
    top, base = layers
    before = base.read_bytes()
    started = ebb.start(SHELL, *option(top), "--name", "layers")
    started.wait_for("^ready$", LIMIT)
    assert read_all(started) == sha(before)
    assert asked(started, "dd if=/dev/urandom of=/dev/vda bs=1M count=4 seek=2 conv=fsync 2>/dev/null")[0] == 0
    written = read_all(started)
    assert written != sha(before)

    disk = stat(ebb, "layers")["disks"][0]
    assert (disk["file"], disk["size"], disk["read-only"]) == (str(top), 16 * MIB, False)
    assert disk["written-bytes"] == 4 * MIB and disk["flushes"] >= 1 and disk["read-bytes"] >= 32 * MIB
    assert disk["errors"] == disk["refused"] == 0 and 4 * MIB <= disk["allocated"] < 8 * MIB
    block, figures = (answer["return"] for answer in answers(
        qmp(ebb, "layers", {"execute": "query-block"}, {"execute": "query-blockstats"})))
    assert block[0]["inserted"]["drv"] == "qcow2" and block[0]["inserted"]["backing_file_depth"] == 1
    assert figures[0]["stats"]["wr_bytes"] == 4 * MIB and figures[0]["stats"]["wr_total_time_ns"] > 0

    # Neither layer is another guest's, but both may read the lower one.
    for other in (option(top), option(top, "ro"), option(base)):
        ebb_refused = subprocess.run(lib.ebb(None, *other), env=ebb.env, stdin=subprocess.DEVNULL, capture_output=True,
                                     text=True, check=False, timeout=LIMIT)
        assert ebb_refused.returncode == 2 and ebb_refused.stderr.count("\n") == 1, ebb_refused.stderr
        assert "is in use already" in ebb_refused.stderr
    reader = ebb.start("sha256sum /dev/vda", *option(base, "ro"))
    reader.wait_for(f"^{sha(before)}", LIMIT)
    assert reader.wait(LIMIT) == 0

    # What the guest flushed outlives its server; what it asks for meanwhile fails, until it begins anew.
    before_kill = servers()
    assert len(before_kill) == 1
    os.kill(before_kill[0], signal.SIGKILL)
    wait_until(lambda: servers() and servers() != before_kill, "another server begins")
    assert asked(started, "blockdev --flushbufs /dev/vda; dd if=/dev/vda of=/dev/null 2>/dev/null")[0] != 0
    rebind = ("d=$(basename $(readlink /sys/block/vda/device)); cd /sys/bus/virtio/drivers/virtio_blk; "
              "echo $d >unbind; echo $d >bind; cd /; for i in $(seq 600); do [ -e /dev/vda ] || usleep 300000; done")
    assert asked(started, rebind)[0] == 0
    assert read_all(started) == written

    # What was not flushed is kept, too, when the guest ends.
    assert asked(started, "dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync 2>/dev/null")[0] == 0
    started.send("exit\n")
    ebb.guests.remove(started)
    with started:
        assert started.wait(LIMIT) == 0, started.stderr()
    assert not [text for text in trouble(started) if "I/O error" not in text]
    said = started.stderr()
    assert said.count("the server of disk0 is lost: it has ended") == 1 and said.count("it died of signal 9") == 1, said
    now = contents(top, tmp_path)
    assert now[:MIB] == bytes(MIB) and now[MIB:2 * MIB] == before[MIB:2 * MIB] and now[6 * MIB:] == before[6 * MIB:]
    assert now[2 * MIB:6 * MIB] != before[2 * MIB:6 * MIB]
    assert base.read_bytes() == before
    nothing_left()


def test_ended_by_force(ebb, layers, tmp_path):
    """A guest that is ended loses what its kernel has not written, but nothing of what it has."""
    top, base = layers
    started = ebb.start("dd if=/dev/zero of=/dev/vda bs=1M count=4 oflag=direct 2>/dev/null && echo written; read line",
                        *option(top))
    started.wait_for("^written$", LIMIT)
    started.process.send_signal(signal.SIGTERM)
    ebb.ended(started, 0)
    nothing_left()
    now = contents(top, tmp_path)
    assert now[:4 * MIB] == bytes(4 * MIB) and now[4 * MIB:] == base.read_bytes()[4 * MIB:]


def test_nbd(ebb, layers, tmp_path):
    """By QEMU's own servers: over a Unix socket, read-only, and over TCP."""
    _, base = layers
    before = base.read_bytes()
    other, path, port = tmp_path / "other.img", tmp_path / "a, socket", free_port()
    other.write_bytes(before[::-1])
    serve = ["qemu-nbd", "-f", "raw", "-x", "disk", "-t"]
    servers_of_nbd = [subprocess.Popen([*serve, "-k", path, base]), subprocess.Popen([*serve, "-b", "127.0.0.1", "-p", str(port), other])]
    uris = f"nbd+unix:///disk?socket={str(path).replace(',', '%2C').replace(' ', '%20')}", f"nbd://127.0.0.1:{port}/disk"
    try:
        wait_until(lambda: lib.listens(path) and listens(port), "both servers listen")
        lines = ebb.job("sha256sum /dev/vda /dev/vdb; cat /sys/block/vda/ro; dd if=/dev/zero of=/dev/vda count=1 2>/dev/null || echo refused; "
                        "dd if=/dev/zero of=/dev/vdb bs=1M count=1 conv=fsync 2>/dev/null && echo written", "-d", f"{uris[0]},ro", "-d", uris[1])
        assert lines == [f"{sha(before)}  /dev/vda", f"{sha(before[::-1])}  /dev/vdb", "1", "refused", "written"]
    finally:
        for server in servers_of_nbd:
            server.terminate()
            server.wait(LIMIT)
    assert base.read_bytes() == before and other.read_bytes() == bytes(MIB) + before[::-1][MIB:]
    for uri in uris:
        ebb.mistake(lib.ebb("", "-d", uri), "qemu-storage-daemon cannot serve the disk")
    nothing_left()


def test_mistakes(ebb, layers, tmp_path):
    top, _ = layers
    hidden = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /usr/bin/qemu-storage-daemon && exec "$@"', "sh"]
    ebb.mistake([*hidden, *lib.ebb("", *option(top))], "cannot start qemu-storage-daemon for the disk", "it is not installed",
                "qemu-system-common")
    inner = tmp_path / "in"
    inner.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", "-b", "../base.img", "-F", "raw", inner / "a.qcow2")
    ebb.mistake(lib.ebb("", *option(inner / "a.qcow2")), "outside of its folder", "backing=DIR")
    assert ebb.job("blockdev --getsize64 /dev/vda", *option(inner / "a.qcow2", f"backing={tmp_path}")) == [str(16 * MIB)]
    ebb.mistake([lib.EBB, "run", "-n", "none", *option(top)], "no ext2, ext3 or ext4")
    # A raw disk that its guest has made to look like an image: raw where that is said, and never followed.
    forged = tmp_path / "raw.img"
    forged.write_bytes(top.read_bytes()[:65536] + bytes(MIB - 65536))
    assert ebb.job("head -c 3 /dev/vda; echo", *option(forged, "format=raw", "ro")) == ["QFI"]
    ebb.mistake(lib.ebb("", *option(forged)), "write format=qcow2")
    nothing_left()


# In qemu-storage-daemon's place: says what it can do.
ATTACK = """#!/usr/bin/python3
import ctypes, os, socket, sys

folder = {folder!r}
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def ran(program):
    if os.waitpid(os.posix_spawn(program, [program], os.environ), 0)[1]:
        raise OSError

attempts = {{
    "image": lambda: open(folder + "/image.qcow2", "r+b"),
    "read": lambda: open(folder + "/victim"),
    "write": lambda: open(folder + "/victim", "a"),
    "create": lambda: open(folder + "/new", "x"),
    "empty": lambda: os.truncate(folder + "/victim", 0),
    "mode": lambda: os.chmod(folder + "/victim", 0o666),
    "run": lambda: ran(folder + "/program"),
    "network": lambda: socket.create_connection(("127.0.0.1", {port})),
    "socket": lambda: socket.socket(socket.AF_UNIX).connect(folder + "/server"),
    "signal": lambda: os.kill(os.getppid(), 0),
    "trace": lambda: open("/proc/%d/mem" % os.getppid()),
    "limit": lambda: call({prlimit}, os.getppid(), 7, None, ctypes.byref(ctypes.create_string_buffer(16))),
    "namespace": lambda: call({unshare}, 0x20000),
    "mount": lambda: call({mount}, b"none", folder.encode(), b"tmpfs", 0, None),
}}
did = []
for name, attempt in attempts.items():
    try:
        attempt()
        did.append(name)
    except OSError:
        pass
sys.exit("did: " + " ".join(did) + ".")
"""


def test_attacked(ebb, tmp_path):
    """What a daemon that an image has taken over is left with; and, as the control, what it can do if it is not confined."""
    image, attack, program = (tmp_path / name for name in ("image.qcow2", "attack", "program"))
    qemu_img("create", "-q", "-f", "qcow2", image, "16M")
    (tmp_path / "victim").write_text("unchanged")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as network, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "server"))
        local.listen()
        attack.write_text(ATTACK.format(folder=str(tmp_path), port=network.getsockname()[1], prlimit=302, unshare=272, mount=165))
        attack.chmod(0o755)
        instead = ["unshare", "--mount", "sh", "-c", f'mount --bind {attack} /usr/bin/qemu-storage-daemon && exec "$@"', "sh"]
        ebb.mistake([*instead, *lib.ebb("", *option(image))], "did: image.")
        assert (tmp_path / "victim").read_text() == "unchanged" and not (tmp_path / "new").exists()
        control = subprocess.run(["unshare", "--mount", attack], stderr=subprocess.PIPE, text=True, check=False, timeout=LIMIT)
        assert control.stderr == ("did: image read write create empty mode run network socket signal trace limit namespace mount.\n")
    nothing_left()


# --- memory ------------------------------------------------------------------------------------


class Cached:
    """A guest that has read 128 MiB of a disk, which its server has put into its memory, and drops its caches when told."""

    def __init__(self, box, path, *options):
        self.at_rest = meminfo("Shmem")
        self.guest = box.start(
            "echo ready; read line; exec 3</dev/vda; dd of=/dev/null bs=1M <&3 2>/dev/null; echo cached; read line; "
            "echo 3 >/proc/sys/vm/drop_caches; echo dropped; sleep 100000", *option(path, "ro"), *options, memory="384M")
        self.guest.wait_for("^ready$", LIMIT)
        self.guest.send("\n")
        self.guest.wait_for("^cached$", LIMIT)
        self.cached = self.held()
        self.guest.send("\n")
        self.guest.wait_for("^dropped$", LIMIT)

    def held(self):
        return meminfo("Shmem") - self.at_rest

    def end(self, box):
        self.guest.process.terminate()
        box.ended(self.guest, 0)


def test_dropped_page_cache_comes_back(ebb, tmp_path):
    """What another process has put into the guest's memory, too; and without reporting it stays."""
    path = tmp_path / "a.qcow2"
    raw = tmp_path / "raw"
    raw.write_bytes(os.urandom(8 * MIB) * 16)
    qemu_img("convert", "-O", "qcow2", raw, path)
    os.unlink(raw)
    with_it = Cached(ebb, path, "--free-page-reporting")
    assert with_it.cached > 120 * MIB
    start = time.monotonic()
    wait_until(lambda: with_it.held() < with_it.cached - 0.8 * 128 * MIB, "what was dropped comes back")
    seconds = time.monotonic() - start
    with_it.end(ebb)
    control = Cached(ebb, path, "--free-page-reporting=off")
    assert control.cached > 120 * MIB
    assert control.cached - lowest(control.held, 2 * seconds + 5) < 16 * MIB
    control.end(ebb)
    nothing_left()


SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"


def test_huge_pages(layers, tmp_path, setting, ebb):
    """Where the host has none for shared memory, that is said, once, and of shared memory only; where it has, guests use them."""
    top, base = layers
    (tmp_path / "folder").mkdir()
    taken = {}
    for choice in "advise", "never":
        setting(SHMEM, choice)
        at_rest = meminfo("ShmemPmdMapped")
        started = ebb.start("hold 64M --wait", *option(top), "--fs", str(tmp_path / "folder"))
        started.wait_for("^hold: taken", LIMIT)
        taken[choice] = meminfo("ShmemPmdMapped") - at_rest
        assert started.stderr().count("this host has no huge pages for that") == (choice == "never"), started.stderr()
        started.process.terminate()
        ebb.ended(started, 0)
        nothing_left()
    assert taken["advise"] > 48 * MIB and taken["never"] == 0, taken
    started = ebb.start("true", *option(base))
    ebb.ended(started, 0)
    assert "huge pages" not in started.stderr()
