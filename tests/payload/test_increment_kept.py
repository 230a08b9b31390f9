# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot --base: what the folder holds afterwards can be restored, whatever was in it before."""

import os
import re
import shutil
import subprocess

import pytest
import snapshots
from payload import EBB, TIMEOUT
from test_increment import increment, names
from test_snapshot import OPTIONS, PATIENT, WAYS, snapshot, step


def base_of(folder):
    return next(path for path in folder.iterdir() if path.name.startswith("base-"))


@pytest.mark.parametrize("obstacle", ["working-set", "base-" + 32 * "0"])
def test_what_cannot_be_removed(restore, saved, tmp_path, obstacle):
    """A directory, where a file would be cleared away: a warning, and a snapshot that has its base. Into its base's folder
    and into a new one."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    (folder / obstacle).mkdir()
    increment(restore, folder, folder)
    assert base_of(folder) and restore(folder, *OPTIONS, way="--restore-all").steps(2)
    other = tmp_path / "other"
    (other / obstacle).mkdir(parents=True)
    increment(restore, saved, other)
    assert restore(other, *OPTIONS, way="--restore-all").steps(2)


@pytest.mark.parametrize("kind", ["empty", "copy", "link", "fifo"])
def test_what_has_the_name_of_a_base(restore, saved, tmp_path, kind):
    """It is replaced by the base."""
    increment(restore, saved, tmp_path / "first")
    base = base_of(tmp_path / "first")
    folder = tmp_path / "there"
    folder.mkdir()
    there = folder / base.name
    if kind == "empty":
        there.touch()
    elif kind == "copy":
        shutil.copyfile(base, there)
    elif kind == "link":
        there.symlink_to(base)
    else:
        os.mkfifo(there)
    increment(restore, saved, folder)
    assert there.samefile(saved / "snapshot") and not there.is_symlink()
    assert names(folder) == (["snapshot"], 1)
    assert restore(folder, *OPTIONS, way="--restore-all").steps(2)


def test_a_clone_is_saved_again(restore, saved, tmp_path):
    """To the folder of its base, which has an increment by then: that one is not needed any more. The control: a clone of
    another snapshot is refused, and the folder stays."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    name = f"again-{os.getpid()}"
    one = restore(folder, *OPTIONS, "--name", name)
    for _ in range(3):
        last = one.steps(2)[-1]
        snapshot(name, folder, options=["--base", str(folder)])
        assert names(folder) == (["snapshot"], 1)
    assert restore(folder, *OPTIONS).steps(2)[0] >= last
    other = restore(saved, *OPTIONS, "--name", f"{name}-other", way="--restore-all")
    other.steps(1)
    snapshot(f"{name}-other", tmp_path / "other")
    clone = restore(tmp_path / "other", *OPTIONS, "--name", f"{name}-clone")
    clone.steps(1)
    assert "another snapshot" in snapshot(f"{name}-clone", folder, 1, options=["--base", str(folder)])
    assert names(folder) == (["snapshot"], 1)


def test_gaps_are_read(run, restore, tmp_path):
    """More pieces than an increment lists: what is between some of them is saved, too, and the clone does not say afterwards
    that it has used that itself. The control says what it has used before."""
    name = f"scattered-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="scattered")
    step(payload)
    snapshot(name, tmp_path / "there")
    clone = restore(tmp_path / "there", *OPTIONS, "--name", f"{name}-1")
    last = clone.steps(3)[-1]
    assert "has used" in snapshot(f"{name}-1", tmp_path / "there", options=["--working-set"])
    snapshot(f"{name}-1", tmp_path / "part", options=["--base", str(tmp_path / "there")])
    runs = snapshots.runs((tmp_path / "part" / "snapshot").read_bytes())
    assert 2000 < len(runs) <= 4000 and any(pages > 2 for _, pages in runs)
    assert "it was saved itself" in snapshot(f"{name}-1", tmp_path / "there", 1, options=["--working-set"])
    for way in WAYS:
        assert restore(tmp_path / "part", *OPTIONS, way=way).steps(2)[0] >= last


def test_a_large_guest(run, restore, tmp_path):
    """It does not stand still for longer than for a whole snapshot, of one that is paused, because of memory that it never used."""
    name = f"vast-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, memory="32G", test="one-cpu", params=PATIENT)
    step(payload)

    def stood(name, folder, *options):
        said = snapshot(name, tmp_path / folder, options=options)
        print(said.split(", ", 1)[1], end="")
        return float(re.search(r"stood still for ([\d.]+) s", said)[1])
    subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    whole = min(stood(name, "there") for _ in range(3))
    payload.kill()
    restore(tmp_path / "there", *OPTIONS, "--resume", "--name", f"{name}-1", memory="32G").steps(2)
    assert min(stood(f"{name}-1", "part", "--base", str(tmp_path / "there")) for _ in range(3)) < 2 * whole + 0.02


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: needs root, to give a file to another user")
def test_a_base_of_another_user(restore, saved, tmp_path):
    """He could change it in the new folder, too. The control: once it is root's, it is taken."""
    folder = tmp_path / "there"
    shutil.copytree(saved, folder)
    os.chown(folder / "snapshot", 65534, -1)
    _, said = increment(restore, folder, tmp_path / "out", expected=1)
    assert "as the owner of the snapshot" in said and not (tmp_path / "out").exists()
    os.chown(folder / "snapshot", 0, -1)
    increment(restore, folder, tmp_path / "out")
