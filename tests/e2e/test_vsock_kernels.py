# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count
"""The kernel's own tests of AF_VSOCK (tools/testing/vsock of Debian's packaged source): one side in the guest, by Linux's
driver, the other on the host, whose AF_VSOCK is ebb's Unix sockets (af_vsock.c). On a host that counts: they wait 10 s at most."""

import os
import re
import select
import subprocess

import pytest
from conftest import LIMIT, ip, lib
from test_folder import SHELL

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

CID, PORT = 42, 1234
TAP_HOST, TAP_GUEST = "10.8.0.1", "10.8.0.2"
SOURCE = os.path.join(os.environ.get("EBB_CACHE", "/nonexistent"), "source", "tree", "tools")
PARTS = ("vsock_test", "vsock_test_zerocopy", "timeout", "control", "util", "msg_zerocopy_common")
# By the guest's part in it, what does not pass, and why: the host's side is a Unix socket.
REASONS = {
    "client": {"SOCK_STREAM SHUT_RD": "who writes to a Unix socket learns that the other side reads no more when it writes",
               "SOCK_STREAM MSG_ZEROCOPY": "of 192 KiB at once Linux copies what goes beyond ebb's credit, which is 128"},
    "server": {"SOCK_STREAM poll() + SO_RCVLOWAT": "poll() of a Unix socket does not heed SO_RCVLOWAT",
               "SOCK_STREAM MSG_ZEROCOPY": "Unix sockets have no SO_ZEROCOPY",
               "SOCK_STREAM MSG_ZEROCOPY empty MSG_ERRQUEUE": "nor MSG_ERRQUEUE"},
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The folder with vsock_test for the guest, in an initrd, and for the host, with its AF_VSOCK."""
    if not os.path.isdir(f"{SOURCE}/testing/vsock"):
        pytest.skip(f"there is no {SOURCE}/testing/vsock: guest/build source unpacks it")
    path = tmp_path_factory.mktemp("vsock_test")
    here = os.path.dirname(os.path.abspath(__file__))
    parts, objects = [f"{SOURCE}/testing/vsock/{part}.c" for part in PARTS], [f"{part}.o" for part in PARTS]
    (path / "bin").mkdir()

    def gcc(*words):
        subprocess.run(["gcc", "-w", "-D_GNU_SOURCE", *words], cwd=path, check=True, timeout=3 * LIMIT, stderr=subprocess.DEVNULL)

    gcc("-c", f"-I{SOURCE}/include", *parts)
    gcc("-o", "vsock_test", *objects)
    gcc("-static", "-o", "bin/vsock_test", *objects)
    gcc("-shared", "-fPIC", "-o", "af_vsock.so", f"{here}/af_vsock.c")
    archive = subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=path, input=b"bin/vsock_test\n", capture_output=True,
                             check=True, timeout=LIMIT).stdout
    with open(lib.INITRAMFS, "rb") as initramfs:
        (path / "initrd").write_bytes(initramfs.read() + archive)
    return path


def names(path):
    """{name: number}, of streams."""
    listed = subprocess.run([path / "vsock_test", "--list"], stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT).stdout
    return {name: int(number) for number, name in re.findall(r"^(\d+)\t(SOCK_STREAM .*)$", listed, re.M)}, listed.count("SOCK_")


def arguments(mode, host, cid, skipped):
    return [f"--mode={mode}", f"--control-host={host}", f"--control-port={PORT}", f"--peer-cid={cid}",
            *(f"--skip={number}" for number in skipped)]


def run(started, role, program, env, skipped):
    """Runs all but those. Returns what both sides said if one does not pass. The server is there before the client."""
    mark = len(started.lines)
    address = TAP_HOST if role == "client" else TAP_GUEST
    host = [program, *arguments("server" if role == "client" else "client", address, CID, skipped)]
    guest = " ".join(["vsock_test", *arguments(role, address, 2, skipped)]) + "\n"
    if role == "server":
        started.send(guest)
        started.wait_for("^Control socket listening", LIMIT, mark)
    with subprocess.Popen(host, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            if role == "client":
                assert select.select([process.stdout], [], [], LIMIT)[0], "the server says nothing"
                assert process.stdout.readline().startswith("Control socket listening")
                started.send(guest)
            said = process.communicate(timeout=LIMIT)[0]
        finally:
            process.kill()  # it waits for its client without a limit
    at, found = started.wait_for(r"^status=(\d+)$", LIMIT, mark)
    if process.returncode == 0 and found[1] == "0" and "...ok" in said:
        return None
    return [line for line in [*said.splitlines(), *(text for _, text in started.lines[mark:at])] if not line.endswith("skipped")]


@pytest.mark.parametrize("role", ["client", "server"])
def test_of_the_kernel(ebb, programs, tmp_path, role):
    """Each of streams passes, or is named above with its reason, and then does not."""
    path = tmp_path / "v"
    started = ebb.start(f"ip addr add {TAP_GUEST}/24 dev eth0; ip link set eth0 up; {SHELL}", "--vsock", f"{path},cid={CID}",
                        "-n", "tap,tapif=ebb0", initrd=str(programs / "initrd"))
    started.wait_for("^ready$", LIMIT)
    ip("addr", "add", f"{TAP_HOST}/24", "dev", "ebb0")
    env = os.environ | {"LD_PRELOAD": str(programs / "af_vsock.so"), "EBB_VSOCK": str(path), "EBB_VSOCK_CID": str(CID)}
    tests, count = names(programs)
    failed = {name: said for name, number in tests.items()
              if (said := run(started, role, programs / "vsock_test", env, [other for other in range(count) if other != number]))}
    print(failed)
    assert set(failed) == set(REASONS[role])
    started.send("exit\n")
    ebb.ended(started, 0)
