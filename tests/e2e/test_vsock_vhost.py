# SPDX-License-Identifier: Apache-2.0
"""Streams between programs of the guest and of the host by the host's kernel: vhost-vsock."""

import glob
import os
import socket
import subprocess
import threading

import pytest
from conftest import LIMIT, lib, wait_until
from test_folder import SHELL, asked, debians
from test_network import execute, vhost_threads
from test_vsock import Exchange

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
CID = 42
MUCH = 32 * MIB
HOLD = 128
DRIVER = "cd /sys/bus/virtio/drivers/vmw_vsock_virtio_transport; v=$(ls | grep ^virtio); echo $v >"


def connect(port, cid=CID):
    stream = socket.socket(socket.AF_VSOCK)
    stream.settimeout(LIMIT)
    try:
        stream.connect((cid, port))
    except OSError:
        stream.close()
        raise
    return stream


def begin(ebb, tmp_path, *options):
    started = ebb.start("coldplug; " + SHELL, "--vsock", f"vhost=1,cid={CID}", "--name", "v", *options, memory="512M", **debians(tmp_path))
    started.wait_for("^ready$", 3 * LIMIT)
    return started


def listens(started, port):
    before = [text for _, text in started.lines].count("vsockio: listens")
    assert asked(started, f"vsockio echo {port} &")[0] == 0
    wait_until(lambda: [text for _, text in started.lines].count("vsockio: listens") > before, "a server in the guest")


@pytest.mark.parametrize("reporting", ["on", "off"])
def test_streams(ebb, tmp_path, reporting):
    """Bytes are right while the guest gives memory back (the control: it does not), is paused, and its driver goes and comes."""
    started = begin(ebb, tmp_path, f"--free-page-reporting={reporting}")
    # ebb has no thread in it: the kernel's serves the queues, and a path is nowhere.
    assert execute(ebb, "v", {"execute": "x-ebb-vsock"})["return"] == {"path": None, "cid": CID}
    wait_until(vhost_threads, "the kernel serves the queues")
    with pytest.raises(ConnectionResetError):
        connect(5000)
    done = subprocess.run([lib.EBB, "ssh", "v", "--timeout", "5", "true"], env=ebb.env, timeout=LIMIT, capture_output=True, check=False)
    assert done.returncode == 255 and b"nothing listens on vsock port 22" in done.stderr and done.stderr.count(b"\n") == 1, done

    listens(started, 5000)
    enough = threading.Event()
    stream = Exchange(connect(5000), MUCH, enough)
    mark = len(started.lines)
    started.send(f"hold {HOLD}M --wait\n")
    started.wait_for("^hold: taken", LIMIT)
    taken = started.rss()
    started.send("\n")
    started.wait_for("^status=0$", LIMIT, mark)
    if reporting == "on":
        started.wait_for_rss(lambda rss: rss < taken - HOLD // 2 * MIB, LIMIT)
    else:
        assert started.rss() > taken - HOLD // 2 * MIB
    enough.set()
    stream.check()

    # From the guest.
    with socket.socket(socket.AF_VSOCK) as server:
        server.bind((socket.VMADDR_CID_ANY, 5001))
        server.listen(8)

        def echo():
            peer, address = server.accept()
            assert address[0] == CID
            with peer:
                while data := peer.recv(MIB):
                    peer.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        status, text = asked(started, f"vsockio connect 5001 {MIB} 1", 2 * LIMIT)
        assert status == 0, text

    # A guest that is paused hears it later.
    idle = connect(5000)
    execute(ebb, "v", {"execute": "stop"})
    idle.sendall(b"later")
    idle.settimeout(1)
    with pytest.raises(TimeoutError):
        idle.recv(5)
    idle.settimeout(LIMIT)
    execute(ebb, "v", {"execute": "cont"})
    assert idle.recv(5, socket.MSG_WAITALL) == b"later"

    # A driver that goes and comes again. An old stream ends when its program next sends.
    assert asked(started, f"{DRIVER}unbind")[0] == 0
    assert asked(started, "echo $v >bind; cd /; killall vsockio")[0] == 0
    idle.settimeout(1)
    with pytest.raises(TimeoutError):
        idle.recv(1)
    idle.settimeout(LIMIT)
    idle.sendall(b"old")
    assert idle.recv(1) == b""
    listens(started, 5003)
    last = connect(5003)
    last.sendall(b"again")
    assert last.recv(5, socket.MSG_WAITALL) == b"again"

    # It ends without a word: programs see that, and the CID is free.
    started.kill()
    with pytest.raises(ConnectionResetError):
        last.recv(1)
    wait_until(lambda: not vhost_threads(), "the kernel's thread has ended")


def test_refused(ebb, tmp_path):
    """A CID that another guest has, and snapshots: each is one line."""
    begin(ebb, tmp_path)
    second = lib.ebb("true", "--vsock", f"vhost=1,cid={CID}")
    for words, status, said in [(second, 2, f"another guest of this host has the CID {CID}, or the host itself; choose another"),
                                ([lib.EBB, "snapshot", "-n", "v", str(tmp_path / "saved")], 1, '"vsock 0" cannot be saved yet: one with a path can')]:
        done = subprocess.run(words, env=ebb.env, timeout=LIMIT, capture_output=True, text=True, check=False)
        assert done.returncode == status and said in done.stderr and done.stderr.count("\n") == 1, done
    assert not glob.glob(str(tmp_path / "saved" / "*"))


def test_no_vhost(ebb):
    """Where the host has none, a line says so."""
    os.rename("/dev/vhost-vsock", "/dev/vhost-vsock.away")
    try:
        ebb.mistake(lib.ebb("true", "--vsock", "vhost=1,cid=7"), "cannot open /dev/vhost-vsock", "vhost_vsock")
    finally:
        os.rename("/dev/vhost-vsock.away", "/dev/vhost-vsock")
