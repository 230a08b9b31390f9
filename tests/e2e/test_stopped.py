# SPDX-License-Identifier: Apache-2.0
"""A guest that is paused, and backends that are stopped, while it uses a folder, a qcow2 disk and a virtio console: nothing goes
on, the monitor answers, and all goes on afterwards."""

import os
import signal

import pytest
from conftest import LIMIT, lib, wait_until
from test_folder import asked, gone, processes, servers
from test_layers import qemu_img
from test_monitor import answers, qmp, run, stat

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
# Each tick has been on the disk and in the folder, and comes by the console; what is read is done meanwhile.
TICKS = ("(n=0; while [ ! -e /end ]; do n=$((n+1)); echo $n >/m/f && sync /m/f && "
         "dd if=/m/f of=/dev/vda bs=512 seek=$n conv=sync,fsync 2>/dev/null && echo tick $n; done; echo over $n) & ")
SHELL = "stty -echo; set -f; mount -t virtiofs fs0 /m; echo ready; while read -r c; do eval $c; echo status=$?; done"


@pytest.fixture
def working(ebb, tmp_path):
    folder, disk = tmp_path / "folder", tmp_path / "a.qcow2"
    folder.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", disk, "16M")
    started = ebb.start("mkdir /m; " + SHELL, "--console", "virtio", "--fs", str(folder), "-d", str(disk), "--name", "working")
    started.wait_for("^ready$", LIMIT)
    assert asked(started, TICKS)[0] == 0
    return started, folder, disk


def ticks(started):
    return sum(text.startswith("tick ") for _, text in started.lines)


def tick(started, count=2):
    """Waits for new ones."""
    before = ticks(started)
    wait_until(lambda: ticks(started) >= before + count, "the guest goes on")


def stands_still(ebb, started, status):
    """Once what was under way is done: for as long as the monitor takes for some answers."""
    def settled():
        before = ticks(started)
        for _ in range(3):
            assert stat(ebb, "working", "--no-refresh")["status"] == status
        block = answers(qmp(ebb, "working", {"execute": "query-block"}, {"execute": "query-status"}))
        assert block[0]["return"][0]["inserted"]["drv"] == "qcow2" and block[1]["return"]["status"] == status
        return ticks(started) == before

    wait_until(settled, "the guest stands still")


def daemons(folder):
    return {"virtiofsd": servers(folder), "qemu-storage-daemon": [pid for pid, _ in processes("qemu-storage-da")]}


def stop(pids, number=signal.SIGSTOP):
    for pid in pids:
        os.kill(pid, number)


def test_paused(ebb, working, tmp_path):
    """And what the guest did is whole at the end."""
    started, folder, disk = working
    for _ in range(3):
        tick(started)
        run(ebb, "pause", "-n", "working")
        stands_still(ebb, started, "paused")
        run(ebb, "resume", "-n", "working")
    tick(started)
    assert asked(started, "touch /end; wait")[0] == 0
    count = int(started.wait_for(r"^over (\d+)$", LIMIT)[1][1])
    said = [text for _, text in started.lines if text.startswith("tick ")]
    assert said == [f"tick {n}" for n in range(1, count + 1)]
    started.send("exit\n")
    ebb.ended(started, 0)
    assert (folder / "f").read_text() == f"{count}\n"
    qemu_img("convert", "-O", "raw", disk, tmp_path / "raw")
    raw = (tmp_path / "raw").read_bytes()
    assert [raw[512 * n:512 * (n + 1)].rstrip(b"\0") for n in range(1, count + 1)] == [b"%d\n" % n for n in range(1, count + 1)]


@pytest.mark.parametrize("which", ["virtiofsd", "qemu-storage-daemon"])
def test_backend_is_stopped(ebb, working, which):
    started, folder, _ = working
    tick(started)
    stopped = daemons(folder)[which]
    stop(stopped)
    stands_still(ebb, started, "running")
    assert asked(started, "echo $((6 * 7))")[1].split()[-1] == "42"
    # The guest can be paused, too, while a request is there.
    run(ebb, "pause", "-n", "working")
    stands_still(ebb, started, "paused")
    run(ebb, "resume", "-n", "working")
    stop(stopped, signal.SIGCONT)
    tick(started)
    assert daemons(folder)[which] == stopped and "lost" not in started.stderr()
    # It ends, whatever its backends do.
    stop(pid for pids in daemons(folder).values() for pid in pids)
    started.process.terminate()
    ebb.ended(started, 0)
    gone("virtiofsd", "fs-keeper", "qemu-storage-da", "disk-keeper")
