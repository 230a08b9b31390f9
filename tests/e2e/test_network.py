# SPDX-License-Identifier: Apache-2.0
"""Networks under Linux's driver: by passt and by a tap interface, in both directions, and what breaks comes back."""

import functools
import hashlib
import http.server
import os
import socket
import subprocess
import threading

import pytest
from conftest import LIMIT, lib, wait_until
from test_monitor import answers, qmp, stat

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root]

MIB = lib.MIB
# An emulated host has no network of its own: passt wants an interface with a route, even one without a carrier.
HOST, GATEWAY = "10.9.0.1", "10.9.0.2"
TAP_HOST, TAP_GUEST = "10.8.0.1", "10.8.0.2"


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=LIMIT)


@pytest.fixture
def route():
    ip("tuntap", "add", "t0", "mode", "tap")
    ip("addr", "add", f"{HOST}/24", "dev", "t0")
    ip("link", "set", "t0", "up")
    ip("route", "add", "default", "via", GATEWAY, "dev", "t0")
    yield
    ip("link", "del", "t0")


@pytest.fixture
def served(tmp_path):
    """(port, sha256) of a file on the host's loopback."""
    path = tmp_path / "www"
    path.mkdir()
    data = os.urandom(4 * MIB)
    (path / "file").write_bytes(data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("", 0), functools.partial(Quiet, directory=path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], hashlib.sha256(data).hexdigest()
    server.shutdown()
    server.server_close()


def passts():
    """The passt processes of this host."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if comm.read().startswith("passt.") or os.readlink(f"/proc/{pid}/exe").endswith("/passt"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def keepers():
    return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if comm_of(pid) == "passt-keeper"]


def comm_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
            return comm.read().strip()
    except OSError:
        return ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def asked(port):
    """The line that a server in the guest says to one that comes by the host's port, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(20)
            return connection.makefile("rb").readline() or None
    except OSError:
        return None


@pytest.mark.arch("x86_64")
def test_user(ebb, route, served):
    """An address by DHCP, a file from the host, a port of the guest; and all of it again after passt was killed."""
    port, digest = served
    forwarded = free_port()
    fetch = f"wget -q -O - http://{GATEWAY}:{port}/file | sha256sum"
    started = ebb.start(
        f"udhcpc -q -n -i eth0 >/dev/null 2>&1; ip -4 -o addr show dev eth0; cat /sys/class/net/eth0/mtu; {fetch}; "
        "echo hello from the guest >/tmp/hello; nc -ll -p 80 -e busybox cat /tmp/hello & "
        f"echo serving; read line; while :; do {fetch}; done & "
        "read line; until [ $(cat /sys/class/net/eth0/carrier_down_count) = 1 ]; do sleep 0.1; done; echo gone; "
        "read line; kill %2; ping -c 3 -W 20 10.9.0.2 >/dev/null && echo pinged; read line",
        "-n", f"user,hostfwd=tcp:127.0.0.1:{forwarded}-:80", "--name", "net",
    )
    at, match = started.wait_for(r"inet ([\d.]+)/24", LIMIT)
    assert match[1] == HOST
    at, _ = started.wait_for("^65520$", LIMIT, at)
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at)
    at, _ = started.wait_for("^serving$", LIMIT, at)
    wait_until(lambda: asked(forwarded) == b"hello from the guest\n", "the guest's server answers")

    # Under traffic.
    started.send("\n")
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at + 1)
    (first,) = passts()
    os.kill(first, 9)
    started.send("\n")
    at, _ = started.wait_for("^gone$", LIMIT, at)
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at + 1)
    wait_until(lambda: asked(forwarded) == b"hello from the guest\n", "the guest's server answers again")
    assert passts() != [first] and len(passts()) == 1
    assert started.stderr().count("passt has ended: net0 is down until it runs again") == 1
    started.send("\n")
    started.wait_for("^pinged$", LIMIT, at)
    started.send("\n")
    ebb.ended(started, 0)
    wait_until(lambda: not passts() and not keepers(), "passt ends with its guest")


@pytest.mark.arch("x86_64")
def test_user_ends_with_a_killed_ebb(ebb, route):
    started = ebb.start("echo up; read line", "-n", "user")
    started.wait_for("^up$", LIMIT)
    assert len(passts()) == 1 and len(keepers()) == 1
    started.kill()
    wait_until(lambda: not passts() and not keepers(), "passt ends with ebb")


@pytest.mark.arch("x86_64")
def test_a_port_that_is_taken(ebb, route):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ebb.mistake(lib.ebb("true", "-n", f"user,hostfwd=tcp:127.0.0.1:{port}-:80"), "cannot start passt", str(port))
    wait_until(lambda: not passts() and not keepers(), "passt ends")


@pytest.mark.cross
def test_tap(ebb, served):
    """Large frames both ways through an interface of the host; the cable out and in; the interface's end."""
    port, digest = served
    started = ebb.start(
        f"ip addr add {TAP_GUEST}/24 dev eth0; ip link set eth0 up; read line; "
        f"ping -c 3 -W 20 {TAP_HOST} >/dev/null && echo pinged; "
        f"wget -q -O /tmp/file http://{TAP_HOST}:{port}/file; sha256sum </tmp/file; "
        "cat /sys/class/net/eth0/address; nc -ll -p 80 -e busybox cat /tmp/file & echo serving; read line; "
        "echo carrier $(cat /sys/class/net/eth0/carrier); read line; echo carrier $(cat /sys/class/net/eth0/carrier); "
        "until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.1; done; echo gone",
        "-n", "tap,tapif=ebb0,guest_mac=02:00:00:00:00:07", "--name", "net",
    )
    wait_until(lambda: os.path.exists("/sys/class/net/ebb0"), "ebb makes its interface")
    ip("addr", "add", f"{TAP_HOST}/24", "dev", "ebb0")
    started.send("\n")
    at, _ = started.wait_for("^pinged$", LIMIT)
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at)
    at, _ = started.wait_for("^02:00:00:00:00:07$", LIMIT, at)
    at, _ = started.wait_for("^serving$", LIMIT, at)
    with socket.create_connection((TAP_GUEST, 80), LIMIT) as connection:
        connection.settimeout(LIMIT)
        assert hashlib.sha256(connection.makefile("rb").read()).hexdigest() == digest

    link = {"execute": "set_link", "arguments": {"name": "net0", "up": False}}
    other = {"execute": "set_link", "arguments": {"name": "net1", "up": False}}
    done, refused = answers(qmp(ebb, "net", link, other))
    assert done == {"return": {}} and refused["error"]["class"] == "DeviceNotFound"
    (figures,) = stat(ebb, "net")["networks"]
    assert figures["mode"] == "tap" and not figures["up"] and figures["mac"] == "02:00:00:00:00:07"
    # The file went each way, in frames that are longer than a packet on a wire.
    assert 4 * MIB < figures["received-bytes"] and 4 * MIB < figures["sent-bytes"]
    assert figures["sent-bytes"] > 3000 * figures["sent"] / 2 and figures["refused"] == 0
    started.send("\n")
    at, _ = started.wait_for("^carrier 0$", LIMIT, at)
    with pytest.raises(OSError), socket.create_connection((TAP_GUEST, 80), 2):
        pass
    assert stat(ebb, "net")["networks"][0]["received-dropped"] > 0
    link["arguments"]["up"] = True
    assert answers(qmp(ebb, "net", link)) == [{"return": {}}]
    started.send("\n")
    at, _ = started.wait_for("^carrier 1$", LIMIT, at)
    ip("link", "del", "ebb0")
    started.send("\n")
    started.wait_for("^gone$", LIMIT, at)
    ebb.ended(started, 0)
    assert started.stderr().count("the interface ebb0 of the host was removed: net0 is down") == 1
