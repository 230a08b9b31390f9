# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot and ebb run --restore, with a guest that checks itself (saved.c)."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import snapshots
from test_sandbox import AS, USER
from payload import EBB, NO_NETWORK, REPORTING, TIMEOUT, FullPipe, lib, wait_until

OPTIONS = (REPORTING, "--rng")
# Ticks that the guest waits. Where KVM gives guests the host's own TSC, the time since it was saved counts, too.
PATIENT = "limit=100000000000000"
WAYS = ("--restore", "--restore-all")
MIB = lib.MIB


class Restored(lib.Guest):
    """A guest that goes on from a snapshot."""

    def __init__(self, folder, *options, memory="64M", way="--restore", **popen):
        super().__init__([EBB, "run", way, str(folder), "-m", memory, *NO_NETWORK, *options], **popen)

    def steps(self, count):
        """The numbers of the next full lines, of which the first may have begun before the snapshot."""
        at, seen = 0, []
        while len(seen) < count:
            at, match = self.wait_for(r"^step (\d+)$|^FAIL ", TIMEOUT, at)
            assert match.group(1), self.console()
            seen.append(int(match.group(1)))
            at += 1
        return seen


def step(payload):
    return int(payload.expect(r"^step (\d+)$").group(1))


def snapshot(name, folder, expected=0, wrapper=(), options=(), **kwargs):
    done = subprocess.run([*wrapper, EBB, "snapshot", "-n", name, *options, str(folder)], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          **kwargs)
    assert done.returncode == expected, done.stderr
    return done.stderr if expected else done.stdout


def refusal(restore, folder, *options, **kwargs):
    """What a restore that must fail says: one line."""
    guest = restore(folder, *options, **kwargs)
    assert guest.wait(TIMEOUT) == 2, guest.console()
    lines = lib.own_words(guest.stderr()).splitlines()
    assert len(lines) == 1 and not guest.lines, lines
    return lines[0]


@pytest.mark.parametrize("backing", ["anon", "memfd"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_it_goes_on(run, restore, tmp_path, cpus, backing):
    """The saved guest goes on; two restored ones, at once, from the same moment, both with all they had."""
    options = (*OPTIONS, "-c", str(cpus), *(["--mem-backing", "memfd"] if backing == "memfd" else []))
    name = f"saved-{os.getpid()}"
    payload = run("saved", *options, "--name", name, test="one-cpu" if cpus == 1 else "two-cpus")
    for _ in range(3):
        first = step(payload)
    snapshot(name, tmp_path / "there")
    after = step(payload)
    assert step(payload) > after
    ones = [restore(tmp_path / "there", *options, "--name", f"{name}-{number}", way=way) for number, way in enumerate(WAYS)]
    steps = [one.steps(4) for one in ones]
    assert steps[0] == steps[1]
    # One that was restored is saved: also what it has not touched since.
    snapshot(f"{name}-0", tmp_path / "there")
    ones.append(restore(tmp_path / "there", *options))
    assert ones[2].steps(2)[0] >= steps[0][3]
    # It may have been saved in the middle of a line. The last that it said came later.
    payload.process.terminate()
    assert payload.wait(TIMEOUT) == 0
    last = max(int(number) for number in re.findall(r"step (\d+)", payload.console()))
    assert first <= steps[0][0] <= last and steps[0] == list(range(steps[0][0], steps[0][0] + 4))
    # What was reported is not in it: a block of 2 MiB, while 6 are filled. (The control: 64 are there.)
    size = os.stat(tmp_path / "there" / "snapshot").st_blocks * 512
    assert 4 << 20 < size < 6 << 20, size
    for one in ones:
        one.process.terminate()
        assert one.wait(TIMEOUT) == 0
        assert not lib.own_words(one.stderr()), one.stderr()


@pytest.mark.parametrize("options, memory, words", [
    ((*OPTIONS, "-c", "2"), "64M", "1 CPUs: run it with -c 1"),
    (OPTIONS, "128M", "64 MiB of memory: run it with -m 64M"),
    ((REPORTING,), "64M", "other devices"),
    ((*OPTIONS, "--vsock"), "64M", "other devices"),
    ((*OPTIONS, "--pmem"), "64M", '"pmem 0" cannot be restored yet'),
    (("--free-page-reporting=off", "--rng"), "64M", "features that this one does not have"),
], ids=["cpus", "memory", "fewer", "more", "unsaved", "features"])
def test_another_machine_is_refused(restore, saved, options, memory, words, tmp_path):
    if "--pmem" in options:
        with open(tmp_path / "--pmem", "wb") as file:
            file.truncate(2 * MIB)
    options = [f"{option}={tmp_path}/{option}" if option in ("--vsock", "--pmem") else option for option in options]
    assert words in refusal(restore, saved, *options, memory=memory)


@pytest.mark.parametrize("way", WAYS)
def test_damage_is_refused(restore, saved, tmp_path, way):
    """Cut short, a bit flipped, something else, nothing: words, and nothing else."""
    whole = (saved / "snapshot").read_bytes()
    there = tmp_path / "snapshot"
    for length in 0, 31, 40, len(whole) // 2, len(whole) - 1:
        there.write_bytes(whole[:length])
        assert "it is cut short" in refusal(restore, tmp_path, *OPTIONS, way=way)
    # Memory that is mapped is not read, and not checked.
    pages = [4096 + 100, len(whole) // 2] if way == "--restore-all" else []
    for at in 9, 33, 70, *pages, len(whole) - 200, len(whole) - 1:
        there.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
        assert re.search("damaged|is missing|has another|cut short|missing in it", refusal(restore, tmp_path, *OPTIONS, way=way)), at
    there.write_bytes(whole + b"x")
    assert "goes on after its end" in refusal(restore, tmp_path, *OPTIONS, way=way)
    there.write_bytes(b"x" * 5000)
    assert "no snapshot of ebb" in refusal(restore, tmp_path, *OPTIONS)
    there.unlink()
    assert "there is no snapshot" in refusal(restore, tmp_path, *OPTIONS)
    os.mkfifo(there)
    assert "no plain file" in refusal(restore, tmp_path, *OPTIONS)
    # The control: unchanged, it goes on.
    assert restore(saved, *OPTIONS).steps(2)


def smaps(pid, name):
    """Bytes of all its mappings."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith(f"{name}:"))


def test_clones_share(restore, saved):
    """What they only read is the file's, and theirs together; the control has it for itself alone."""
    ones = [restore(saved, *OPTIONS, way=way) for way in ("--restore", "--restore", "--restore-all")]
    for one in ones:
        one.steps(3)
    own = [smaps(one.pid, "Anonymous") for one in ones]
    assert own[2] - own[0] > 3.5 * MIB and own[2] - own[1] > 3.5 * MIB, own
    held = [smaps(one.pid, "Rss") - smaps(one.pid, "Pss") for one in ones]
    assert held[0] - held[2] > 1.5 * MIB, held


def test_which_way_is_said(restore, saved):
    """A mapping, or a copy, also where memory cannot be a mapping of the file; of one that booted nothing is said."""
    name = f"way-{os.getpid()}"
    for way, options, said in ("--restore", (), "mapping"), ("--restore-all", (), "copy"), ("--restore", ("--mem-backing", "memfd"), "copy"):
        one = restore(saved, *OPTIONS, *options, "--name", name, way=way)
        one.steps(1)
        shown = subprocess.run([EBB, "stat", "--no-refresh", "-n", name], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
        assert re.search(r"restored by +(\w+)", shown)[1] == said, shown
        one.kill()


def test_clones_give_back(run, restore, tmp_path):
    """What the file has, and its copies: it reads as zero, and the host's memory falls, again and again."""
    name = f"tide-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="tide", params=PATIENT)
    folder = tmp_path / "there"
    payload.expect("^full 0$")
    # The guest goes on meanwhile: it is saved at some moment of it.
    for _ in range(20):
        snapshot(name, folder)
        if os.stat(folder / "snapshot").st_blocks * 512 > 20 * MIB:
            break
    else:
        pytest.fail("it was never saved with its memory full")
    payload.kill()
    ones = [restore(folder, *OPTIONS) for _ in range(2)]
    for one in ones:
        for _ in range(2):
            wait_until(lambda one=one: smaps(one.pid, "Anonymous") > 22 * MIB, one.console())
            wait_until(lambda one=one: smaps(one.pid, "Anonymous") < 8 * MIB, one.console())
        assert "FAIL" not in one.console()
        one.process.terminate()
        assert one.wait(TIMEOUT) == 0 and not lib.own_words(one.stderr()), one.stderr()


@pytest.mark.parametrize("way", ["cut", "written", "paused"])
def test_a_snapshot_that_changes(restore, saved, tmp_path, way):
    """The guest ends, in words, also one that does not run. Controls: the file's name goes; and it has read all."""
    shutil.copytree(saved, tmp_path / "there")
    there = tmp_path / "there" / "snapshot"
    name = f"short-{os.getpid()}"
    ones = [restore(tmp_path / "there", *OPTIONS, "--name", name), restore(tmp_path / "there", *OPTIONS, way="--restore-all")]
    for one in ones:
        one.steps(1)
    with open(there, "r+b") as file:
        there.unlink()
        (tmp_path / "there").rmdir()
        ones[0].steps(2)
        if way == "paused":
            subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        if way == "written":
            file.write(b"x")
            file.flush()
        else:
            file.truncate(4096)
    assert ones[0].wait(TIMEOUT) == 1, ones[0].console()
    words = lib.own_words(ones[0].stderr()).splitlines()
    assert len(words) == 1 and "keep a snapshot as it is while guests run from it" in words[0], words
    start = len(ones[1].lines)
    ones[1].wait_for(r"^step \d+$", TIMEOUT, start)


def test_the_size_takes_no_time(restore, saved, large):
    """Mapped, 128 MiB more take less than half as long as they take to be read, which is the control."""
    assert os.stat(large / "snapshot").st_size > 128 * MIB

    def seconds(folder, memory, way):
        """The least of some."""
        found = []
        for _ in range(5):
            start = time.monotonic()
            one = restore(folder, *OPTIONS, memory=memory, way=way)
            one.steps(1)
            found.append(time.monotonic() - start)
            one.kill()
        return min(found)

    mapped, read = (seconds(large, "256M", way) for way in WAYS)
    small = seconds(saved, "64M", "--restore")
    print(f"large: {mapped:.3f} s mapped, {read:.3f} s read; small: {small:.3f} s mapped")
    assert mapped - small < (read - small) / 2, (mapped, read, small)


def record(restore, folder, **kwargs):
    """Keeps what a guest uses that was restored from there. Returns what `ebb snapshot` said of it."""
    name = f"probe-{os.getpid()}"
    probe = restore(folder, *OPTIONS, "--name", name, **kwargs)
    probe.steps(3)
    said = snapshot(name, folder, options=["--working-set"])
    now = len(probe.lines)
    probe.wait_for(r"^step \d+$", TIMEOUT, now)  # it goes on
    probe.kill()
    return said


def test_a_working_set_is_read_ahead(restore, large):
    """What one guest has used, and no more, is in the page cache before another uses it; without the list it is not."""
    there, listed = large / "snapshot", large / "working-set"
    whole = there.read_bytes()
    snapshots.drop(there)
    if snapshots.cached(there, 0, len(whole) // 4096 * 4096):
        pytest.skip("needs a file system whose page cache can be emptied")
    assert re.search(r"has used [\d.]+ [KM]iB, which is read ahead when ", record(restore, large, memory="256M"))
    used = snapshots.runs(listed.read_bytes(), snapshots.WORKING_SET)
    assert 0 < sum(pages for _, pages in used) * 4096 < 16 * MIB, used

    # Memory that it does not use, to see what is read ahead alone.
    start, pages = max(snapshots.runs(whole), key=lambda run: run[1])
    far, size = start + pages * 4096 - 16 * MIB, 4 * MIB
    assert not any(gpa < far + size and far < gpa + count * 4096 for gpa, count in used)

    def read():
        return snapshots.cached(there, snapshots.offset_of(whole, far), size)

    def used_is_read():
        """What is read ahead is asked for before the guest runs: if it were, it would be there by now."""
        gpa, pages = used[0]
        wait_until(lambda: snapshots.cached(there, snapshots.offset_of(whole, gpa), 4096 * pages), "the guest reads nothing")

    def restored():
        snapshots.drop(there)
        one = restore(large, *OPTIONS, memory="256M")
        one.steps(2)
        assert not lib.own_words(one.stderr()), one.stderr()
        return one
    one = restored()
    used_is_read()
    one.kill()
    assert not read()
    listed.write_bytes(snapshots.with_runs(listed.read_bytes(), [(far, 512), (far + 513 * 4096, 511)]))
    one = restored()
    wait_until(lambda: read() >= size - 4096, "it is not read ahead")
    one.kill()
    listed.unlink()
    one = restored()
    used_is_read()
    one.kill()
    assert not read()


def test_a_stream_is_read_as_it_is_sent(restore, large):
    """What a clone has not used, where its pages begin to come: not before, or storage that is slow ends it. At the end it
    is read: the control."""
    there = large / "snapshot"
    size = os.stat(there).st_size // 4096 * 4096
    snapshots.drop(there)
    if snapshots.cached(there, 0, size):
        pytest.skip("needs a file system whose page cache can be emptied")
    name = f"sent-{os.getpid()}"
    one = restore(large, *OPTIONS, "--name", name, memory="256M")
    one.steps(1)
    with subprocess.Popen([EBB, "snapshot", "-n", name, "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.stdout.read(8192)
        assert snapshots.cached(there, 0, size) < size / 2
        while client.stdout.read(MIB):
            pass
    assert client.returncode == 0
    assert snapshots.cached(there, 0, size) > size * 0.9


def test_a_working_set_that_is_none(run, restore, saved, tmp_path):
    """It is advice: a guest with a damaged one, or another's, goes on; a line says what is wrong."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    there = folder / "working-set"
    record(restore, folder)
    whole = there.read_bytes()
    ours = snapshots.runs(whole, snapshots.WORKING_SET)

    def said():
        one = restore(folder, *OPTIONS)
        one.steps(1)
        one.kill()
        return lib.own_words(one.stderr())
    assert said() == ""
    for length in 0, 31, 100, len(whole) - 1:
        there.write_bytes(whole[:length])
        assert "it is cut short" in said()
    for at in range(0, len(whole), len(whole) // 20):
        there.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
        assert re.match("ebb: warning: the guest's memory is not read ahead: .*record it again", said()), at
    for bad in [(1 << 40, 1)], [(0, 1 << 40)], [(ours[0][0], 2 ** 52)], [ours[0], ours[0]], [(4097, 1)]:
        there.write_bytes(snapshots.with_runs(whole, bad))
        assert "where the guest has none" in said()
    there.write_bytes((folder / "snapshot").read_bytes())
    assert "it is no working set" in said()
    there.unlink()
    os.mkfifo(there)
    assert "Invalid argument" in said()
    there.unlink()
    there.write_bytes(whole)
    assert said() == ""
    # Another snapshot takes its place: that it is of another one is noticed, and it is removed.
    name = f"other-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    snapshot(name, folder)
    assert os.listdir(folder) == ["snapshot"]
    there.write_bytes(whole)
    assert "it is of another snapshot" in said()
    # It is removed once the other is there, and not before: here it cannot be.
    (folder / "snapshot").rename(folder / "away")
    (folder / "snapshot").mkdir()
    assert "cannot finish the snapshot in" in snapshot(name, folder, 1)
    assert there.read_bytes() == whole
    (folder / "snapshot").rmdir()
    (folder / "away").rename(folder / "snapshot")
    # Nor is it kept for another: of what the guest was restored from it is, which is the control.
    probe = restore(saved, *OPTIONS, "--name", f"{name}-probe")
    probe.steps(1)
    assert f"was restored from another snapshot than the one in '{folder}'" in snapshot(f"{name}-probe", folder, 1, options=["--working-set"])
    assert there.read_bytes() == whole and sorted(os.listdir(folder)) == ["snapshot", "working-set"]
    copied = tmp_path / "copied"
    shutil.copytree(saved, copied)
    snapshot(f"{name}-probe", copied, options=["--working-set"])
    shutil.rmtree(copied)
    probe.kill()
    # A guest that was not restored has none; nor has a folder without a snapshot.
    assert "not read from a snapshot" in snapshot(name, folder, 1, options=["--working-set"])
    assert there.read_bytes() == whole
    assert "there is no snapshot in" in snapshot(name, tmp_path, 1, options=["--working-set"])
    assert os.listdir(tmp_path) == ["there"]


def test_a_working_set_of_one_that_was_saved(restore, saved, tmp_path):
    """It would be all of the snapshot. Before, it is what it has used: the control."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    name = f"probe-{os.getpid()}"
    one = restore(folder, *OPTIONS, "--name", name)
    one.steps(1)
    snapshot(name, folder, options=["--working-set"])
    snapshot(name, tmp_path / "other")
    assert "it was saved itself" in snapshot(name, folder, 1, options=["--working-set"])


def test_what_has_no_working_set_is_not_stopped(run, tmp_path, monkeypatch):
    """A program that speaks QMP: the guest need not stand still for a request that is refused. For a snapshot it does."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    payload = run("saved", REPORTING, "--name", "none", test="one-cpu")
    step(payload)
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as control:
        control.settimeout(TIMEOUT)
        control.connect(str(tmp_path / "runtime" / "none.sock"))
        text = b""
        control.sendall(b'{"execute": "qmp_capabilities"}')
        socket.send_fds(control, [b'{"execute": "x-ebb-working-set"}'], [theirs.fileno()])
        while b"not read from a snapshot" not in text:
            text += control.recv(4096)
        assert b"STOP" not in text
        socket.send_fds(control, [b'{"execute": "x-ebb-snapshot"}'], [theirs.fileno()])
        while b"STOP" not in text:
            text += control.recv(4096)


def test_a_users_guest(run, restore):
    """Once ebb is closed to others of its user, it may not open all that it needs to find the guest's memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a guest of another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, USER, USER)
        env = os.environ | {"EBB_RUNTIME_DIR": os.path.join(folder, "names")}
        payload = run("saved", *OPTIONS, "--name", "user", test="one-cpu", env=env,
                      wrapper=["unshare", "-m", "sh", "-c", AS, "sh", str(USER)])
        step(payload)
        snapshot("user", os.path.join(folder, "there"), env=env,
                 wrapper=["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"])
        payload.kill()
        assert restore(os.path.join(folder, "there"), *OPTIONS).steps(2)


def test_a_restore_can_be_stopped(saved):
    """However long the file is: a signal, which is held until the guest runs, ends it."""
    def stopped():  # in the child
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)
    done = subprocess.run([EBB, "run", "--restore-all", str(saved), "-m", "64M", *NO_NETWORK, *OPTIONS], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=TIMEOUT, preexec_fn=stopped, check=False)
    assert done.returncode != 0 and "Interrupted" in done.stderr, done
    assert "step" not in done.stdout


def test_what_cannot_be_saved_says_so_before_anything_stops(run, tmp_path):
    with open(tmp_path / "pmem", "wb") as file:
        file.truncate(2 * MIB)
    name = f"pmem-{os.getpid()}"
    payload = run("saved", REPORTING, "--pmem", str(tmp_path / "pmem"), "--name", name, test="one-cpu")
    step(payload)
    assert '"pmem 0" cannot be saved yet' in snapshot(name, tmp_path / "there", 1)
    assert not (tmp_path / "there").exists()
    now = step(payload)
    assert step(payload) > now


def test_a_vcpu_that_waits_for_the_console(run, tmp_path):
    """It is not saved in the middle of an access; the guest goes on when its output is read."""
    full = FullPipe()
    name = f"chatter-{os.getpid()}"
    payload = run("saved", REPORTING, "--name", name, test="chatter", stdout=full.writer)
    payload.waits_for_output()
    assert "waits for a device or for the console" in snapshot(name, tmp_path / "there", 1)
    full.start_reading()
    snapshot(name, tmp_path / "there")
    payload.process.terminate()
    assert payload.wait(TIMEOUT) == 0


def limit_file(size):
    """For a client's preexec_fn: its file can have so many bytes."""
    def limit():
        import resource  # in the child
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


def waits(pid):
    """Whether it sleeps with a socket open."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        sleeps = file.read().rpartition(")")[2].split()[0] == "S"
    return sleeps and any(name.startswith("socket:") for name in lib.opened(pid).values())


def test_the_last_good_one_stays(run, restore, tmp_path):
    """Killed at some moment, or with a full disk: the folder has what it had, and works; the guest goes on."""
    folder = tmp_path / "there"
    name = f"kept-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    snapshot(name, folder)
    good = (folder / "snapshot").read_bytes()

    # At its first byte, and at later ones, while the guest stands still for it: what it does not take, no socket holds.
    for size in 0, 4096, MIB, 3 * MIB:
        assert size < len(good) - MIB
        assert "File too large" in snapshot(name, folder, 1, preexec_fn=limit_file(size))
        assert os.listdir(folder) == ["snapshot"] and (folder / "snapshot").read_bytes() == good
        now = step(payload)
        assert step(payload) > now
    # Killed while it waits for a guest's process that is stopped.
    os.kill(payload.pid, signal.SIGSTOP)
    with subprocess.Popen([EBB, "snapshot", "-n", name, str(folder)], stdout=subprocess.DEVNULL) as client:
        wait_until(lambda: waits(client.pid), "the client does not wait")
        client.kill()
    os.kill(payload.pid, signal.SIGCONT)
    now = step(payload)
    assert step(payload) > now
    assert os.listdir(folder) == ["snapshot"] and (folder / "snapshot").read_bytes() == good
    assert restore(folder, *OPTIONS).steps(2)
    # Not all file systems have files without a name: what is left of one with a name is replaced.
    snapshot(name, folder)
    assert os.listdir(folder) == ["snapshot"] and (folder / "snapshot").read_bytes() != good


def status(name):
    """The status of that guest in `ebb list`, or "". Others may begin or end just now, which its exit status tells."""
    said = subprocess.run([EBB, "list", "--json"], capture_output=True, text=True, check=False, timeout=TIMEOUT).stdout
    return next((guest["status"] for guest in json.loads(said) if guest["name"] == name), "")


def test_a_client_that_is_killed(run):
    """While the guest stands still for it: as long as it is only stopped, the guest does; then it goes on."""
    name = f"killed-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, memory="256M", test="large", params=PATIENT)
    step(payload)
    for _ in range(50):  # it may be done before it is stopped
        with subprocess.Popen([EBB, "snapshot", "-n", name, "-"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            wait_until(lambda client=client: client.poll() is not None or "paused" in status(name), "it is not paused")
            client.send_signal(signal.SIGSTOP)
            caught = "paused" in status(name) and client.poll() is None
            client.send_signal(signal.SIGKILL if caught else signal.SIGCONT)
        if caught:
            break
    assert caught, "the guest was saved too soon, each time"
    wait_until(lambda: "running" in status(name), "the guest does not go on")
    now = step(payload)
    assert step(payload) > now


def test_a_client_that_reads_nothing(run, tmp_path, monkeypatch):
    """A program that speaks QMP: the guest stands still until the client goes, and then goes on."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    payload = run("saved", REPORTING, "--name", "silent", test="one-cpu")
    step(payload)
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(TIMEOUT)
        control.connect(str(tmp_path / "runtime" / "silent.sock"))
        control.sendall(b'{"execute": "qmp_capabilities"}')
        # Without a socket, or with something else: said, and nothing left open.
        control.sendall(b'{"execute": "x-ebb-snapshot"}')
        with open("/dev/null", "wb") as null:
            socket.send_fds(control, [b'{"execute": "x-ebb-snapshot"}'], [null.fileno()])
        text = b""
        while b"is no socket" not in text:
            text += control.recv(4096)
        assert b"SCM_RIGHTS" in text
        socket.send_fds(control, [b'{"execute": "x-ebb-snapshot"}'], [theirs.fileno(), theirs.fileno()])
        theirs.close()
        assert ours.recv(4) == b"ebb\x9a"
        wait_until(lambda: "paused" in status("silent"), "it is not paused")
        ours.close()
        while b"client ended before" not in text:
            text += control.recv(4096)
        now = step(payload)
        assert step(payload) > now
    assert "running" in status("silent")
