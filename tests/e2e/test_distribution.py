# SPDX-License-Identifier: Apache-2.0
# Architectures: x86_64
"""Debian as it is, from a disk: its kernel, its initrd, its systemd and its SSH server, on the user network."""

import hashlib
import json
import os
import socket
import socketserver
import subprocess
import tarfile
import threading

import pytest
from conftest import GATEWAY, GATEWAY6, HOST, LIMIT, lib, serving, wait_until
from test_network import free_port, passts

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

DISK = os.path.join(lib.BUILD, "guest", "kernels", "disk-x86_64-bookworm-cloud", "disk.img")
LONG = 3 * LIMIT
TAKE = 64 * lib.MIB
NAME = "package.test"
# For the sake of time, on a processor that is emulated twice: no tests and no faster variants of the kernel's ciphers, which
# udev loads for any processor that could have them; no login on consoles; and systemd waits longer than its 90 s.
CIPHERS = "aesni_intel,crc32_pclmul,crct10dif_pclmul,ghash_clmulni_intel,sha1_ssse3,sha256_ssse3,sha512_ssse3"
SLOW = (f"quiet cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1 modprobe.blacklist=kvm_amd,{CIPHERS} "
        "systemd.default_timeout_start_sec=900 systemd.mask=getty-static.service systemd.mask=serial-getty@ttyS0.service")


def dns_answer(query):
    """To any question for a name's address: the one that passt takes to the host's loopback."""
    end = query.index(b"\0", 12) + 5
    kind = query[end - 4 : end - 2]
    address = {b"\0\1": socket.inet_aton(GATEWAY), b"\0\x1c": socket.inet_pton(socket.AF_INET6, GATEWAY6)}.get(kind)
    answer = b"" if address is None else b"\xc0\x0c" + kind + b"\0\1\0\0\0\x3c" + len(address).to_bytes(2, "big") + address
    counts = b"\0\1" + (b"\0\1" if answer else b"\0\0") + bytes(4)
    return query[:2] + b"\x81\x80" + counts + query[12:end] + answer


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        query, server = self.request
        server.sendto(dns_answer(query), self.client_address)


@pytest.fixture
def dns(tmp_path):
    """The host's name server, and the host's file that names it."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True, timeout=LIMIT)
    with socketserver.UDPServer(("127.0.0.1", 53), Dns) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()
    subprocess.run(["umount", "/etc/resolv.conf"], check=True, timeout=LIMIT)


@pytest.fixture
def package(tmp_path):
    """(port, sha256) of what the host serves: a program's source, some MiB in all."""
    path = tmp_path / "www"
    path.mkdir()
    (tmp_path / "samples").write_bytes(os.urandom(2 * lib.MIB))
    with tarfile.open(path / "package.tar", "w") as tar:
        tar.add(tmp_path / "samples", "package/samples")
        for name in ("hold.c", "workload.h"):
            tar.add(os.path.join(lib.TREE, "guest", "workloads", name), f"package/{name}")
    (path / "six").write_text("by IPv6\n")
    with serving(path) as port:
        yield port, hashlib.sha256((path / "package.tar").read_bytes()).hexdigest()


# What systemd 256 has by itself: an SSH server for each connection by vsock. Debian 12's is older.
UNITS = {"vsock-ssh.socket": "[Socket]\nListenStream=vsock::22\nAccept=yes\n",
         "vsock-ssh@.service": "[Service]\nExecStart=/usr/sbin/sshd -i\nStandardInput=socket\n"}


def add_units(disk, folder):
    """To a disk that is not in use."""
    commands = ""
    for name, text in UNITS.items():
        (folder / name).write_text(text)
        commands += f"write {folder}/{name} /etc/systemd/system/{name}\n"
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", disk], input=commands, text=True, check=True, timeout=LIMIT,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Ssh:
    """By a forwarded port, with a key and a list of known hosts of its own."""

    def __init__(self, folder, port):
        self.port, self.key = port, folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True, timeout=LIMIT)
        self.argv = ["ssh", "-p", str(port), "-i", self.key, "-o", f"UserKnownHostsFile={folder}/known",
                     "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "root@127.0.0.1"]

    def answers(self):
        """Whether the guest's server is there. The client speaks first, for Debian 12's passt: see test_network.py."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.settimeout(20)
                connection.sendall(b"SSH-2.0-probe\r\n")
                return connection.recv(8) == b"SSH-2.0-"
        except OSError:
            return False

    def job(self, command):
        """What it says, line by line."""
        done = subprocess.run([*self.argv, command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LONG)
        assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.splitlines()


def ebb_ssh(name, *words, limit=LIMIT):
    """README's way into the guest."""
    return [lib.EBB, "ssh", "--timeout", str(limit), "-o", "BatchMode=yes", *words, name]


@pytest.fixture
def boot(ebb, tmp_path, request):
    """Starts Debian from a disk, and shows its console where the test fails."""

    def start(disk, *options, params=""):
        argv = [lib.EBB, "run", "-d", tmp_path / disk, "-m", "512M", "-p", f"{SLOW} {params}", *options]
        started = lib.Guest(argv, env=ebb.env)
        ebb.guests.append(started)
        request.addfinalizer(lambda: print(started.console(), started.stderr(), sep="\n"))
        return started

    return start


def held(started):
    """Bytes that the host holds for the VMM; a guest's memory is shared with the server of its image."""
    with open(f"/proc/{started.pid}/status", encoding="ascii") as status:
        return sum(int(line.split()[1]) * 1024 for line in status if line.startswith(("RssAnon:", "RssShmem:")))


# Whether the balloon's driver has negotiated free page reporting, bit 5.
REPORTING = "cut -c 6 /sys/bus/virtio/drivers/virtio_balloon/virtio*/features"
# passt resets a connection now and then on a host as slow as this.
FETCH = "until timeout 60 busybox wget -q -O {0} {1}; do sleep 1; done"


def test_circle(ebb, boot, tmp_path, route, dns, package):
    """From a qcow2 image, as a cloud has them, it fetches a program's source by a name, compiles it, runs it, gives back what that
    used, and powers off."""
    disk = tmp_path / "disk.img"
    subprocess.run(["dd", f"if={DISK}", f"of={disk}", "bs=1M", "conv=sparse", "status=none"], check=True, timeout=LONG)
    port, digest = package
    ssh = Ssh(tmp_path, free_port())
    add_units(disk, tmp_path)
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", image], check=True, timeout=LIMIT)
    started = boot(image.name, "-n", f"user,hostfwd=tcp:127.0.0.1:{ssh.port}-:22", f"--ssh={ssh.key}.pub", "--name", "debian",
                   params="systemd.wants=vsock-ssh.socket")
    wait_until(ssh.answers, "the guest's SSH server answers", LONG)

    # At the first try.
    job = ssh.job(
        f"cat /proc/1/comm; uname -v; {REPORTING}; ip -o addr show dev eth0; "
        f"getent ahostsv4 {NAME} | head -n 1; getent ahostsv6 {NAME} | head -n 1; "
        f"{FETCH.format('six', f'http://[{GATEWAY6}]:{port}/six')}; cat six; "
        f"{FETCH.format('package.tar', f'http://{NAME}:{port}/package.tar')}; sha256sum <package.tar; "
        "tar -xf package.tar && cd package && tcc -D_GNU_SOURCE -o hold hold.c && echo compiled"
    )
    assert job[0] == "systemd" and "Debian" in job[1] and job[2] == "1", job
    addresses = " ".join(job[3:-5])
    assert f" {HOST}/24 " in addresses and " fd09::" in addresses, job
    assert [line.split()[0] for line in job[-5:-3]] == [GATEWAY, GATEWAY6], job
    assert job[-3:] == ["by IPv6", f"{digest}  -", "compiled"], job

    # Without the network: what it reads, what it says, its status. And the control, without the key.
    inside = ebb_ssh("debian", "-i", ssh.key)
    data = os.urandom(2 * lib.MIB)
    done = subprocess.run([*inside, "sha256sum; exit 7"], input=data, env=ebb.env, capture_output=True, timeout=LONG, check=False)
    assert (done.returncode, done.stderr) == (7, b"") and done.stdout.decode() == f"{hashlib.sha256(data).hexdigest()}  -\n", done
    done = subprocess.run(ebb_ssh("debian", "-o", "IdentityFile=none", "-o", "IdentityAgent=none"), env=ebb.env, capture_output=True, timeout=LONG,
                          check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 255 and b"Permission denied" in done.stderr, done

    before = held(started)
    job = lib.Guest([*inside, f"package/hold {TAKE} --wait; read line; systemctl --no-block poweroff"], env=ebb.env)
    job.wait_for("^hold: taken", LONG)
    taken = held(started)
    assert taken - before > 0.9 * TAKE
    job.send("\n")
    job.wait_for("^hold: freed", LONG)
    wait_until(lambda: held(started) < taken - 0.75 * TAKE, "what the program used comes back", LONG)
    job.send("\n")
    ebb.ended(started, 0, LONG)
    wait_until(lambda: not passts(), "passt ends with its guest")
    job.wait(LIMIT)

    # The control, as a raw disk: with the program that was compiled on it, without reporting.
    subprocess.run(["qemu-img", "commit", "-q", image], check=True, timeout=LONG)
    started = boot(disk.name, "--free-page-reporting=off", "-n", "none", params="init=/bin/bash -- --noediting")
    started.wait_for("no job control in this shell", LONG)
    started.send(f"modprobe virtio_balloon; echo reporting $({REPORTING}); /root/package/hold {TAKE} --wait\n")
    started.wait_for("reporting 0$", LONG)
    started.wait_for("^hold: taken", LONG)
    taken = started.rss()
    assert taken > TAKE
    # Three times as long as the kernel takes to report.
    started.send('\nsleep 6; echo sle""pt\n')
    started.wait_for("slept$", LONG)
    assert started.rss() > taken - 0.1 * TAKE


# Who listens on vsock's port 22: ebb's own unit before systemd 256, and from then on its generator's.
LISTENS = {"bookworm": "ebb-ssh.socket", "trixie": "sshd-vsock.socket"}


@pytest.fixture(params=LISTENS)
def image(ebb, tmp_path, request):
    """What `ebb setup` made, as this user's default image: (its folder, what it says of itself)."""
    made = os.path.join(lib.BUILD, "guest", "kernels", f"image-x86_64-{request.param}", "ebb", "default")
    if not os.path.isdir(made):
        pytest.skip(f"no {made}: 'guest/distribution image {request.param}' makes it")
    folder = tmp_path / "ebb" / "default"
    folder.mkdir(parents=True)
    for name in ("disk.img", "image.json"):
        subprocess.run(["dd", f"if={made}/{name}", f"of={folder}/{name}", "bs=1M", "conv=sparse", "status=none"], check=True, timeout=LONG)
    ebb.env["XDG_DATA_HOME"] = str(tmp_path)
    return folder, json.loads((folder / "image.json").read_text())


def test_image(ebb, tmp_path, request, route, image):
    """`ebb run` boots it without another word; `ebb ssh` needs nothing from it but its systemd; it has a network."""
    folder, about = image
    suite, key = about["suite"], tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=LIMIT)
    started = lib.Guest([lib.EBB, "run", f"--ssh={key}.pub", "--name", "debian", "-p", SLOW], env=ebb.env)
    ebb.guests.append(started)
    request.addfinalizer(lambda: print(started.console(), started.stderr(), sep="\n"))

    def run(*argv):
        return subprocess.run(argv, env=ebb.env, capture_output=True, text=True, timeout=LONG, check=False, stdin=subprocess.DEVNULL)

    wait_until(lambda: started.process.poll() is not None or run(lib.EBB, "stat").returncode == 0, "the guest runs", LONG)
    inside = ebb_ssh("debian", "-i", key, limit=LONG)
    job = run(*inside, f"uname -r; . /etc/os-release; echo $VERSION_CODENAME; systemctl is-active {LISTENS[suite]}; "
              f"findmnt -n -o SOURCE,FSTYPE /; {REPORTING}; until ip -4 -o addr show dev eth0 | grep -o 'inet [^ ]*'; do sleep 1; done; "
              "systemctl --failed --no-legend --plain")
    assert (job.returncode, job.stderr) == (0, ""), job
    assert job.stdout.splitlines() == [about["kernel"], suite, "active", "/dev/vda ext4", "1", f"inet {HOST}/24"], job
    # The control: without the key.
    job = run(*ebb_ssh("debian", "-o", "IdentityFile=none", "-o", "IdentityAgent=none"))
    assert job.returncode == 255 and "Permission denied" in job.stderr, job

    assert f'the image "default" of Debian\'s {suite}, made with Linux {about["kernel"]}' in started.stderr()
    # What is in use cannot be removed, and then it can.
    job = run(lib.EBB, "images", "--remove", "default")
    assert job.returncode == 2 and 'a guest uses the image "default"' in job.stderr and (folder / "disk.img").exists(), job
    assert run(*inside, "systemctl --no-block poweroff").returncode == 0
    ebb.ended(started, 0, LONG)
    assert run(lib.EBB, "images", "--remove", "default").returncode == 0 and not folder.exists()
