# SPDX-License-Identifier: Apache-2.0
"""Streams between programs of the guest and of the host, by Linux's driver and Unix sockets."""

import contextlib
import hashlib
import os
import socket
import subprocess
import threading

import pytest
from conftest import LIMIT, lib, wait_until
from test_folder import SHELL, asked, debians

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
MUCH = 64 * MIB
HOLD = 128
MANY = 50


def connect(path, port):
    """A stream to the guest's port, or None if it refuses."""
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(LIMIT)
    stream.connect(str(path))
    stream.sendall(b"CONNECT %d\n" % port)
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.recv(1)
        if not byte:
            stream.close()
            assert not line
            return None
        line += byte
    assert line.startswith(b"OK ") and line[3:-1].isdigit(), line
    return stream


class Exchange(threading.Thread):
    """Sends `size` bytes and more until `enough` is set, ends its half, and reads what comes back."""

    def __init__(self, stream, size, enough=None):
        super().__init__(daemon=True)
        self.stream, self.size, self.enough = stream, size, enough
        self.sent, self.came = hashlib.sha256(), hashlib.sha256()
        self.count = self.back = 0
        self.start()

    def send(self):
        block = os.urandom(min(self.size, MIB))
        while self.count < self.size or self.enough and not self.enough.is_set():
            self.stream.sendall(block)
            self.sent.update(block)
            self.count += len(block)
        self.stream.shutdown(socket.SHUT_WR)

    def run(self):
        sender = threading.Thread(target=self.send, daemon=True)
        sender.start()
        while data := self.stream.recv(MIB):
            self.came.update(data)
            self.back += len(data)
        sender.join(LIMIT)

    def check(self):
        self.join(2 * LIMIT)
        assert not self.is_alive(), f"{self.back} of {self.count} bytes came back"
        assert self.back == self.count and self.came.digest() == self.sent.digest()
        self.stream.close()


@contextlib.contextmanager
def echoing(path):
    """A program of the host that sends back what comes, on any number of connections."""
    def echo(stream):
        with stream:
            while data := stream.recv(MIB):
                stream.sendall(data)

    def accept():
        while True:
            try:
                stream, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(stream,), daemon=True).start()

    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(128)
    threading.Thread(target=accept, daemon=True).start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def command(ebb, *words):
    subprocess.run([lib.EBB, *words], env=ebb.env, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)


@pytest.fixture
def tell(request):
    """Writes a line of figures."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    return lambda line: reporter.write_line(f"\nvsock: {line}")


def test_streams(ebb, tmp_path, tell):
    path = tmp_path / "v,sock"
    started = ebb.start("coldplug; " + SHELL, "--vsock", f"{str(path).replace(',', ',,')},cid=42", "--name", "v", memory="512M",
                        **debians(tmp_path))
    started.wait_for("^ready$", 3 * LIMIT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert connect(path, 5000) is None, "nobody listens there yet"
    done = subprocess.run([lib.EBB, "ssh", "v", "--timeout", "5", "true"], env=ebb.env, timeout=LIMIT, capture_output=True, check=False)
    assert done.returncode == 255 and b"nothing listens on vsock port 22" in done.stderr and done.stderr.count(b"\n") == 1, done
    assert asked(started, "vsockio echo 5000 &")[0] == 0
    started.wait_for("^vsockio: listens$", LIMIT)

    # Much each way, while the guest gives memory back.
    enough = threading.Event()
    stream = Exchange(connect(path, 5000), MUCH, enough)
    mark = len(started.lines)
    started.send(f"hold {HOLD}M --wait\n")
    started.wait_for("^hold: taken", LIMIT)
    taken = started.rss()
    started.send("\n")
    started.wait_for("^status=0$", LIMIT, mark)
    started.wait_for_rss(lambda rss: rss < taken - HOLD // 2 * MIB, LIMIT)
    assert stream.is_alive()
    enough.set()
    stream.check()

    # Many at once; those that are slow hold up no other.
    idle = connect(path, 5000)
    streams = [connect(path, 5000) for _ in range(MANY)]
    exchanges = [Exchange(one, 100000) for one in streams]
    for one in exchanges:
        one.check()

    # From the guest.
    with echoing(f"{path}_5001"):
        status, text = asked(started, f"vsockio connect 5001 {MUCH // 4} 1", 2 * LIMIT)
        assert status == 0, text
        status, many = asked(started, f"vsockio connect 5001 64K {MANY}", 2 * LIMIT)
        assert status == 0, many
    for port in (5001, 5002):
        status, refused = asked(started, f"vsockio connect {port} 1K 1 2>&1")
        assert status == 1 and "connect:" in refused, refused

    # A guest that is paused hears it later.
    command(ebb, "pause", "-n", "v")
    idle.sendall(b"later")
    command(ebb, "resume", "-n", "v")
    assert idle.recv(5, socket.MSG_WAITALL) == b"later"

    # A driver that goes ends them all, and one that comes makes new ones.
    driver = "cd /sys/bus/virtio/drivers/vmw_vsock_virtio_transport; v=$(ls | grep ^virtio); echo $v >"
    assert asked(started, f"{driver}unbind")[0] == 0
    assert idle.recv(1) == b""
    assert connect(path, 5000) is None
    assert asked(started, "echo $v >bind; cd /; killall vsockio; vsockio echo 5003 &")[0] == 0
    wait_until(lambda: [text for _, text in started.lines].count("vsockio: listens") == 2, "the second server")
    last = connect(path, 5003)
    last.sendall(b"again")
    assert last.recv(5, socket.MSG_WAITALL) == b"again"

    # It ends without a word: programs see that, and the name goes.
    started.kill()
    assert last.recv(1) == b""
    wait_until(lambda: not path.exists(), "the socket is gone")
    tell(f"{stream.count // MIB} MiB by the host's program, {text.strip()}, {many.strip()}; {HOLD} MiB back meanwhile")
