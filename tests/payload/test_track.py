# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot --track, and --base of a guest that booted, with one that checks itself (saved.c)."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest
import snapshots
from payload import EBB, TIMEOUT, lib
from test_increment import COUNT, merge, names, of_base, size
from test_snapshot import MIB, OPTIONS, PATIENT, WAYS, limit_file, snapshot, step


def base(folder):
    return ["--base", str(folder)]


@pytest.fixture
def tracked(run, tmp_path):
    """tracked(TEST, …) starts a guest, and returns it, its name, and the folder of its first snapshot."""
    def start(test="one-cpu", *options, **kwargs):
        name = f"tracked-{os.getpid()}-{next(COUNT)}"
        payload = run("saved", *OPTIONS, *options, "--name", name, test=test, params=PATIENT, **kwargs)
        if test == "trap":
            payload.paused("full")
        else:
            step(payload)
        snapshot(name, tmp_path / "first", options=["--track"])
        return payload, name, tmp_path / "first"
    return start


@pytest.mark.parametrize("options, test", [((), "one-cpu"), (("-c", "2"), "two-cpus"), (("--mem-backing", "memfd"), "one-cpu")], ids=["one", "smp", "memfd"])
def test_a_chain(tracked, restore, tmp_path, options, test):
    """Each is small beside the first; what goes on from the last has all, mapped, read, and merged; and the guest goes on."""
    payload, name, folder = tracked(test, *options)
    first, last = folder, 0
    for number in range(3):
        last = max(last, step(payload))
        assert step(payload) > last
        snapshot(name, tmp_path / str(number), options=base(folder))
        folder = tmp_path / str(number)
        assert names(folder) == (["snapshot"], number + 1)
        # The control: the first has what the guest has.
        assert size(folder) < size(first) / 4, (size(folder), size(first))
    shutil.rmtree(first)
    merge(folder, tmp_path / "out")
    for where in folder, tmp_path / "out":
        for way in WAYS:
            one = restore(where, *OPTIONS, *options, way=way)
            steps = one.steps(3)
            assert last <= steps[0] and steps == list(range(steps[0], steps[0] + 3))
            one.process.terminate()
            assert one.wait(TIMEOUT) == 0 and not lib.own_words(one.stderr()), one.stderr()
    assert step(payload) < step(payload)


def test_into_one_folder(tracked, restore):
    """Again and again, and then whole: what is not needed goes. At most eight are based on one another."""
    payload, name, folder = tracked()
    for number in range(1, 8):
        step(payload)
        snapshot(name, folder, options=base(folder))
        assert names(folder) == (["snapshot"], number)
    assert "based on others, 8 in all: save it whole with --track" in snapshot(name, folder, 1, options=base(folder))
    assert restore(folder, *OPTIONS).steps(2)
    snapshot(name, folder, options=["--track"])
    assert names(folder) == (["snapshot"], 0)
    snapshot(name, folder, options=base(folder))
    assert names(folder) == (["snapshot"], 1) and restore(folder, *OPTIONS).steps(2)


def goes_on(restore, folder, way="--restore"):
    """Whether what it gave back is zero."""
    one = restore(folder, *OPTIONS, way=way)
    _, match = one.wait_for(r"^full \d+$|^FAIL", TIMEOUT)
    one.kill()
    return not match[0].startswith("FAIL")


def test_what_was_given_back_stays_zero(run, restore, tmp_path):
    """Where the base has something. The naive way, without the list of zeros, brings that back, which the guest notices: the
    control."""
    name = f"tide-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="tide", params=PATIENT)
    full, part, naive = tmp_path / "full", tmp_path / "part", tmp_path / "naive"
    for _ in range(60):
        payload.expect(r"^full \d+$")
        snapshot(name, full, options=["--track"])
        if size(full) < 20 * MIB:
            continue
        payload.expect(r"^empty \d+$")
        snapshot(name, part, options=base(full))
        came = (part / "snapshot").read_bytes()
        if of_base((full / "snapshot").read_bytes(), came) < 16 * MIB:
            continue
        shutil.rmtree(naive, ignore_errors=True)
        shutil.copytree(part, naive)
        (naive / "snapshot").write_bytes(snapshots.without_zeros(came))
        if not goes_on(restore, naive):
            break
    else:
        pytest.fail("the guest was never saved full, and then before it looked at what it gave back")
    assert size(part) < size(full) / 2
    merge(part, tmp_path / "out")
    assert goes_on(restore, part) and goes_on(restore, part, "--restore-all") and goes_on(restore, tmp_path / "out")
    assert "FAIL" not in payload.console()


def ask(name, command, **arguments):
    """What the guest's ebb answers."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(TIMEOUT)
        control.connect(f"{os.environ['EBB_RUNTIME_DIR']}/{name}.sock")
        talk = control.makefile("rw", encoding="utf-8")
        talk.readline()
        for message in {"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}:
            talk.write(json.dumps(message) + "\n")
            talk.flush()
            answer = talk.readline()
        return json.loads(answer)


def test_one_that_fails(tracked, restore, tmp_path):
    """On a full disk, or with no answer that it is kept: the next has what both would have, in all of what the guest wrote
    since the last that was. The control: without what failed, it is smaller."""
    payload, name, folder = tracked("restless")
    for limit in 4096, 4 * MIB:
        step(payload)
        assert "File too large" in snapshot(name, tmp_path / "part", 1, options=base(folder), preexec_fn=limit_file(limit))
        assert "File too large" in snapshot(name, tmp_path / "part", 1, options=["--track"], preexec_fn=limit_file(limit))
    assert not (tmp_path / "part").exists()
    snapshot(name, tmp_path / "part", options=base(folder))
    assert size(tmp_path / "part") > 8 * MIB
    assert restore(tmp_path / "part", *OPTIONS).steps(2)
    # It is not based on what is not its last one.
    assert "or saved in another since" in snapshot(name, tmp_path / "wrong", 1, options=base(folder))
    assert not (tmp_path / "wrong").exists()
    snapshot(name, tmp_path / "next", options=base(tmp_path / "part"))
    assert restore(tmp_path / "next", *OPTIONS).steps(2)
    for wrong in {"id": "0" * 32}, {"id": "x"}, {}, {"id": "0" * 32, "more": 1}:
        assert "error" in ask(name, "x-ebb-snapshot-kept", **wrong)


def sent(name, meanwhile=None, **arguments):
    """What its ebb sends of it, which is told nothing of what becomes of that, and waits for `meanwhile` after the first MiB; and
    the answer."""
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as control, ours:
        control.settimeout(TIMEOUT)
        ours.settimeout(TIMEOUT)
        control.connect(f"{os.environ['EBB_RUNTIME_DIR']}/{name}.sock")
        control.sendall(b'{"execute": "qmp_capabilities"}')
        command = {"execute": "x-ebb-snapshot", "arguments": arguments}
        socket.send_fds(control, [json.dumps(command).encode()], [theirs.fileno()])
        theirs.close()
        data, text = bytearray(), b""
        while meanwhile and len(data) < MIB:
            data += ours.recv(MIB - len(data))
        if meanwhile:
            meanwhile()
        while some := ours.recv(MIB):
            data += some
        while b'"stopped"' not in text:
            text += control.recv(4096)
    return bytes(data), text


def test_others_save_it_too(tracked, restore, tmp_path):
    """Another client saves it whole before it is said that an increment is kept. The next one is based on that, and has what was given back
    in between, of which only the other's look at the logs told. (The control: the first has not.)"""
    payload, name, folder = tracked("trap")
    data, text = sent(name, increment=True)
    last = re.search(rb'"id": ?"([0-9a-f]{32})"', text)[1].decode()
    assert of_base((folder / "snapshot").read_bytes(), data) < MIB
    payload.proceed()
    step(payload)
    shutil.copytree(folder, tmp_path / "part")
    os.rename(tmp_path / "part" / "snapshot", tmp_path / "part" / f"base-{(folder / 'snapshot').read_bytes()[-16:].hex()}")
    (tmp_path / "part" / "snapshot").write_bytes(data)
    snapshot(name, tmp_path / "other")
    assert ask(name, "x-ebb-snapshot-kept", id=last) == {"return": {}}
    snapshot(name, tmp_path / "next", options=base(tmp_path / "part"))
    assert of_base((folder / "snapshot").read_bytes(), (tmp_path / "next" / "snapshot").read_bytes()) > 16 * MIB
    assert restore(tmp_path / "next", *OPTIONS).steps(3)


def test_what_failed_is_not_lost(tracked, restore, tmp_path):
    """The guest wrote to much before a save that failed, and to none of it afterwards."""
    payload, name, folder = tracked("trap")
    payload.proceed()
    step(payload)
    assert "File too large" in snapshot(name, tmp_path / "part", 1, options=base(folder), preexec_fn=limit_file(4096))
    step(payload)
    snapshot(name, tmp_path / "part", options=base(folder))
    assert of_base((folder / "snapshot").read_bytes(), (tmp_path / "part" / "snapshot").read_bytes()) > 16 * MIB
    assert restore(tmp_path / "part", *OPTIONS).steps(3)


def test_what_is_not_tracked(run, tracked, tmp_path):
    """Is refused, with the way to it; so once it was tried to send it while it ran, of which its ebb warned."""
    name = f"untracked-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu")
    step(payload)
    snapshot(name, tmp_path / "whole")
    said = snapshot(name, tmp_path / "part", 1, options=base(tmp_path / "whole"))
    assert "save it whole with --track" in said and not (tmp_path / "part").exists()
    payload, name, folder = tracked()
    snapshot(name, tmp_path / "part", options=base(folder))
    assert "tracked" not in payload.stderr()
    # It fails amid its memory.
    with open(tmp_path / "stream", "wb") as stream:
        done = subprocess.run([EBB, "snapshot", "--live=5", "-n", name, "-"], stdout=stream, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT,
                              check=False, preexec_fn=limit_file(4 * MIB))
    assert done.returncode == 1 and "File too large" in done.stderr, done
    step(payload)
    payload.wait_for_error("what the guest writes is not tracked any more", TIMEOUT)
    assert "save it whole with --track" in snapshot(name, tmp_path / "next", 1, options=base(tmp_path / "part"))


def test_a_clone(tracked, restore, tmp_path):
    """Is tracked likewise, also one that was read whole: each of its increments is of what it wrote since the one before."""
    _, _, folder = tracked()
    for number, way in enumerate(WAYS):
        name = f"clone-{os.getpid()}-{number}"
        one = restore(folder, *OPTIONS, "--name", name, way=way)
        one.steps(2)
        there = tmp_path / f"clone-{number}"
        snapshot(name, there, options=["--track"])
        for _ in range(2):
            one.wait_for(r"^step \d+$", TIMEOUT, len(one.lines))
            snapshot(name, there, options=base(there))
        assert names(there) == (["snapshot"], 2)
        last = max(int(found) for found in re.findall(r"^step (\d+)$", one.console(), re.M))
        assert last - 2 <= restore(there, *OPTIONS).steps(2)[0] <= last + 1
