# SPDX-License-Identifier: Apache-2.0
"""ebb ssh: what it makes of a guest's socket, and how it calls ssh, in whose place a script says what it was told."""

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading

import pytest
from fake import Refusal

# Has the proxy pass a connection, as ssh does, and then speaks to the guest's server, if there is a command.
SSH = r"""#!{python}
import array, json, os, socket, subprocess, sys
options = dict(word.partition("=")[::2] for word in sys.argv if "=" in word)
options = {{name.removeprefix("-o"): value for name, value in options.items()}}
ours, theirs = socket.socketpair()
proxy = options["ProxyCommand"].replace("%%", "%")
status = subprocess.run([os.environ["SHELL"], "-c", "exec " + proxy], stdin=theirs, stdout=theirs).returncode
theirs.close()
data, fds, _, _ = socket.recv_fds(ours, 1, 1)
said = b""
if fds:
    stream = socket.socket(fileno=fds[0])
    stream.setblocking(True)
    stream.sendall(b"hello")
    stream.shutdown(socket.SHUT_WR)
    while piece := stream.recv(100):
        said += piece
print(json.dumps({{"words": sys.argv[1:], "proxy": proxy, "status": status, "fds": len(fds), "said": said.decode()}}))
sys.exit(42)
"""


class Vsock:
    """A guest's socket, whose server is there from the connection `refused` on; `answer` is in place of OK."""

    def __init__(self, path, answer=b"OK 1073741824\n", refused=0):
        self.path, self.answer, self.refused = path, answer, refused
        self.lines = []
        self.server = socket.socket(socket.AF_UNIX)
        # The path may be longer than an address.
        here = os.open(os.path.dirname(path), os.O_PATH)
        self.server.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
        os.close(here)
        self.server.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream, contextlib.suppress(OSError):  # ebb may leave early
            line = b""
            while not line.endswith(b"\n"):
                line += stream.recv(1)
            self.lines.append(line)
            if len(self.lines) <= self.refused:
                return
            # A program behind the answer speaks at once, in the same piece, as an SSH server does.
            stream.sendall(self.answer + b"banner ")
            while data := stream.recv(100):
                stream.sendall(data)

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


@pytest.fixture
def vsock(fake):
    """Starts a guest with a socket."""
    made = []

    def start(name="ci", folder="", **how):
        top = tempfile.TemporaryDirectory(prefix="ebb-ssh-")
        path = os.path.join(top.name, folder)
        os.makedirs(path, exist_ok=True)
        one = Vsock(os.path.join(path, "v"), **how)
        made.append((top, one))
        fake(name).hooks["x-ebb-vsock"] = lambda _arguments: {"path": one.path, "cid": 3}
        return one

    yield start
    for top, one in made:
        one.close()
        top.cleanup()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program called ssh, before all others."""
    path = tmp_path / "ssh"
    path.write_text(SSH.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SHELL", "/usr/sbin/nologin")


def test_command(ebb, fake, vsock, program):
    one = vsock("a b", "it's 100% \"here\" " + "x" * 120)
    vsock("other")
    done = ebb("ssh", "-o", "ForwardAgent=yes", "-i", "key", "a b", "ls", "-l", "--", "-n")
    assert done.status == 42 and done.err == "", "the status is ssh's"
    said = json.loads(done.out)
    words = said["words"]
    assert words[:4] == ["-o", "ForwardAgent=yes", "-i", "key"], "the user's come first"
    assert words[-8:] == ["-l", "root", "--", "ebb-a_b", "ls", "-l", "--", "-n"]
    assert "-oStrictHostKeyChecking=no" in words and "-oUserKnownHostsFile=/dev/null" in words and "-oControlPath=none" in words
    assert (said["status"], said["fds"], said["said"]) == (0, 1, "banner hello"), "nothing of the stream is lost, each half ends alone"
    assert one.lines == 2 * [b"CONNECT 22\n"]


def test_choice(ebb, fake, vsock, program):
    vsock()
    for words in (["ssh"], ["ssh", "ci"], ["ssh", "-n", "ci"]):
        said = json.loads(ebb(*words, "-l", "me", "-t", "-t").out)["words"]
        assert said[:2] == ["-t", "-t"] and said[-4:] == ["-l", "me", "--", "ebb-ci"]
    said = json.loads(ebb("ssh", "-n", "ci", "--", "-x", "y").out)["words"]
    assert said[-3:] == ["ebb-ci", "-x", "y"]
    said = json.loads(ebb("ssh", "--", "uptime", "--", "-p").out)["words"]
    assert said[-4:] == ["ebb-ci", "uptime", "--", "-p"], "no name, since -- comes first"
    ebb("ssh", "uptime", "--", "-p").failed(255, 'no guest called "uptime" is running')


def test_waits(ebb, fake, vsock, program):
    """A guest that has just started: its server is there a moment later."""
    one = vsock(refused=3)
    assert ebb("ssh", "ci", "--timeout", "50").status == 42
    assert len(one.lines) == 5, "three tries in vain, one that succeeds, and ssh's own"


def test_nothing_listens(ebb, fake, vsock, program):
    vsock(refused=1000000)
    ebb("ssh", "ci", "--timeout", "3").failed(255, "nothing listens on vsock port 22", "longer --timeout", "SSH server")


def test_no_socket(ebb, fake, program):
    fake().hooks["x-ebb-vsock"] = lambda _arguments: {"path": "/proc/self/environ", "cid": 3}
    ebb("ssh").failed(255, "/proc/self/environ", "Connection refused")


@pytest.mark.parametrize("answer", [b"OK", b"NO 22\n", b"\n", b"OK " + b"1" * 30, b"\0" * 30, b"SSH-2.0-x\r\n"], ids=repr)
def test_no_guests_socket(ebb, fake, vsock, program, answer):
    vsock(answer=answer + b" " * 40)
    ebb("ssh", "ci", "--timeout", "50").failed(255, "does not answer as the socket of a guest")


def test_paused(ebb, fake, runtime, program):
    """The kernel takes connections for a program that is stopped."""
    path = os.path.join(runtime, "v")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(16)
        fake().hooks["x-ebb-vsock"] = lambda _arguments: {"path": path, "cid": 3}
        ebb("ssh", "ci", "--timeout", "0.3").failed(255, "does not answer on its vsock", "paused")


@pytest.mark.parametrize("answer", [{}, {"path": 3}, {"path": "relative"}, {"path": None}, {"path": None, "cid": 2}, {"cid": 9}, [], None, {"path": "/" + "x" * 5000}], ids=lambda answer: repr(answer)[:20])
def test_wrong_path(ebb, fake, program, answer):
    fake().hooks["x-ebb-vsock"] = lambda _arguments: answer
    ebb("ssh").failed(255, "ebb: ")


def test_by_cid(ebb, fake, program):
    """Of a guest whose sockets the host's kernel serves. Nobody has this CID, or this host has no vsock at all: a line says so."""
    fake().hooks["x-ebb-vsock"] = lambda _arguments: {"path": None, "cid": 4294967294}
    ebb("ssh", "ci", "--timeout", "0.3").failed(255, "vsock")


@pytest.mark.parametrize("kind, words", [("DeviceNotFound", ["has no vsock device", "--ssh"]), ("CommandNotFound", ["does not say where"])])
def test_no_device(ebb, fake, program, kind, words):
    def refuse(_arguments):
        raise Refusal("none", kind)

    fake().hooks["x-ebb-vsock"] = refuse
    ebb("ssh").failed(255, *words)


def test_mistakes(ebb, fake, vsock):
    ebb("ssh", "nobody").failed(255, 'no guest called "nobody" is running')
    ebb("ssh", "-n", "a/b").failed(255, "contains a slash")
    ebb("ssh").failed(255, "no guest is running")
    ebb("ssh", "--timeout", "x").failed(255, "--timeout")
    ebb("ssh", "--proxy", "/nonesuch").failed(255, "/nonesuch", "No such file")
    ebb("ssh", "--proxy").failed(255, "unknown option --proxy")


def test_proxy_alone(ebb, vsock):
    """Someone calls it without ssh."""
    ebb("ssh", "--proxy", vsock().path).failed(255, "cannot pass ssh the connection")


def test_not_installed(ebb, fake, vsock, monkeypatch, tmp_path):
    vsock()
    monkeypatch.setenv("PATH", str(tmp_path))
    ebb("ssh").failed(255, "ssh is not installed", "openssh-client")
