# SPDX-License-Identifier: Apache-2.0
"""Disks under Linux's driver: what one side wrote the other reads, and what goes wrong is told to whom it concerns."""

import hashlib
import os
import shutil
import subprocess
import time

import pytest
from conftest import LIMIT, lib, trouble, wait_until, write
from test_monitor import answers, qmp, run, stat

pytestmark = pytest.mark.linux

MIB = lib.MIB


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def image(tmp_path):
    """image(name, mib, random=False): a raw image, sparse or of random bytes."""

    def make(name, mib, random=False):
        path = tmp_path / name
        path.write_bytes(os.urandom(mib * MIB) if random else b"")
        os.truncate(path, mib * MIB)
        return path

    return make


def sound(path):
    """The file system in an image has no mistakes."""
    done = subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stdout
    return True


def allocated(path):
    return os.stat(path).st_blocks * 512


def job(box, command, *disks, **machine):
    options = [word for disk in disks for word in ("-d", disk)]
    return box.job(command, *options, **machine)


# --- both sides --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [pytest.param("", marks=pytest.mark.cross), ",ro", ",aio=sync",
                                  pytest.param(",ro,aio=sync", marks=pytest.mark.cross)])
def test_reads_what_the_host_wrote(ebb, image, mode):
    path = image("a.img", 16, random=True)
    lines = job(ebb, "sha256sum /dev/vda; blockdev --getsize64 /dev/vda; cat /sys/block/vda/ro", f"{path}{mode}")
    assert lines == [f"{sha(path)}  /dev/vda", str(16 * MIB), "1" if ",ro" in mode else "0"]


def test_the_host_reads_what_it_wrote(ebb, image):
    """What was synced is in the file while the guest still runs, and all of it after a clean end."""
    path = image("a.img", 32)
    started = ebb.start(
        "dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync 2>/dev/null; "
        "dd if=/dev/vda bs=1M count=8 2>/dev/null | sha256sum; read line; "
        "dd if=/dev/vda of=/dev/vda bs=1M count=8 seek=8 conv=fsync 2>/dev/null", "-d", path, "--name", "writer",
    )
    _, match = started.wait_for("^([0-9a-f]{64})  -$", LIMIT)
    start = path.read_bytes()[: 8 * MIB]
    assert hashlib.sha256(start).hexdigest() == match[1] and start != bytes(8 * MIB)
    disk = stat(ebb, "writer")["disks"][0]
    assert disk["written-bytes"] == 8 * MIB and disk["flushes"] >= 1 and disk["errors"] == disk["refused"] == 0
    started.send("\n")
    ebb.ended(started, 0)
    assert path.read_bytes()[8 * MIB : 16 * MIB] == start


def test_read_only_refuses_writes(ebb, image):
    """The guest's kernel knows; a file system on it can be read all the same."""
    path = image("a.img", 16)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", path], check=True, timeout=LIMIT)
    before = sha(path)
    lines = job(
        ebb, "dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null || echo refused; "
        "mkdir /mnt; mount -o ro -t ext4 /dev/vda /mnt && ls /mnt", f"{path},ro",
    )
    assert lines == ["refused", "lost+found"]
    assert sha(path) == before


LETTERS = "abcdefghijklmnop"


@pytest.mark.parametrize("options, lines", [(["--no-balloon"], 16), ([], 17)], ids=["alone", "with a balloon"])
def test_order(ebb, image, options, lines):
    """As many as there can be: each has its place and its interrupt, the order is the command line's."""
    for i, letter in enumerate(LETTERS):
        path = image(f"{letter}.img", 1)
        with open(path, "r+b") as file:
            file.write(b"word%d\n" % i)
        options = [*options, "-d", f"{path},ro" if i == 15 else path]
    said = ebb.job("for d in /dev/vd?; do echo $d $(head -n 1 $d) $(cat /sys/block/${d#/dev/}/serial); done; "
                   "grep -c virtio /proc/interrupts", *options)
    assert said == [f"/dev/vd{LETTERS[i]} word{i} disk{i}" for i in range(16)] + [str(lines)]


def test_root_from_disk(ebb, image, tmp_path):
    """Without any initrd: the root is on the disk, and is there as it was left at the next start."""
    tree = tmp_path / "root"
    for name in ("dev", "proc", "bin", "sbin"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin" / "busybox")
    init = tree / "sbin" / "init"
    init.write_text(
        "#!/bin/busybox sh\nexport PATH=/bin\nbusybox mount -t proc proc /proc\nmount -t devtmpfs dev /dev\n"
        "echo turn >>/turns\necho turns: $(grep -c turn /turns)\nsync\nmount -o remount,ro /\n"
        "stty opost </dev/console\nreboot -f\n", encoding="ascii",
    )
    init.chmod(0o755)
    path = image("root.img", 32)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, path], check=True, timeout=LIMIT)
    for turn in (1, 2, 3):
        started = ebb.start(None, "-d", path, initrd=None, params="quiet root=/dev/vda rw")
        started.wait_for(f"^turns: {turn}$", LIMIT)
        ebb.ended(started, 0)
    assert sound(path)


def test_a_comma_in_its_name(ebb, image, tmp_path):
    (tmp_path / "a,b").mkdir()
    path = image("a,b/d,ro", 1, random=True)
    assert job(ebb, "sha256sum /dev/vda", str(path).replace(",", ",,")) == [f"{sha(path)}  /dev/vda"]


def test_another_format_as_raw(ebb, image):
    """A guest may write what it likes to its disk. If that looks like another format, it is refused until it is called raw."""
    path = image("a.img", 1)
    assert job(ebb, "printf 'QFI\\373' | dd of=/dev/vda conv=notrunc 2>/dev/null; sync; echo written", path) == ["written"]
    before = sha(path)
    ebb.mistake(lib.ebb(None, "-d", path), str(path), "qcow2", ",format=raw")
    assert sha(path) == before
    assert job(ebb, "sha256sum /dev/vda", f"{path},format=raw") == [f"{before}  /dev/vda"]


# --- space -------------------------------------------------------------------------------------


def test_discard(ebb, image):
    """What the guest trims the host has back; what it only deleted it has not (the control)."""
    path = image("a.img", 256)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=0", path], check=True, timeout=LIMIT)
    started = ebb.start(
        "mkdir /mnt; mount -t ext4 /dev/vda /mnt; cachefill 128M /mnt; sync; echo filled; read line; "
        "rm -r /mnt/*; sync; echo deleted; read line; fstrim /mnt; sync; echo trimmed; read line; umount /mnt",
        "-d", path, "--name", "trim", memory="512M",
    )
    started.wait_for("^filled$", LIMIT)
    full = allocated(path)
    assert full > 120 * MIB
    started.send("\n")
    started.wait_for("^deleted$", LIMIT)
    assert allocated(path) > full - 8 * MIB
    started.send("\n")
    started.wait_for("^trimmed$", LIMIT)
    assert allocated(path) < full - 120 * MIB
    disk = stat(ebb, "trim")["disks"][0]
    assert disk["discarded-bytes"] > 120 * MIB and disk["ignored-bytes"] == disk["errors"] == 0
    started.send("\n")
    ebb.ended(started, 0)
    assert sound(path)


def test_write_zeroes(ebb, image):
    """ext4 has the inode tables that mke2fs left out made zeros, and sends none for that."""
    path = image("a.img", 256)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", path], check=True, timeout=LIMIT)
    started = ebb.start("mkdir /mnt; mount -t ext4 -o init_itable=0 /dev/vda /mnt && echo mounted; read line; umount /mnt",
                        "-d", path, "--name", "zero")
    started.wait_for("^mounted$", LIMIT)
    wait_until(lambda: stat(ebb, "zero")["disks"][0]["zeroed-bytes"] > 0, "inode tables made zeros")
    started.send("\n")
    ebb.ended(started, 0)
    assert sound(path)


# --- who may have it ---------------------------------------------------------------------------


def test_second_writer_is_refused(ebb, image):
    path = image("a.img", 4)
    first = ebb.start("echo ready; read line; dd if=/dev/vda of=/dev/null 2>/dev/null && echo fine", "-d", path)
    first.wait_for("^ready$", LIMIT)
    for again in (path, f"{path},ro"):
        done = subprocess.run(
            lib.ebb(None, "-d", again), env=ebb.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False, timeout=LIMIT,
        )
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and f"the disk '{path}' is in use already" in done.stderr
    first.send("\n")
    ebb.ended(first, 0)
    assert "fine" in first.console()
    # And now it is free.
    assert job(ebb, "echo mine", path) == ["mine"]


def test_readers_share(ebb, image):
    path = image("a.img", 4, random=True)
    first = ebb.start("echo ready; read line; sha256sum /dev/vda", "-d", f"{path},ro")
    first.wait_for("^ready$", LIMIT)
    second = ebb.start("sha256sum /dev/vda", "-d", f"{path},ro")
    second.wait_for(f"^{sha(path)}", LIMIT)
    assert second.wait(LIMIT) == 0
    first.send("\n")
    first.wait_for(f"^{sha(path)}", LIMIT)
    ebb.ended(first, 0)


class Qemu:
    """A QEMU whose guest does not run, with an image as its disk; `refused` is what it said, or "" if it has the disk."""

    def __init__(self, path, read_only):
        drive = f"if=none,id=d,format=raw,file={path}" + (",readonly=on" if read_only else "")
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-qmp", "stdio",
             "-drive", drive, "-device", "virtio-blk-pci,drive=d"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            print('{"execute": "qmp_capabilities"}', file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        # A greeting comes before the disk is opened, an answer after it.
        lines = [self.process.stdout.readline(), self.process.stdout.readline()]
        self.refused = "" if '"return"' in lines[1] else self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64")
@pytest.mark.parametrize("ours", ["", ",ro"], ids=["ebb writes", "ebb reads"])
@pytest.mark.parametrize("theirs", [False, True], ids=["QEMU writes", "QEMU reads"])
def test_shared_with_qemu(ebb, image, ours, theirs):
    """In either order: readers share an image, a writer has it alone."""
    path = image("a.img", 4)
    together = ours == ",ro" and theirs
    with Qemu(path, theirs) as qemu:
        assert qemu.refused == ""
        if together:
            assert job(ebb, "echo mine too", f"{path}{ours}") == ["mine too"]
        else:
            ebb.mistake(lib.ebb(None, "-d", f"{path}{ours}"), f"the disk '{path}' is in use already")
    guest = ebb.start("echo ready; read line", "-d", f"{path}{ours}")
    guest.wait_for("^ready$", LIMIT)
    with Qemu(path, theirs) as qemu:
        assert qemu.refused == "" if together else 'Failed to get' in qemu.refused and '"write" lock' in qemu.refused
    guest.send("\n")
    ebb.ended(guest, 0)
    with Qemu(path, theirs) as qemu:
        assert qemu.refused == ""


@pytest.mark.emulated
@pytest.mark.parametrize("cache", ["", ",cache=none"])
def test_block_device(ebb, cache):
    """One whose blocks are of 4 KiB. While the host has it for itself, as when it is mounted, no guest may write to it."""
    device = "/dev/zram0"
    write("/sys/block/zram0/disksize", "32M")
    try:
        holder = os.open(device, os.O_RDONLY | os.O_EXCL)
        ebb.mistake(lib.ebb(None, "-d", device), f"the disk '{device}' is in use on this host", "unmount")
        os.close(holder)
        subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", device], check=True, timeout=LIMIT)
        said = job(ebb, "blockdev --getsize64 /dev/vda; cat /sys/block/vda/queue/logical_block_size; mkdir /mnt; "
                   "mount -t ext4 /dev/vda /mnt && echo a-word-of-its-own >/mnt/file; fstrim /mnt && echo trimmed; umount /mnt", f"{device}{cache}")
        assert said == [str(32 * MIB), "4096", "trimmed"]
        assert sound(device)
        with open(device, "rb") as file:
            assert file.read().count(b"a-word-of-its-own\n") >= 1
    finally:
        write("/sys/block/zram0/reset", "1")


# --- what goes wrong ---------------------------------------------------------------------------


def complained_of_io_only(box, started):
    """Ended, and what its kernel complained of was the I/O errors that it was to see."""
    box.guests.remove(started)
    with started:
        assert started.wait(LIMIT) == 0, started.stderr()
    assert not [text for text in trouble(started) if "I/O error" not in text]


@pytest.mark.emulated
def test_the_host_is_full(ebb, tmp_path):
    """ENOSPC is an I/O error in the guest, one line on the host, and the end of neither."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "small", tmp_path], check=True, timeout=LIMIT)
    try:
        path = tmp_path / "a.img"
        path.touch()
        os.truncate(path, 16 * MIB)
        started = ebb.start(
            "dd if=/dev/zero of=/dev/vda bs=1M count=2 conv=fsync 2>/dev/null && echo first; "
            "dd if=/dev/zero of=/dev/vda bs=1M seek=2 count=8 conv=fsync 2>/dev/null || echo full; echo ready; read line",
            "-d", path, "--name", "full",
        )
        started.wait_for("^ready$", LIMIT)
        disk = stat(ebb, "full")["disks"][0]
        started.send("\n")
        complained_of_io_only(ebb, started)
        assert [text for _, text in started.lines if text in ("first", "full")] == ["first", "full"]
        assert disk["errors"] > 0
        errors = [text for _, text in started.errors if "No space left on device" in text]
        assert len(errors) == 1 and str(path) in errors[0]
    finally:
        subprocess.run(["umount", tmp_path], check=True, timeout=LIMIT)


def test_the_file_may_not_grow(ebb, image):
    """A limit of the host on the size of files (ulimit -f) is an error of a write, and no signal that ends ebb."""
    path = image("a.img", 16)
    started = ebb.start(
        "dd if=/dev/zero of=/dev/vda bs=1M count=8 conv=fsync 2>/dev/null && echo first; "
        "dd if=/dev/zero of=/dev/vda bs=1M seek=8 count=4 conv=fsync 2>/dev/null || echo refused; echo ready; read line",
        "-d", path, wrapper=["prlimit", f"--fsize={8 * MIB}"],
    )
    started.wait_for("^ready$", LIMIT)
    started.send("\n")
    complained_of_io_only(ebb, started)
    assert [text for _, text in started.lines if text in ("first", "refused")] == ["first", "refused"]
    errors = [text for _, text in started.errors if "File too large" in text]
    assert len(errors) == 1 and str(path) in errors[0]


def test_a_file_cut_short(ebb, image):
    """The host makes the image shorter under the guest: errors for the guest, one line, and no end of ebb."""
    path = image("a.img", 16, random=True)
    started = ebb.start(
        "echo ready; read line; dd if=/dev/vda of=/dev/null bs=1M skip=8 count=1 2>/dev/null || echo unread; "
        "dd if=/dev/vda of=/dev/null bs=1M count=4 2>/dev/null && echo rest; "
        "dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync 2>/dev/null || echo unsynced", "-d", path)
    started.wait_for("^ready$", LIMIT)
    os.truncate(path, 4 * MIB)
    started.send("\n")
    complained_of_io_only(ebb, started)
    words = ("unread", "rest", "unsynced")
    assert [text for _, text in started.lines if text in words] == list(words)
    lost = [text for _, text in started.errors if "its file became shorter" in text]
    assert len(lost) == 1 and str(path) in lost[0]


@pytest.mark.parametrize("guest", ["waits", "resets"])
def test_the_storage_hangs(ebb, image, tmp_path, monkeypatch, guest):
    """A write that the host does not finish keeps ebb from ending for ten seconds, and no longer; nor does a vCPU that
    waits to reset the disk. (tests/hang/hang.c: the host hangs as long as a file is there.)"""
    hangs = tmp_path / "hangs"
    monkeypatch.setattr(lib, "EBB", os.path.join(lib.BUILD, "tests", "hang"))
    monkeypatch.setitem(ebb.env, "EBB_HANG", str(hangs))
    unbind = "echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind; " if guest == "resets" else ""
    started = ebb.start(
        "echo ready; read line; dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync & sleep 1; echo written; "
        f"{unbind}sleep 1000", "-d", image("a.img", 16), "--sandbox=off")
    started.wait_for("^ready$", LIMIT)
    hangs.touch()
    started.send("\n")
    started.wait_for("^written$", LIMIT)
    started.process.terminate()
    ebb.ended(started, 0)
    assert "ends without waiting for it" in started.stderr()


@pytest.mark.cross
def test_unbind_and_rebind(ebb, image):
    """The driver goes and comes in the middle of reading and writing; the data stay."""
    path, scratch = image("a.img", 8, random=True), image("b.img", 32)
    before = sha(path)
    started = ebb.start(
        "a=$(cd /sys/block/vda/device && basename $(pwd -P)); b=$(cd /sys/block/vdb/device && basename $(pwd -P)); "
        "cd /sys/bus/virtio/drivers/virtio_blk; for i in 1 2 3 4 5; do "
        "dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null & dd if=/dev/zero of=/dev/vdb bs=64k 2>/dev/null & "
        "usleep 100000; echo $a >unbind; echo $b >unbind; wait; [ -e /dev/vda ] && echo there; "
        "echo $a >bind; echo $b >bind; sha256sum /dev/vda; done",
        "-d", path, "-d", scratch,
    )
    complained_of_io_only(ebb, started)
    assert [text for _, text in started.lines if text.endswith("/dev/vda") or text == "there"] == [f"{before}  /dev/vda"] * 5
    assert sha(path) == before


# --- what is told ------------------------------------------------------------------------------


def test_stat_and_qmp(ebb, image):
    path, other = image("a.img", 8), image("b.img", 4)
    started = ebb.start("dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null; echo ready; read line", "-d", path, "-d", f"{other},ro", "--name", "told")
    started.wait_for("^ready$", LIMIT)
    first, second = stat(ebb, "told")["disks"]
    assert (first["disk"], first["file"], first["size"], first["read-only"]) == ("disk0", str(path), 8 * MIB, False)
    assert (second["disk"], second["file"], second["size"], second["read-only"]) == ("disk1", str(other), 4 * MIB, True)
    assert first["read-bytes"] >= 8 * MIB and first["writes"] == 0
    text = run(ebb, "stat", "-n", "told")
    assert f"\ndisk disk0\n  file                          {path}\n" in text
    assert f'ebb_disk_size_bytes{{guest="told",disk="disk1"}} {4 * MIB}\n' in run(ebb, "stat", "-n", "told", "--prometheus")
    block, blockstats = (answer["return"] for answer in answers(qmp(ebb, "told", {"execute": "query-block"}, {"execute": "query-blockstats"})))
    assert [one["device"] for one in block] == ["disk0", "disk1"]
    assert block[0]["inserted"]["image"]["virtual-size"] == 8 * MIB and block[1]["inserted"]["ro"]
    assert blockstats[0]["stats"]["rd_bytes"] >= 8 * MIB and blockstats[0]["stats"]["rd_total_time_ns"] > 0
    assert blockstats[1]["stats"]["wr_operations"] == 0
    started.send("\n")
    ebb.ended(started, 0)


# --- memory ------------------------------------------------------------------------------------


class Cached:
    """A guest that has read 192 MiB of a disk, and drops its caches when it is told."""

    def __init__(self, box, path, *options):
        self.guest = box.start(
            # While somebody has it open: with the last one goes what is cached of it.
            "echo ready; read line; exec 3</dev/vda; dd of=/dev/null bs=1M <&3 2>/dev/null; echo cached; read line; "
            "echo 3 >/proc/sys/vm/drop_caches; echo dropped; sleep 100000", "-d", path, *options, memory="512M",
        )
        self.guest.wait_for("^ready$", LIMIT)
        self.before = self.guest.stable_rss(timeout=LIMIT)
        self.guest.send("\n")
        self.guest.wait_for("^cached$", LIMIT)
        self.cached = self.guest.rss()
        self.guest.send("\n")
        self.guest.wait_for("^dropped$", LIMIT)


def test_dropped_page_cache_comes_back(ebb, image):
    """Also what a disk's worker, and not a CPU of the guest, has put into its memory; and without reporting it stays."""
    path = image("a.img", 192)
    with_it = Cached(ebb, f"{path},ro", "--free-page-reporting")
    assert with_it.cached - with_it.before > 180 * MIB
    _, seconds = with_it.guest.wait_for_rss(lambda rss: rss < with_it.cached - 0.8 * 192 * MIB, LIMIT)
    with_it.guest.process.terminate()
    ebb.ended(with_it.guest, 0)

    control = Cached(ebb, f"{path},ro", "--free-page-reporting=off")
    assert control.cached - control.before > 180 * MIB
    end = time.monotonic() + 2 * seconds + 5
    lowest = control.guest.rss()
    while time.monotonic() < end:
        lowest = min(lowest, control.guest.rss())
        time.sleep(0.1)
    assert control.cached - lowest < 16 * MIB
