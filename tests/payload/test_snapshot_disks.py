# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot of a guest with disks: kept as they are, which are not in the snapshot, or copied beside it."""

import ctypes
import glob
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest
from payload import EBB, TIMEOUT, wait_until
from test_increment import merge
from test_snapshot import MIB, OPTIONS, PATIENT, limit_file, refusal, snapshot, step, waits
from test_stopped import all_stopped

CACHESTAT = 451


def unwritten(path):
    """How many pages of it only the host's memory has."""
    whole = (ctypes.c_uint64 * 2)(0, 0)
    found = (ctypes.c_uint64 * 5)()
    with open(path, "rb") as file:
        if ctypes.CDLL(None, use_errno=True).syscall(CACHESTAT, file.fileno(), whole, found, 0):
            pytest.skip(f"needs a kernel with cachestat(): {os.strerror(ctypes.get_errno())}")
    return found[1] + found[2]


def test_they_are_flushed(run, tmp_path):
    """And named, since they must not change. A disk that is read-only is the control."""
    disks = [tmp_path / "disk, with a comma", tmp_path / "shared"]
    for disk in disks:
        disk.write_bytes(bytes(MIB))
    name = f"disks-{os.getpid()}"
    payload = run("saved", *OPTIONS, "-d", str(disks[0]).replace(",", ",,"), "-d", f"{disks[1]},ro", "--name", name, test="one-cpu")
    step(payload)
    # The host may happen to write by itself.
    for _ in range(10):
        for disk in disks:
            with open(disk, "r+b") as file:
                file.write(os.urandom(MIB))
        if not unwritten(disks[0]):
            pytest.skip("needs a file system that writes later")
        said = snapshot(name, tmp_path / "there").splitlines()
        assert said[1:] == [f"{name}: until it is restored, its disks must not change: '{disks[0]}'"]
        assert not unwritten(disks[0])
        if unwritten(disks[1]):
            break
    else:
        pytest.fail("the other one is flushed, too")
    payload.kill()
    # Nothing is said of one that has none.
    payload = run("saved", *OPTIONS, "-d", f"{disks[1]},ro", "--name", name, test="one-cpu")
    step(payload)
    assert len(snapshot(name, tmp_path / "there").splitlines()) == 1


COPY = ("--disks", "copy")
DISK = re.compile("disk[0-9]+-[0-9a-f]{32}")


class Fixture:
    """A guest with a disk that it can write to, in the middle of three; the others are read-only."""

    def __init__(self, run, tmp_path):
        self.name, self.tmp = f"disks-{os.getpid()}", tmp_path
        self.disk = tmp_path / "disk"
        self.others = [tmp_path / "first", tmp_path / "last"]
        for other in self.others:
            other.write_bytes(bytes(MIB))
        with open(self.disk, "wb") as file:
            file.truncate(64 * MIB)
            file.write(b"before")
            file.seek(33 * MIB)
            file.write(b"beyond a hole")
        first, last = ([f"-d{other},ro"] for other in self.others)
        self.options = [*OPTIONS, *first, *last]
        self.payload = run("saved", *OPTIONS, *first, f"-d{self.disk}", *last, "--name", self.name, test="one-cpu", params=PATIENT)
        step(self.payload)

    def change(self):
        with open(self.disk, "r+b") as file:
            file.write(b"after!")


@pytest.fixture
def guest(run, tmp_path):
    return Fixture(run, tmp_path)


def images(folder):
    return sorted(name for name in os.listdir(folder) if DISK.fullmatch(name))


def disks_of(pid, start):
    """What the disks of a guest's ebb hold that begin so, by the files that it has open: {the file's name: its bytes}."""
    found = {}
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            where = os.readlink(fd)
            if not where.startswith("/") or os.stat(fd).st_size != 64 * MIB or not os.path.isfile(fd):
                continue
        except OSError:
            continue
        with open(fd, "rb") as file:
            data = file.read()
        if data.startswith(start):
            found[where] = data
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: needs root, to see what another process has open")
def test_a_copy_stays_as_it_was(guest, restore):
    """What the disk held when the guest was saved, though it changed since; each clone for itself, though another wrote to it.
    The control: one that was kept has the change."""
    there = guest.tmp / "there"
    said = snapshot(guest.name, there, options=COPY).splitlines()
    assert len(said) == 2 and re.match(f"{guest.name}: saved 1 of its disks in {there}, too: (they share their blocks|copied )", said[1]), said
    assert len(images(there)) == 1 and images(there)[0].startswith("disk1-")
    image = there / images(there)[0]
    assert image.read_bytes() == guest.disk.read_bytes()
    # Holes stay holes.
    assert os.stat(image).st_blocks * 512 < MIB
    snapshot(guest.name, guest.tmp / "kept")
    assert not images(guest.tmp / "kept")
    guest.change()
    guest.payload.kill()
    ones = [restore(there, *guest.options, way=way) for way in ("--restore", "--restore-all")]
    for one in ones:
        one.steps(2)
        one.wait_for_error("a private copy of each", TIMEOUT)
        (where, data), = disks_of(one.pid, b"before").items()
        assert "(deleted)" in where and data == image.read_bytes() and not disks_of(one.pid, b"after!")
        # As the guest would: neither the saved one nor the other clone has that.
        fd = next(fd for fd in glob.glob(f"/proc/{one.pid}/fd/*") if os.readlink(fd) == where)
        with open(fd, "r+b") as file:
            file.write(b"clone!")
    assert image.read_bytes().startswith(b"before")
    options = [*OPTIONS, guest.options[-2], f"-d{guest.disk}", guest.options[-1]]
    one = restore(guest.tmp / "kept", *options)
    one.steps(2)
    assert disks_of(one.pid, b"after!") and not disks_of(one.pid, b"before")
    # The disk that is there is not given again.
    assert "has 1 of its guest's disks (3) itself: give -d for the others alone" in refusal(restore, there, *options)
    # One of a stranger's is not taken.
    os.chown(image, 65534, -1)
    assert "Operation not permitted" in refusal(restore, there, *guest.options)


def test_an_image_is_of_its_snapshot_alone(guest, restore):
    """A new snapshot has new ones, and removes what was there; a merged one has them, too."""
    there = guest.tmp / "there"
    snapshot(guest.name, there, options=COPY)
    first = images(there)
    guest.change()
    step(guest.payload)
    snapshot(guest.name, there, options=COPY)
    assert len(images(there)) == 1 and images(there) != first
    clone = restore(there, *guest.options, "--name", f"{guest.name}-1")
    clone.steps(2)
    part = guest.tmp / "part"
    snapshot(f"{guest.name}-1", part, options=["--base", str(there), *COPY])
    merge(part, guest.tmp / "out")
    assert len(images(guest.tmp / "out")) == 1 and images(guest.tmp / "out") != images(part)
    for folder in part, guest.tmp / "out":
        assert (folder / images(folder)[0]).read_bytes() == guest.disk.read_bytes()
        assert restore(folder, *guest.options).steps(2)
    merge(part, part)
    assert images(part) == images(guest.tmp / "out") and restore(part, *guest.options).steps(2)
    snapshot(guest.name, there)
    assert not images(there)


def test_a_private_copy_is_not_kept(guest, restore):
    """It is gone when the guest ends: a snapshot without it is refused, and the folder stays as it was. The controls: with it, and
    of the first guest, whose disk has a name."""
    there, other = guest.tmp / "there", guest.tmp / "other"
    snapshot(guest.name, there, options=COPY)
    clone = restore(there, *guest.options, "--name", f"{guest.name}-1")
    clone.steps(2)
    good = sorted(os.listdir(there))
    for folder in there, other:
        said = snapshot(f"{guest.name}-1", folder, 1)
        assert "is not saved: its disk 1 is a private copy, or was removed, and goes with it: " in said and said.count("\n") == 1, said
    assert sorted(os.listdir(there)) == good and not other.exists()
    snapshot(f"{guest.name}-1", there, options=COPY)
    assert clone.steps(2) and restore(there, *guest.options).steps(2)
    snapshot(guest.name, other)


def test_the_last_good_one_stays(guest, restore):
    """A full disk, or killed while it copies: the folder has the snapshot that it had, with its disk, and the guest goes on."""
    there = guest.tmp / "there"
    snapshot(guest.name, there, options=COPY)
    good = {path.name: path.read_bytes() for path in there.iterdir()}
    guest.change()

    def kept():
        return {path.name: path.read_bytes() for path in there.iterdir()} == good
    # Room for the memory, not for the disk.
    assert "File too large" in snapshot(guest.name, there, 1, options=COPY, preexec_fn=limit_file(32 * MIB))
    assert kept()
    assert step(guest.payload) < step(guest.payload)
    # The control, which has the change, and a moment to be killed in: the client waits for the guest's ebb.
    os.kill(guest.payload.pid, signal.SIGSTOP)
    with subprocess.Popen([EBB, "snapshot", "-n", guest.name, *COPY, str(there)], stdout=subprocess.DEVNULL) as client:
        wait_until(lambda: waits(client.pid), "the client does not wait")
        client.kill()
    os.kill(guest.payload.pid, signal.SIGCONT)
    assert kept()
    assert restore(there, *guest.options).steps(2)
    snapshot(guest.name, there, options=COPY)
    assert not kept() and (there / images(there)[0]).read_bytes().startswith(b"after!")


def stopped_while_it_copies(guest, folder):
    """A client that was stopped before it has copied half of the disk."""
    client = subprocess.Popen([EBB, "snapshot", "-n", guest.name, *COPY, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def copied():
        for fd in glob.glob(f"/proc/{client.pid}/fd/*"):
            try:
                st = os.stat(fd)
            except OSError:
                continue
            if st.st_size == 64 * MIB and not st.st_nlink and st.st_blocks:
                return st.st_blocks * 512
        return 0
    while not copied() and client.poll() is None:
        pass
    client.send_signal(signal.SIGSTOP)
    wait_until(lambda: client.poll() is not None or all_stopped(client), "it runs")
    if 0 < copied() < 16 * MIB:
        return client
    client.kill()
    client.communicate()
    return None


@pytest.mark.parametrize("ends", [True, False])
def test_its_ebb_ends_while_it_is_copied(guest, ends):
    """No more is copied. The control, of which it does not end, gets as far as a limit behind that."""
    # Each block by itself, which takes a while.
    with open(guest.disk, "r+b") as file:
        for at in range(0, 64 * MIB, 8192):
            os.pwrite(file.fileno(), os.urandom(4096), at)
    client = next(filter(None, (stopped_while_it_copies(guest, guest.tmp / "there") for _ in range(20))), None)
    if not client:
        pytest.skip("needs a file system that shares no blocks, and has files without a name")
    resource.prlimit(client.pid, resource.RLIMIT_FSIZE, (48 * MIB, 48 * MIB))
    if ends:
        guest.payload.kill()
    client.send_signal(signal.SIGCONT)
    said = client.communicate(timeout=TIMEOUT)[1]
    assert client.returncode == 1 and ("File too large" in said) != ends and said.count("\n") == 1, said


def test_clones_have_it_by_themselves(guest):
    """What is in the folder is not given after --; the control: what is not there is missed."""
    there = guest.tmp / "there"
    snapshot(guest.name, there, options=COPY)
    guest.payload.kill()
    clone = [EBB, "clone", "--from", str(there), "--name-pattern", f"{guest.name}-%", "--"]
    given = [word for word in guest.options if word.startswith("-d")]
    done = subprocess.run([*clone, *given[1:]], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "the guest's disks (2) are in no snapshot" in done.stderr, done
    try:
        done = subprocess.run([*clone, *given], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0 and done.stdout == f"{guest.name}-1\n", done
        # It has it: the folder may go.
        shutil.rmtree(there)
        shown = subprocess.run([EBB, "stat", "-n", f"{guest.name}-1"], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
        assert f"{there}/disk1-" in shown, shown
    finally:
        subprocess.run([EBB, "stop", "--force", "-n", f"{guest.name}-1"], capture_output=True, timeout=TIMEOUT, check=False)
