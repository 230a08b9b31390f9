# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot --base, and ebb snapshot merge, with a guest that checks itself (saved.c)."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
import snapshots
from payload import EBB, TIMEOUT, lib, wait_until
from test_snapshot import MIB, OPTIONS, PATIENT, WAYS, Restored, limit_file, refusal, smaps, snapshot, step, waits

COUNT = iter(range(1000000))


def size(folder):
    """Bytes on the disk."""
    return os.stat(folder / "snapshot").st_blocks * 512


def names(folder):
    """Of its files: the snapshot's, and how many it is based on."""
    found = sorted(os.listdir(folder))
    bases = [name for name in found if re.fullmatch("base-[0-9a-f]{32}", name)]
    return sorted(set(found) - set(bases)), len(bases)


def increment(restore, base, folder, wait=1, expected=0, **kwargs):
    """Has a clone of what is in `base` go on, and saves what it wrote. Returns its last step before that, and what was said."""
    name = f"clone-{os.getpid()}-{next(COUNT)}"
    one = restore(base, *OPTIONS, "--name", name, **kwargs)
    last = one.steps(wait)[-1]
    said = snapshot(name, folder, expected, options=["--base", str(base)])
    now = len(one.lines)
    one.wait_for(r"^step \d+$", TIMEOUT, now)
    one.kill()
    return last, said


def merge(folder, out, expected=0, **kwargs):
    done = subprocess.run([EBB, "snapshot", "merge", str(folder), str(out)], capture_output=True, text=True, timeout=TIMEOUT, check=False, **kwargs)
    assert done.returncode == expected, done
    if expected:
        assert not done.stdout and len(done.stderr.splitlines()) == 1, done
    return done.stderr if expected else done.stdout


def test_a_chain_goes_on(restore, saved, tmp_path):
    """Each is small beside the first, whose folder is not needed; the guest finds all it had, mapped, read, and merged."""
    last, base = 0, tmp_path / "base"
    shutil.copytree(saved, base)
    for number in range(3):
        folder = tmp_path / str(number)
        at, _ = increment(restore, base, folder, 3)
        assert at > last
        last, base = at, folder
        assert names(folder) == (["snapshot"], number + 1)
        # The control: what the guest has is more.
        assert size(folder) < size(saved) / 4, (size(folder), size(saved))
    shutil.rmtree(tmp_path / "base")
    shutil.rmtree(tmp_path / "0")
    assert re.match(r"merged 4 snapshots, [\d.]+ MiB, in ", merge(folder, tmp_path / "out"))
    assert names(tmp_path / "out") == (["snapshot"], 0)
    assert size(tmp_path / "out") < 1.2 * size(saved)
    for where in folder, tmp_path / "out":
        for way in WAYS:
            one = restore(where, *OPTIONS, way=way)
            steps = one.steps(3)
            assert last <= steps[0] and steps == list(range(steps[0], steps[0] + 3))
            one.process.terminate()
            assert one.wait(TIMEOUT) == 0 and not lib.own_words(one.stderr()), one.stderr()
    # A clone of it is a clone as others: it can be saved whole.
    name = f"whole-{os.getpid()}"
    restore(folder, *OPTIONS, "--name", name).steps(1)
    snapshot(name, folder)
    assert names(folder) == (["snapshot"], 0) and size(folder) > size(saved) / 2
    assert restore(folder, *OPTIONS).steps(2)


def test_only_what_differs(restore, large, tmp_path):
    """Of a guest with 128 MiB: a hundredth, and the rest is not read from the storage for it; a whole one reads all."""
    there = large / "snapshot"
    name = f"vast-{os.getpid()}"
    snapshots.drop(there)
    reads = not snapshots.cached(there, 0, MIB)
    one = restore(large, *OPTIONS, "--name", name, memory="256M")
    one.steps(2)
    said = snapshot(name, tmp_path / "part", options=["--base", str(large)])
    ratio = size(tmp_path / "part") / size(large)
    assert ratio < 0.01
    if reads:
        assert snapshots.cached(there, 0, 128 * MIB) < 32 * MIB
    print(f"{100 * ratio:.2f} % of the whole one:", said, snapshot(name, tmp_path / "whole"), sep="\n")
    if reads:
        assert snapshots.cached(there, 0, 128 * MIB) > 100 * MIB


def of_base(whole, part):
    """How many bytes of the whole snapshot an increment of it has as zeros."""
    return 4096 * sum(max(0, min(a + m * 4096, b + n * 4096) - max(a, b)) // 4096
                      for a, m in snapshots.runs(whole) for b, n in snapshots.runs(part, snapshots.BASE))


def test_what_was_given_back_stays_zero(run, restore, tmp_path):
    """Also where the base has something. The naive way, without the list of zeros, brings the base's bytes back, which the
    guest notices when it looks at what it gave back: the control."""
    name = f"tide-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="tide", params=PATIENT)
    full, part, naive = tmp_path / "full", tmp_path / "part", tmp_path / "naive"
    payload.expect("^full 0$")
    for _ in range(20):
        snapshot(name, full)
        if size(full) > 20 * MIB:
            break
    else:
        pytest.fail("it was never saved with its memory full")
    payload.kill()

    def goes_on(folder, way="--restore"):
        """Whether what it gave back is zero."""
        one = restore(folder, *OPTIONS, way=way)
        _, match = one.wait_for(r"^full \d+$|^FAIL", TIMEOUT)
        one.kill()
        return not match[0].startswith("FAIL")
    clone = restore(full, *OPTIONS, "--name", f"{name}-1")
    whole = (full / "snapshot").read_bytes()
    for _ in range(30):  # it is saved at some moment of it, and may have looked already
        clone.wait_for(r"^empty \d+$", TIMEOUT, len(clone.lines))
        snapshot(f"{name}-1", part, options=["--base", str(full)])
        came = (part / "snapshot").read_bytes()
        if of_base(whole, came) < 16 * MIB:
            continue
        shutil.rmtree(naive, ignore_errors=True)
        shutil.copytree(part, naive)
        (naive / "snapshot").write_bytes(snapshots.without_zeros(came))
        if not goes_on(naive):
            break
    else:
        pytest.fail("the guest was never saved before it looked at what it gave back")
    assert "FAIL" not in clone.console()
    # Neither the zeros nor what was given back take room.
    assert size(part) < size(full) / 2 and len(came) < len(whole) / 2
    merge(part, tmp_path / "out")
    assert goes_on(part) and goes_on(part, "--restore-all") and goes_on(tmp_path / "out")
    one = restore(part, *OPTIONS)
    for _ in range(2):
        wait_until(lambda: smaps(one.pid, "Anonymous") > 22 * MIB, one.console())
        wait_until(lambda: smaps(one.pid, "Anonymous") < 8 * MIB, one.console())
    assert "FAIL" not in one.console()


def test_mistakes(run, restore, saved, tmp_path):
    """One line each, before the guest stands still where that is possible, and nothing is left behind."""
    name = f"mistaken-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    part = tmp_path / "part"
    assert "save it whole, and restore it with --restore" in snapshot(name, part, 1, options=["--base", str(saved)])
    assert "No such file" in snapshot(name, part, 1, options=["--base", str(tmp_path / "none")])
    assert not part.exists()
    # The clone of another snapshot, with the control.
    snapshot(name, tmp_path / "other")
    increment(restore, saved, part)
    one = restore(saved, *OPTIONS, "--name", f"{name}-1")
    one.steps(1)
    assert "restored from another snapshot than the one in" in snapshot(f"{name}-1", tmp_path / "wrong", 1, options=["--base", str(tmp_path / "other")])
    assert not (tmp_path / "wrong").exists()
    assert "it is whole: there is nothing to merge" in merge(saved, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    assert "there is no snapshot in" in merge(tmp_path, tmp_path / "out", 1)
    # What was read whole has no base.
    read = restore(saved, *OPTIONS, "--name", f"{name}-2", way="--restore-all")
    read.steps(1)
    assert "save it whole, and restore it with --restore" in snapshot(f"{name}-2", tmp_path / "wrong", 1, options=["--base", str(saved)])
    # A stream has no folder for it.
    with open(part / "snapshot", "rb") as stream:
        done = subprocess.run([EBB, "run", "--restore", "-", "-m", "64M", "-n", "none", *OPTIONS], stdin=stream, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and "goes on from its folder alone" in done.stderr, done


def test_another_file_system(restore, saved):
    """Where the base cannot have one more name: in words, and before the guest stands still."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == os.stat(saved).st_dev:
            pytest.skip("needs two file systems")
        there = os.path.join(folder, "there")
        _, said = increment(restore, saved, there, expected=1)
        assert "cannot be kept in" in said and "on the same file system" in said and not os.path.exists(there)


def test_too_long_a_chain(restore, saved, tmp_path):
    """In one folder: the eighth is refused, and a merged one begins anew."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    for number in range(7):
        increment(restore, folder, folder)
        assert names(folder) == (["snapshot"], number + 1)
    _, said = increment(restore, folder, folder, expected=1)
    assert "make them one" in said and names(folder) == (["snapshot"], 7)
    merge(folder, folder)
    assert names(folder) == (["snapshot"], 0)
    increment(restore, folder, folder)
    assert names(folder) == (["snapshot"], 1)


@pytest.fixture(scope="module")
def part(saved, tmp_path_factory):
    """An increment of the small guest's snapshot."""
    folder = tmp_path_factory.mktemp("part") / "there"
    name = f"part-{os.getpid()}"
    one = Restored(saved, *OPTIONS, "--name", name)
    try:
        one.steps(1)
        snapshot(name, folder, options=["--base", str(saved)])
    finally:
        one.kill()
    return folder


@pytest.mark.parametrize("way", [*WAYS, "merge"])
def test_damage_is_refused(restore, part, tmp_path, way):
    """Of the increment or its base: cut, flipped, another, missing, no file, a loop. One line, and nothing else."""
    folder = tmp_path / "there"
    shutil.copytree(part, folder)
    base = next(path for path in folder.iterdir() if path.name != "snapshot")

    def said():
        if way != "merge":
            return refusal(restore, folder, *OPTIONS, way=way)
        told = merge(folder, tmp_path / "out", 1)
        assert not (tmp_path / "out").exists()
        return told
    for there in folder / "snapshot", base:
        whole = there.read_bytes()
        for length in 0, 31, 40, 100, len(whole) // 2, len(whole) - 1:
            there.write_bytes(whole[:length])
            assert "it is cut short" in said(), (there, length)
        pages = snapshots.sections(whole)[snapshots.PAGES][0]
        for at in 9, 33, 70, 200, pages - 20, *([] if way == "--restore" else [pages + 100, len(whole) - 9000]), len(whole) - 200, len(whole) - 1:
            there.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            assert re.search("damaged|is missing|has another|cut short|missing in it|is no snapshot|of another version", said()), (there, at)
        there.write_bytes(whole + b"x")
        assert "goes on after its end" in said()
        there.write_bytes(whole)
    whole = base.read_bytes()
    base.write_bytes((folder / "snapshot").read_bytes())
    assert re.search("is not the snapshot that it is based on|is missing: copy all files", said())
    base.unlink()
    assert "is missing: copy all files of the folder" in said()
    os.mkfifo(base)
    assert "is no plain file" in said()
    base.unlink()
    # A link, though what it leads to is the right file: a stranger's could lead to any of the user's.
    right = tmp_path / "right"
    right.write_bytes(whole)
    base.symlink_to(right)
    assert "is no plain file" in said()
    base.unlink()
    # The control.
    base.write_bytes(whole)
    if way == "merge":
        merge(folder, tmp_path / "out")
        folder = tmp_path / "out"
    assert restore(folder, *OPTIONS).steps(2)


@pytest.mark.parametrize("way", ["cut", "written"])
def test_a_base_that_changes(restore, part, tmp_path, way):
    """The guest ends, in words, as if the increment itself had changed. The control: the base's name goes."""
    shutil.copytree(part, tmp_path / "there")
    one = restore(tmp_path / "there", *OPTIONS)
    one.steps(1)
    base = next(path for path in (tmp_path / "there").iterdir() if path.name != "snapshot")
    with open(base, "r+b") as file:
        shutil.rmtree(tmp_path / "there")
        one.steps(2)
        if way == "written":
            file.write(b"x")
            file.flush()
        else:
            file.truncate(4096)
    assert one.wait(TIMEOUT) == 1, one.console()
    words = lib.own_words(one.stderr()).splitlines()
    assert len(words) == 1 and "keep a snapshot as it is while guests run from it" in words[0], words


def test_another_base_changes(restore, part, tmp_path):
    """A file of that name that the guest has no memory in: it goes on. The control is above."""
    folder = tmp_path / "there"
    shutil.copytree(part, folder)
    other = folder / f"base-{0:032x}"
    other.write_bytes((folder / "snapshot").read_bytes())
    one = restore(folder, *OPTIONS)
    one.steps(1)
    with open(other, "r+b") as file:
        file.write(b"x")
        file.truncate(4096)
    one.steps(5)


def test_the_last_good_one_stays(restore, part, tmp_path):
    """A full disk, or killed at some moment: the folder has what it had, an increment, and works; so when it is merged."""
    folder = tmp_path / "there"
    shutil.copytree(part, folder)
    name = f"kept-{os.getpid()}"
    one = restore(folder, *OPTIONS, "--name", name)
    one.steps(1)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}

    def kept():
        return {path.name: path.read_bytes() for path in folder.iterdir()} == good
    base = ["--base", str(folder)]
    for limit in 0, 4096, 16384:
        assert "File too large" in snapshot(name, folder, 1, options=base, preexec_fn=limit_file(limit))
        assert kept()
        assert "File too large" in merge(folder, folder, 1, preexec_fn=limit_file(limit))
        assert kept()
    # Killed while it waits for a guest's process that is stopped: the base has one more name, and no more.
    os.kill(one.pid, signal.SIGSTOP)
    with subprocess.Popen([EBB, "snapshot", "-n", name, *base, str(folder)], stdout=subprocess.DEVNULL) as client:
        wait_until(lambda: waits(client.pid), "the client does not wait")
        client.kill()
    os.kill(one.pid, signal.SIGCONT)
    assert good.items() <= {path.name: path.read_bytes() for path in folder.iterdir()}.items()
    assert restore(folder, *OPTIONS).steps(2)
    # The next one has what it needs, and leaves nothing else.
    snapshot(name, folder, options=base)
    assert names(folder) == (["snapshot"], 2)
    snapshot(name, folder)
    assert names(folder) == (["snapshot"], 0)
    assert restore(folder, *OPTIONS).steps(2)
