# SPDX-License-Identifier: Apache-2.0
"""What is out of reach while a guest runs: of ebb, what its parent left open; of others of its user, the guest's RAM.

Each with its control: the same with --sandbox=off, in which it is within reach.
"""

import ctypes
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading

import pytest
from payload import EBB, PAYLOADS, TIMEOUT, lib

NAME = f"sandbox-{os.getpid()}"
OFF = "--sandbox=off"
MODES = [(), (OFF,)]
# The same user without its privileges. Root's are left out: with them it may look into every process.
NO_ROOT = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all") if os.geteuid() == 0 else ()


def running(run, *options, **popen):
    """A guest that waits, on a vCPU that runs."""
    payload = run("stopped", "--name", NAME, *options, test="told", **popen)
    payload.paused("ready")
    return payload


def descriptors(payload):
    try:
        return lib.opened(payload.pid)
    except PermissionError:
        pytest.skip("only root may look at the descriptors of a process that is not dumpable")


def without_proc():
    """The words to start ebb by in a mount namespace in which /proc is empty."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a mount namespace without /proc")
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


@pytest.mark.parametrize("hidden", [False, True], ids=["proc", "no-proc"])
@pytest.mark.parametrize("options", MODES)
def test_inherited_descriptors(run, options, hidden):
    """Two that the parent left open, one of them far up."""
    reader, writer = os.pipe()
    far = os.dup2(reader, 900, inheritable=True)
    payload = running(run, *options, pass_fds=(writer, far), wrapper=without_proc() if hidden else ())
    there = descriptors(payload)
    os.close(writer)
    os.close(far)
    os.close(reader)
    inherited = {writer, far} & set(there)
    assert inherited == ({writer, far} if options else set()), there
    # Of the machine only: a new machine needs /dev/kvm.
    assert "/dev/kvm" not in there.values(), there
    assert "anon_inode:kvm-vm" in there.values(), there


PRESENT = 1 << 63
FRAME = (1 << 55) - 1
PIDFD_GETFD = 438


def stack_entry(pid, fd):
    """What a pagemap, open as fd, says of the top page of the process's stack that is in memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        start, end = next([int(part, 16) for part in line.split()[0].split("-")] for line in maps if "[stack]" in line)
    size = os.sysconf("SC_PAGE_SIZE")
    data = os.pread(fd, (end - start) // size * 8, start // size * 8)
    return next(entry for entry in reversed(struct.unpack(f"{len(data) // 8}Q", data)) if entry & PRESENT)


def test_frame_numbers(run):
    """The pagemap that root's ebb keeps open does not tell where in the host's memory a page is; one that is opened with all
    of root's capabilities does."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a pagemap with frame numbers")
    payload = running(run)
    with open(f"/proc/{payload.pid}/pagemap", "rb", buffering=0) as file:
        told = stack_entry(payload.pid, file.fileno()) & FRAME
    if not told:
        pytest.skip("this host shows frame numbers to nobody here: root has no CAP_SYS_ADMIN of the first namespace")
    kept = next(fd for fd, name in descriptors(payload).items() if name.endswith("/pagemap"))
    # Of the same open file: the kernel asks what ebb was capable of when it opened it.
    pidfd = os.pidfd_open(payload.pid)
    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, kept, 0)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    entry = stack_entry(payload.pid, copy)
    os.close(copy)
    os.close(pidfd)
    assert entry & PRESENT and entry & FRAME == 0, hex(entry)


def test_kernel_by_descriptor(run):
    """A kernel from a descriptor's name, as a shell gives it for <(…), is read before the descriptor is closed."""
    with open(os.path.join(PAYLOADS, "exits.elf"), "rb") as file:
        done = subprocess.run([EBB, "run", "-k", f"/dev/fd/{file.fileno()}", "--no-balloon", "-n", "none", "-p",
                               "acpi=off test=ports"],
                              pass_fds=(file.fileno(),), capture_output=True, timeout=TIMEOUT, check=False,
                              stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and b"ok ports" in done.stdout, done


def ram_address(payload):
    """Where the guest's RAM is; of a process that cannot be looked at, anywhere."""
    try:
        with open(f"/proc/{payload.pid}/maps", encoding="ascii") as maps:
            sizes = {}
            for line in maps:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                if "rw-" in line:
                    sizes[end - start] = start
            return sizes[max(sizes)]
    except PermissionError:
        return 1 << 40


ATTACK = """
import ctypes, os, sys
pid, address = int(sys.argv[1]), int(sys.argv[2])
class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
libc = ctypes.CDLL(None, use_errno=True)
page = ctypes.create_string_buffer(4096)
mine, theirs = iovec(ctypes.addressof(page), 4096), iovec(address, 4096)
call = libc.process_vm_readv
call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
call.restype = ctypes.c_ssize_t
got = call(pid, ctypes.addressof(mine), 1, ctypes.addressof(theirs), 1, 0)
print("process_vm_readv", got == 4096 or os.strerror(ctypes.get_errno()))
try:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        print("mem", len(memory.read(4096)) == 4096)
except OSError as error:
    print("mem", error.strerror)
PTRACE_SEIZE = 0x4206
print("ptrace", libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0 or os.strerror(ctypes.get_errno()))
"""


@pytest.mark.parametrize("options", MODES)
def test_guests_ram(run, options):
    """Another process of the same user cannot read it, nor trace ebb."""
    payload = running(run, *options, wrapper=NO_ROOT)
    done = subprocess.run([*NO_ROOT, sys.executable, "-c", ATTACK, str(payload.pid), str(ram_address(payload))],
                          capture_output=True, text=True, timeout=TIMEOUT, check=True)
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(found) == {"process_vm_readv", "mem", "ptrace"}, done
    if options and "Operation not permitted" in found.values():
        pytest.skip(f"this host lets no process of the same user look into another (yama): {found}")
    want = {"process_vm_readv": "Operation not permitted", "mem": "Permission denied", "ptrace": "Operation not permitted"}
    assert found == (dict.fromkeys(want, "True") if options else want)


@pytest.mark.parametrize("options", MODES)
def test_cores(run, options, tmp_path):
    """With a limit that allows cores: none at all; without the sandbox one that has not the guest's RAM in it."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        pattern = file.read().strip()
    if "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"this host puts cores elsewhere: {pattern}")
    payload = running(run, *options, memory="256M", wrapper=("prlimit", "--core=unlimited"), cwd=tmp_path)
    payload.process.send_signal(11)
    payload.wait(TIMEOUT)
    cores = list(tmp_path.glob(f"{pattern.split('%')[0]}*"))
    assert len(cores) == (1 if options else 0)
    for core in cores:
        assert core.stat().st_blocks * 512 < 64 << 20 and core.stat().st_size < 128 << 20


@pytest.mark.parametrize("errors", ["pipe", "file"])
@pytest.mark.parametrize("options", MODES)
def test_limits(run, options, errors, tmp_path):
    """As many descriptors as programs usually have, and no file longer than the longest that is open for writing, which an
    initrd from a pipe is not: or than any is, where the guest may make standard error longer."""
    disk, base = tmp_path / "disk", tmp_path / "base"
    disk.write_bytes(bytes(3 << 20))
    base.write_bytes(bytes(5 << 20))
    os.mkfifo(tmp_path / "initrd")
    writer = threading.Thread(target=(tmp_path / "initrd").write_bytes, args=(bytes(4 << 20),), daemon=True)
    writer.start()
    with open(tmp_path / "errors", "wb") as file:
        popen = {"stderr": file} if errors == "file" else {}
        payload = running(run, *options, "-d", str(disk), "-d", f"{base},ro", "-i", str(tmp_path / "initrd"), wrapper=["prlimit", "--nofile=2000"], **popen)
    with open(f"/proc/{payload.pid}/limits", encoding="ascii") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    with open("/proc/self/limits", encoding="ascii") as file:
        own = {line[:26].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max open files"] == (["2000"] * 2 if options else ["1024"] * 2), limits
    assert limits["Max file size"] == (own["Max file size"] if options or errors == "file" else [str(3 << 20)] * 2), limits
    assert options or limits["Max core file size"] == ["0", "0"], limits


def namespaces_of(pid):
    """Of a process of another user, root alone may see them."""
    kinds = ("user", "mnt", "net", "ipc", "uts")
    try:
        return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
    except PermissionError:
        pytest.skip("only root may look at the namespaces of a process that is not dumpable")


@pytest.mark.parametrize("options", MODES)
def test_namespaces(run, options):
    if not lib.namespaces():
        pytest.skip("this host permits no namespaces")
    payload = running(run, *options)
    own, its = namespaces_of("self"), namespaces_of(payload.pid)
    assert [kind for kind in own if own[kind] == its[kind]] == ([*own] if options else []), its
    # The process that made them has ended.
    with open(f"/proc/{payload.pid}/task/{payload.pid}/children", encoding="ascii") as children:
        assert children.read() == ""
    if not options:
        assert os.listdir(f"/proc/{payload.pid}/root") == ["names"]
        assert os.statvfs(f"/proc/{payload.pid}/root").f_flag & os.ST_RDONLY
    payload.kill()


# How ebb is started, and the words of "ebb list" and of its JSON.
STATES = {"all": ((), (), "running ", "on"), "off": ((OFF,), (), "running, no sandbox", "off"),
          "less": ((), lib.NO_NAMESPACES, "running, no namespaces", "no namespaces")}


@pytest.mark.parametrize("state", STATES)
def test_list_says(run, state):
    if state == "all" and not lib.namespaces():
        pytest.skip("this host permits no namespaces")
    options, wrapper, words, word = STATES[state]
    payload = running(run, *options, wrapper=wrapper)
    if state == "less":
        payload.wait_for_error("no namespaces", TIMEOUT)
    own = lib.own_words(payload.stderr())
    assert bool(re.fullmatch(r"ebb: warning: .* no namespaces .* 'ebb doctor' .*", own)) == (state == "less" and lib.namespaces()), own

    def listed(*words):
        """Its status tells of others' guests, too: one may begin or end just now."""
        return subprocess.run([EBB, "list", *words], capture_output=True, text=True, timeout=TIMEOUT, check=False).stdout

    row = next(row for row in json.loads(listed("--json")) if row["name"] == NAME)
    assert row["sandbox"] == word
    line = next(line for line in listed().splitlines() if NAME in line)
    assert words in line, line


@pytest.mark.parametrize("wrapper", [(), lib.NO_NAMESPACES], ids=["all", "less"])
def test_required(wrapper, tmp_path):
    """Where the host permits no namespaces, ebb does not start; where it does, it does."""
    done = subprocess.run([*wrapper, EBB, "run", "--sandbox=require", "-k", os.path.join(PAYLOADS, "exits.elf"), "-n", "none",
                           "--no-balloon", "-p", "acpi=off test=ports"], env=os.environ | {"EBB_RUNTIME_DIR": str(tmp_path / "names")},
                          capture_output=True, text=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL)
    assert os.listdir(tmp_path / "names") == []
    if wrapper or not lib.namespaces():
        assert done.returncode == 2 and re.fullmatch(r"ebb: .* namespaces: .*\n", done.stderr), done
    else:
        assert done.returncode == 0 and done.stderr == "" and "ok ports" in done.stdout, done


# A user of the host, and another one: without any privilege, but with a /dev/kvm that they may open.
USER, OTHER = 12345, 12346
AS = """
mount -t tmpfs -o mode=755 none /mnt && mknod -m 666 /mnt/kvm c 10 232 && mount --bind /mnt/kvm /dev/kvm || exit 77
uid=$1; shift
exec setpriv --reuid=$uid --regid=$uid --clear-groups "$@"
"""
GREETED = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
try:
    client.connect(sys.argv[1])
    print(b"QMP" in client.recv(4096))
except PermissionError:
    print("denied")
"""


@pytest.mark.parametrize("options", MODES)
def test_clients(run, options):
    """The user and root are served, by a user's ebb too, in whose namespace root has no number; no other user is."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a guest of another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, USER, USER)
        names = os.path.join(folder, "names")
        payload = running(run, *options, wrapper=["unshare", "-m", "sh", "-c", AS, "sh", str(USER)],
                          env=os.environ | {"EBB_RUNTIME_DIR": names})
        path = os.path.join(names, f"{NAME}.sock")

        def greeted(uid):
            user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
            done = subprocess.run([*user, sys.executable, "-c", GREETED, path], capture_output=True, text=True, timeout=TIMEOUT,
                                  check=True)
            return done.stdout.strip()

        assert [greeted(uid) for uid in (USER, 0, OTHER)] == ["True", "True", "denied"]
        # Opened by mistake: then ebb cannot tell root from others, and serves neither.
        for at in (folder, names, path):
            os.chmod(at, 0o777)
        root = "True" if options or not lib.namespaces() else "False"
        assert [greeted(uid) for uid in (USER, 0, OTHER)] == ["True", root, "False"]
        payload.kill()
