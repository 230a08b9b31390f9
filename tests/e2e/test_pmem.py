# SPDX-License-Identifier: Apache-2.0
"""Files of the host as memory, under Linux's driver: read without a copy in the guest, flushed, refused; and a disk as the
control."""

import hashlib
import json
import os
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until
from test_folder import SHELL, asked, debians
from test_monitor import run

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
TREE = 64  # MiB of files in the base image
# The driver makes its disks in the background.
COUNT = "$(ls /dev | grep -c ^pmem)"
LOAD = f"coldplug; modprobe nd_pmem; mkdir -p /m /w /v; until [ {COUNT} = 2 ]; do sleep 1; done; "


def image(path, size, *files):
    """An ext4 file system of `size` MiB in which the files are."""
    tree = path.with_suffix(".tree")
    tree.mkdir()
    for name, data in files:
        (tree / name).write_bytes(data)
    path.touch()
    os.truncate(path, size * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d", tree, path],
                   check=True, timeout=LIMIT, env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def inside(path, name):
    """The contents of a file in an ext4 file system."""
    return subprocess.run(["debugfs", "-R", f"cat /{name}", path], stdout=subprocess.PIPE, timeout=LIMIT, check=True,
                          env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}).stdout


def figures(ebb, name):
    done = subprocess.run([lib.EBB, "stat", "-n", name, "--json"], env=ebb.env, stdout=subprocess.PIPE, timeout=LIMIT, check=True)
    return json.loads(done.stdout)["pmem"]


def cached(started):
    """Bytes of the guest's page cache."""
    return int(asked(started, "grep ^Cached: /proc/meminfo")[1].split()[1]) * 1024


def grown(started, command):
    """How many bytes of its own ebb has more after the guest has done this, and how many more its guest's page cache has.
    The first are fewer than the second: some of the guest's free memory was used before."""
    rss, cache = started.rss(), cached(started)
    status, text = asked(started, command, 2 * LIMIT)
    assert status == 0, text
    return started.rss() - rss, cached(started) - cache


def paused_while_it_flushes(ebb, started):
    """A guest that is paused flushes nothing, however often one looks, and goes on where it was."""
    def flushes():
        return figures(ebb, "pmem")[1]["flushes"]

    work = "while [ ! -e /stop ]; do dd if=/dev/urandom of=/w/part bs=4k count=4 conv=fsync 2>/dev/null; echo part; done"
    assert asked(started, f"( {work} ) &")[0] == 0
    for _ in range(3):
        started.wait_for("^part$", LIMIT, len(started.lines))
        run(ebb, "pause", "-n", "pmem")
        wait_until(lambda: flushes() == flushes(), "what was under way is done")
        done = flushes()
        assert [flushes() for _ in range(3)] == [done] * 3
        run(ebb, "resume", "-n", "pmem")
        wait_until(lambda before=done: flushes() > before, "it flushes again")
    assert asked(started, "touch /stop; wait")[0] == 0


def test_pmem(ebb, tmp_path, tell):
    data = os.urandom(TREE * MIB)
    base = image(tmp_path / "base.img", TREE + 16, ("data", data))
    disk = image(tmp_path / "disk.img", TREE + 16, ("data", data))
    work = image(tmp_path / "work.img", 32)
    before = digest(base)
    started = ebb.start(LOAD + SHELL, "--name", "pmem", "--free-page-reporting=off", "--pmem", f"{base},ro", "--pmem", str(work),
                        "-d", f"{disk},ro", memory="256M", **debians(tmp_path))
    started.wait_for("^ready$", 3 * LIMIT)

    # Read through the host's page cache, and, as the control, through the guest's own.
    assert asked(started, "mount -t ext4 -o ro,dax /dev/pmem0 /m && grep dax /proc/mounts")[0] == 0
    assert asked(started, "echo warm | sha256sum")[0] == 0
    shared, none = grown(started, "sha256sum /m/data")
    assert hashlib.sha256(data).hexdigest() in "\n".join(text for _, text in started.lines)
    assert asked(started, "mount -t ext4 -o ro /dev/vda /v")[0] == 0
    own, copy = grown(started, "sha256sum /v/data")
    assert copy > 0.9 * TREE * MIB and none < 2 * MIB
    assert own > 0.25 * TREE * MIB and shared < 0.25 * own
    first, second = figures(ebb, "pmem")
    assert first["file"] == str(base) and first["read-only"] and first["size"] == (TREE + 16) * MIB
    assert first["rss"] > 0.75 * TREE * MIB and first["copied"] == 0 and not second["read-only"]
    tell(f"pmem: {TREE} MiB read: the guest's page cache has {none / MIB:.1f} MiB more by pmem, {copy / MIB:.1f} by a disk; ebb "
         f"{shared / MIB:.1f} and {own / MIB:.1f}; {first['rss'] / MIB:.1f} MiB of the host's page cache are mapped")

    # What is written and flushed is in the file.
    assert asked(started, "mount -t ext4 -o dax /dev/pmem1 /w && dd if=/dev/urandom of=/w/new bs=64k count=20 conv=fsync && sha256sum /w/new")[0] == 0
    flushes = figures(ebb, "pmem")[1]["flushes"]
    assert flushes > 0
    paused_while_it_flushes(ebb, started)
    status, said = asked(started, "sha256sum /w/part | cut -c 1-64")
    assert status == 0 and hashlib.sha256(inside(work, "part")).hexdigest() == said
    status, said = asked(started, "sha256sum /w/new | cut -c 1-64; umount /w")
    assert status == 0
    found = inside(work, "new")
    assert len(found) == 20 * 65536 and hashlib.sha256(found).hexdigest() == said
    assert figures(ebb, "pmem")[1]["errors"] == 0

    # A read-only one refuses: by the flush, and the file does not change.
    assert asked(started, "umount /m")[0] == 0
    status, text = asked(started, "( dd if=/dev/zero of=/dev/pmem0 bs=64k count=4 conv=fsync ) 2>&1")
    assert status != 0 and ("I/O error" in text or "Input/output error" in text), text
    assert digest(base) == before
    first = figures(ebb, "pmem")[0]
    assert first["refused"] > 0 and first["flushes"] == 0 and first["copied"] >= 256 << 10

    # A driver that goes and comes finds its device again.
    bind = "cd /sys/bus/virtio/drivers/virtio_pmem; for v in $(ls | grep ^virtio); do echo $v >unbind && echo $v >bind; done; cd /"
    assert asked(started, f"{bind}; n=0; while [ {COUNT} != 2 -a $n -lt {LIMIT:.0f} ]; do sleep 1; n=$((n+1)); done; ls /dev | grep ^pmem")[0] == 0
    look = "for d in $(ls /dev | grep ^pmem); do mount -t ext4 -o ro,dax /dev/$d /w && sha256sum /w/new; umount /w; done"
    assert said in asked(started, f"( {look} ) 2>/dev/null")[1]

    started.send("exit\n")
    ebb.ended(started, 0)
    assert started.stderr().count("\n") == 0 and "read-only (--pmem" in started.stderr(), started.stderr()
    assert digest(base) == before


@pytest.fixture
def tell(request):
    """Writes a line of figures."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    return lambda line: reporter.write_line(f"\n{line}")
