# SPDX-License-Identifier: Apache-2.0
"""Networks under Linux's driver: by passt and by a tap interface, in both directions, and what breaks comes back."""

import contextlib
import ctypes
import fcntl
import glob
import hashlib
import json
import os
import socket
import struct

import pytest
from conftest import GATEWAY, HOST, LIMIT, ip, lib, serving, wait_until
from test_monitor import stat

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root]

MIB = lib.MIB
TAP_HOST, TAP_GUEST = "10.8.0.1", "10.8.0.2"


@pytest.fixture
def served(tmp_path):
    """(port, sha256) of a file on the host's loopback."""
    path = tmp_path / "www"
    path.mkdir()
    data = os.urandom(4 * MIB)
    (path / "file").write_bytes(data)
    with serving(path) as port:
        yield port, hashlib.sha256(data).hexdigest()


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


def answered(port):
    """Whether a server in the guest says the same to one that comes by the host's port.

    The client speaks first: Debian 12's passt does not answer the guest's SYN-ACK before.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(20)
            connection.sendall(b"hello\n")
            return connection.makefile("rb").readline() == b"hello\n"
    except OSError:
        return False


def download(address):
    """The sha256 of what a server at the address says, or None."""
    try:
        with socket.create_connection(address, 5) as connection:
            connection.settimeout(LIMIT)
            return hashlib.sha256(connection.makefile("rb").read()).hexdigest()
    except OSError:
        return None


def set_link(box, name, network, up):
    """The answer to QMP's set_link."""
    return execute(box, name, {"execute": "set_link", "arguments": {"name": network, "up": up}})


def execute(box, name, command):
    """The answer to a QMP command, whatever events come before it."""
    messages = [{"execute": "qmp_capabilities"}, command | {"id": 1}]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(f"{box.runtime}/{name}.sock")
        client.sendall("".join(json.dumps(message) + "\n" for message in messages).encode())
        lines = client.makefile("r")
        answers = (json.loads(line) for line in lines)
        answer = next(answer for answer in answers if answer.get("id") == 1)
        return {key: answer[key] for key in answer if key != "id"}


@pytest.mark.cross
@pytest.mark.arch("x86_64", "riscv64")  # Debian 12's passt and, on riscv64, Debian 13's
def test_user(ebb, route, served):
    """An address by DHCP, a file from the host, a port of the guest; and all of it again after passt was killed."""
    port, digest = served
    forwarded = free_port()
    # passt resets a connection now and then on a host as slow as this; and after it was killed, a connection has no
    # other end that would say so.
    fetch = f"until timeout 40 busybox wget -q -O /tmp/f http://{GATEWAY}:{port}/file; do sleep 1; done; sha256sum </tmp/f"
    started = ebb.start(
        f"udhcpc -q -n -i eth0 >/dev/null 2>&1; ip -4 -o addr show dev eth0; cat /sys/class/net/eth0/mtu; {fetch}; "
        "nc -ll -p 80 -e busybox cat & "
        f"echo serving; read line; n=$(cat /sys/class/net/eth0/carrier_down_count); while :; do {fetch}; done & "
        "read line; until [ $(cat /sys/class/net/eth0/carrier_down_count) -gt $n ]; do sleep 0.1; done; echo gone; "
        "read line",
        "-n", f"user,hostfwd=tcp:127.0.0.1:{forwarded}-:80", "--name", "net",
    )
    at, match = started.wait_for(r"inet ([\d.]+)/24", LIMIT)
    assert match[1] == HOST
    at, _ = started.wait_for("^65520$", LIMIT, at)
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at)
    at, _ = started.wait_for("^serving$", LIMIT, at)
    wait_until(lambda: answered(forwarded), "the guest's server answers")

    # Under traffic.
    started.send("\n")
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at + 1)
    (first,) = passts()
    os.kill(first, 9)
    started.send("\n")
    at, _ = started.wait_for("^gone$", LIMIT, at)
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at + 1)
    wait_until(lambda: answered(forwarded), "the guest's server answers again")
    assert passts() != [first] and len(passts()) == 1
    started.send("\n")
    ebb.ended(started, 0)
    assert started.stderr().count("passt has ended: net0 is down until it runs again") == 1
    wait_until(lambda: not passts() and not keepers(), "passt ends with its guest")


@pytest.mark.arch("x86_64")
def test_user_ends_with_a_killed_ebb(ebb, route):
    """And is there by default."""
    started = ebb.start("echo up; read line", network=None)
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
    wait_until(lambda: download((TAP_GUEST, 80)) == digest, "the file comes back")

    assert set_link(ebb, "net", "net1", False)["error"]["class"] == "DeviceNotFound"
    assert set_link(ebb, "net", "net0", False) == {"return": {}}
    (figures,) = stat(ebb, "net")["networks"]
    assert figures["mode"] == "tap" and not figures["up"] and figures["mac"] == "02:00:00:00:00:07"
    # The file went each way, in frames that are longer than a packet on a wire.
    assert 4 * MIB < figures["received-bytes"] and 4 * MIB < figures["sent-bytes"]
    assert figures["sent-bytes"] > 3000 * figures["sent"] / 2 and figures["refused"] == 0
    started.send("\n")
    at, _ = started.wait_for("^carrier 0$", LIMIT, at)
    assert download((TAP_GUEST, 80)) is None
    assert stat(ebb, "net")["networks"][0]["received-dropped"] > 0
    assert set_link(ebb, "net", "net0", True) == {"return": {}}
    started.send("\n")
    at, _ = started.wait_for("^carrier 1$", LIMIT, at)
    ip("link", "del", "ebb0")
    started.send("\n")
    started.wait_for("^gone$", LIMIT, at)
    ebb.ended(started, 0)
    assert started.stderr().count("the interface ebb0 of the host was removed: net0 is down") == 1


# <linux/if_tun.h>
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 1, 2, 0x100, 0x1000, 0x4000


@contextlib.contextmanager
def interface(name, flags):
    """The descriptor of an interface that the test makes itself."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        yield fd
    finally:
        os.close(fd)


def test_tap_by_descriptor(ebb, served):
    """Opened by the program that starts ebb, which closes its own then: the interface is there as long as the guest."""
    port, digest = served
    with interface("given0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) as fd:
        started = ebb.start(
            f"ip addr add {TAP_GUEST}/24 dev eth0; ip link set eth0 up; echo up; read line; "
            f"wget -q -O /tmp/file http://{TAP_HOST}:{port}/file; sha256sum </tmp/file; read line",
            "-n", f"mode=fd,fd={fd}", "--name", "net", popen={"pass_fds": [fd]},
        )
    started.wait_for("^up$", LIMIT)
    ip("addr", "add", f"{TAP_HOST}/24", "dev", "given0")
    started.send("\n")
    started.wait_for(f"^{digest}  -$", LIMIT)
    (figures,) = stat(ebb, "net")["networks"]
    assert figures["mode"] == "tap" and figures["received-bytes"] > 4 * MIB
    started.send("\n")
    ebb.ended(started, 0)
    wait_until(lambda: not os.path.exists("/sys/class/net/given0"), "the interface ends with its guest")


def test_a_wrong_descriptor(ebb):
    """One of something else, of an interface of another kind, or of nothing."""
    with contextlib.ExitStack() as stack:
        null = os.open("/dev/null", os.O_RDWR)
        stack.callback(os.close, null)
        kinds = (IFF_TAP | IFF_NO_PI, IFF_TAP | IFF_VNET_HDR, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)
        wrong = [null, *(stack.enter_context(interface(f"wrong{i}", flags)) for i, flags in enumerate(kinds))]
        for fd in (*wrong, max(wrong) + 1):
            ebb.mistake(lib.ebb("true", network=f"tap,fd={fd}"),
                        f"the descriptor {fd} is not a tap with IFF_NO_PI and IFF_VNET_HDR", pass_fds=wrong)


@contextlib.contextmanager
def elsewhere():
    """In a network namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_net = 0x40000000
    with open("/proc/thread-self/ns/net", "rb") as here:
        assert libc.unshare(new_net) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(here.fileno(), new_net) == 0, os.strerror(ctypes.get_errno())


def test_a_descriptor_of_another_namespace(ebb):
    """What the host shows of an interface of the same name says nothing of it. That one is the control."""
    with contextlib.ExitStack() as stack:
        with elsewhere():
            theirs = stack.enter_context(interface("same0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        ours = stack.enter_context(interface("same0", IFF_TAP | IFF_VNET_HDR))
        ebb.mistake(lib.ebb("true", network=f"tap,fd={ours}"), f"the descriptor {ours} is not a tap with IFF_NO_PI and IFF_VNET_HDR", pass_fds=[ours])
        started = ebb.start("ls /sys/class/net", "-n", f"tap,fd={theirs}", popen={"pass_fds": [theirs]})
        started.wait_for("^eth0 +lo$", LIMIT)
        ebb.ended(started, 0)


def vhost_threads():
    """The kernel's threads that serve queues: processes of their own, or threads of ebb's (Linux 6.4)."""
    tasks = [path[len("/proc/") : -len("/comm")] for path in glob.glob("/proc/[0-9]*/task/[0-9]*/comm")]
    return [task for task in tasks if comm_of(task).startswith("vhost-")]


# Traffic both ways for as long as memory is checked; then the driver goes in the middle of it, comes back, and fetches.
VHOST = (
    "d=/sys/bus/virtio/drivers/virtio_net; v=$(basename $(readlink -f /sys/class/net/eth0/device)); echo $v >$d/unbind; "
    "echo none; read line; echo $v >$d/bind; "
    "up() {{ ip addr add {guest}/24 dev eth0; ip link set eth0 up; }}; "
    "fetch() {{ until timeout 60 wget -q -O $1 http://{host}:{port}/file; do sleep 0.1; done; sha256sum <$1; }}; up; "
    "fetch /tmp/served; nc -ll -p 80 -e busybox cat /tmp/served & echo serving; "
    "memcheck 160M --seconds {seconds} >/tmp/memcheck & m=$!; r=/sys/kernel/mm/page_reporting/report_now; "
    "(while kill -0 $m; do echo now >$r; sleep 0.2; done) 2>/dev/null & (while kill -0 $m; do fetch /tmp/f; done) 2>/dev/null; "
    "wait $m; tail -n 1 /tmp/memcheck; (while fetch /tmp/f; do :; done) & read line; "
    "echo $v >$d/unbind; echo unbound; read line; kill $!; echo $v >$d/bind; up; fetch /tmp/g; echo again; read line; "
    "reboot -f"
)
BACKINGS = {
    "anon-dontneed": [],
    "anon-free": ["--discard", "free"],
    "memfd-dontneed": ["--mem-backing", "memfd"],
    "control": ["--free-page-reporting=off"],
}


@pytest.mark.arch("x86_64")
@pytest.mark.parametrize("backing", BACKINGS)
def test_vhost(ebb, served, backing):
    """The host's kernel serves the queues, while what is free around them is discarded: no word of memory is wrong."""
    port, digest = served
    job = VHOST.format(guest=TAP_GUEST, host=TAP_HOST, port=port, seconds=20)
    started = ebb.start(job, "-n", "tap,tapif=ebb0,vhost=1", "--name", "net", *BACKINGS[backing], memory="448M")

    def network():
        return stat(ebb, "net")["networks"][0]

    at, _ = started.wait_for("^none$", LIMIT)
    # Nothing of vhost is there without a driver.
    assert not vhost_threads() and not network()["vhost"]
    ip("addr", "add", f"{TAP_HOST}/24", "dev", "ebb0")
    started.send("\n")
    at, _ = started.wait_for("^serving$", LIMIT, at)
    assert network()["vhost"] and len(vhost_threads()) == 1
    wait_until(lambda: download((TAP_GUEST, 80)) == digest, "the file comes back")
    before = (stat(ebb, "net")["reporting"] or {"bytes": 0})["bytes"]

    # Under traffic: the guest is paused, and its memory left alone; the cable is out, and in again.
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at)
    execute(ebb, "net", {"execute": "stop"})
    wait_until(lambda: not vhost_threads(), "the kernel lets go of a paused guest")
    execute(ebb, "net", {"execute": "cont"})
    wait_until(lambda: network()["vhost"], "the kernel serves the queues again")
    assert set_link(ebb, "net", "net0", False) == {"return": {}}
    wait_until(lambda: not network()["vhost"], "the kernel does not serve a network that is down")
    assert set_link(ebb, "net", "net0", True) == {"return": {}}
    wait_until(lambda: network()["vhost"], "the kernel serves the queues again")
    wait_until(lambda: download((TAP_GUEST, 80)) == digest, "the file comes back")
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at + 1)
    at, _ = started.wait_for("^memcheck: ok", LIMIT, at)
    figures = stat(ebb, "net")
    reported = (figures["reporting"] or {"bytes": 0})["bytes"] - before
    assert (reported == 0) == (backing == "control") and (reported == 0 or reported > 64 * MIB), reported // MIB
    # ebb has passed nothing but what came between two hands.
    assert network()["received-bytes"] < 4 * MIB and network()["sent-bytes"] < 4 * MIB

    started.send("\n")
    at, _ = started.wait_for("^unbound$", LIMIT, at)
    assert not vhost_threads() and not network()["vhost"]
    started.send("\n")
    at, _ = started.wait_for(f"^{digest}  -$", LIMIT, at)
    at, _ = started.wait_for("^again$", LIMIT, at)
    assert network()["vhost"]
    assert {text for _, text in started.lines if text.endswith("  -")} == {f"{digest}  -"}
    started.send("\n")
    ebb.ended(started, 0)
    assert not vhost_threads() and not os.path.exists("/sys/class/net/ebb0")


# Two CPUs, each with its queue: pinged by each, and all of it with other numbers of queues and another driver.
PAIRS = (
    "v=$(basename $(readlink -f /sys/class/net/eth0/device)); d=/sys/bus/virtio/drivers/virtio_net; "
    "up() {{ ip addr add {guest}/24 dev eth0; ip link set eth0 up; }}; "
    "queues() {{ echo $1 $(ls -d /sys/class/net/eth0/queues/tx-* | wc -l); read line; }}; "
    "each() {{ for cpu in 1 2; do taskset $cpu ping -c 3 -W 20 {host} >/dev/null && echo pinged by $cpu; done; }}; "
    "fetch() {{ until [ -e /tmp/changed ]; do taskset $1 wget -q -O /tmp/$1 http://{host}:{port}/file; sha256sum </tmp/$1; done; }}; "
    "up; queues start; each; queues pinged; "
    "fetch 1 & fetch 2 & for n in $(seq 20); do channels eth0 $((n % {queues} + 1)); done; touch /tmp/changed; wait; echo changed; "
    "channels eth0 1; each; queues one; "
    "channels eth0 3 2>/dev/null || echo refused; channels eth0 {queues}; each; queues more; "
    "echo $v >$d/unbind; echo unbound; read line; echo $v >$d/bind; up; each; queues bound; reboot -f"
)
KINDS = {
    "ebb": (2, "tap,tapif=ebb0,queues=2"),
    "vhost": (2, "tap,tapif=ebb0,queues=2,vhost=1"),
    "descriptors": (2, "mode=fd,fd={}:{}"),
    "control": (1, "tap,tapif=ebb0"),
}


def attached():
    """How many queues of ebb's interface get frames."""
    return len(glob.glob("/sys/class/net/ebb0/queues/tx-*"))


@pytest.mark.arch("x86_64")
@pytest.mark.parametrize("kind", KINDS)
def test_pairs(ebb, served, kind):
    """Frames pass by as many pairs of queues as the driver says, on both sides; one that goes leaves one."""
    port, digest = served
    queues, network = KINDS[kind]
    job = PAIRS.format(guest=TAP_GUEST, host=TAP_HOST, port=port, queues=queues)
    with contextlib.ExitStack() as stack:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
        fds = [stack.enter_context(interface("ebb0", flags)) for _ in range(2)] if kind == "descriptors" else []
        started = ebb.start(job, "-c", "2", "-n", network.format(*fds), "--name", "net", popen={"pass_fds": fds})

    def comes_to(step, used, at):
        """The guest has done a step, and uses so many pairs."""
        at, _ = started.wait_for(f"^{step} {used}$", LIMIT, at)
        (figures,) = execute(ebb, "net", {"execute": "x-ebb-stat"})["return"]["networks"]
        assert figures["pairs"] == used == attached() and len(figures["queues"]) == queues
        assert len(vhost_threads()) == (used if kind == "vhost" else 0)
        started.send("\n")
        return at, figures["queues"]

    wait_until(lambda: os.path.exists("/sys/class/net/ebb0"), "ebb makes its interface")
    ip("addr", "add", f"{TAP_HOST}/24", "dev", "ebb0")
    at, before = comes_to("start", queues, 0)
    at, after = comes_to("pinged", queues, at)
    # The host's kernel answers where it was asked; with vhost it counts.
    for was, pair in zip(before, after):
        assert kind == "vhost" or all(pair[way] - was[way] >= 3 for way in ("sent", "received")), (before, after)
    at, _ = started.wait_for("^changed$", LIMIT, at)
    at, _ = comes_to("one", 1, at)
    at, _ = started.wait_for("^refused$", LIMIT, at)
    at, _ = comes_to("more", queues, at)
    at, _ = started.wait_for("^unbound$", LIMIT, at)
    assert attached() == 1 and not vhost_threads()
    started.send("\n")
    comes_to("bound", queues, at)
    ebb.ended(started, 0)
    said = [text for _, text in started.lines]
    assert said.count(f"{digest}  -") >= 2 and {text for text in said if text.endswith("  -")} == {f"{digest}  -"}
    assert [said.count(f"pinged by {cpu}") for cpu in (1, 2)] == [4, 4]


def test_pairs_that_are_not_there(ebb):
    """Interfaces and descriptors of one queue, and of two interfaces."""
    ip("tuntap", "add", "one0", "mode", "tap")
    try:
        ebb.mistake(lib.ebb("true", network="tap,tapif=one0,queues=2"), "one0: Invalid argument: it must be a tap that was made with multi_queue")
    finally:
        ip("link", "del", "one0")
    with contextlib.ExitStack() as stack:
        several = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
        kinds = (("one1", several & ~IFF_MULTI_QUEUE), ("two1", several), ("two2", several))
        one, two, other = fds = [stack.enter_context(interface(name, flags)) for name, flags in kinds]
        ebb.mistake(lib.ebb("true", network=f"tap,fd={two}:{one}"), f"the descriptor {one} is not a tap with IFF_MULTI_QUEUE", pass_fds=fds)
        ebb.mistake(lib.ebb("true", network=f"tap,fd={two}:{other}"), f"the descriptor {other} is of another interface (two2) than the first (two1)", pass_fds=fds)


@pytest.mark.arch("x86_64")
def test_no_vhost(ebb):
    """Where the host has none, or forbids it, a line says so."""
    os.rename("/dev/vhost-net", "/dev/vhost-net.away")
    try:
        ebb.mistake(lib.ebb("true", "-n", "tap,vhost=1"), "cannot open /dev/vhost-net", "vhost_net")
        os.mknod("/dev/vhost-net", 0o600)
        ebb.mistake(lib.ebb("true", "-n", "tap,vhost=1"), "/dev/vhost-net is not a vhost device")
    finally:
        os.rename("/dev/vhost-net.away", "/dev/vhost-net")
