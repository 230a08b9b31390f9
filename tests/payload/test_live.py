# SPDX-License-Identifier: Apache-2.0
"""A guest that is sent while it runs: ebb snapshot --live -n NAME - | ebb run --restore -, with one that checks itself (saved.c)."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
from payload import EBB, FullPipe, NO_NETWORK, TIMEOUT, Payload, lib, wait_until
from test_snapshot import MIB, OPTIONS, PATIENT, Restored, status, step
from test_snapshot_paused import expect_said

LIVE = [EBB, "snapshot", "--live", "-n"]
PATIENTLY = [EBB, "snapshot", "--live=5", "-n"]
RESTORE = [EBB, "run", "--restore", "-", "-m", "64M", *NO_NETWORK, *OPTIONS]


def moved(name, receive, *options, argv=PATIENTLY, memory="64M"):
    """Moves it. Returns the guest that goes on, and the seconds that the other one stood still."""
    with subprocess.Popen([*argv, name, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        one = receive(*options, memory=memory, stdin=sender.stdout)
        sender.stdout.close()
        said = sender.stderr.read()
        assert sender.wait(TIMEOUT) == 0, said
    return one, float(re.match(rf"ebb: {name}: sent, .* of its memory; it stood still for ([\d.]+) s", said)[1])


def last(payload):
    """The last step of a guest that stands still; its last line may be one that is only begun."""
    return max(int(number) for number in re.findall(r"^step (\d+)$", payload.console(), re.M))


@pytest.mark.parametrize("backing", ["anon", "memfd"])
def test_it_goes_on_elsewhere(run, receive, backing):
    """With all that it had, and only there; until it is let go on."""
    options = ("-c", "2", "--mem-backing", backing)
    name = f"moved-{os.getpid()}"
    payload = run("saved", *OPTIONS, *options, "--name", name, test="two-cpus", params=PATIENT)
    step(payload)
    one, _ = moved(name, receive, *options)
    steps = one.steps(4)
    assert "paused" in status(name)
    # The first may have been begun before it was stopped.
    assert last(payload) <= steps[0] <= last(payload) + 1 and steps == list(range(steps[0], steps[0] + 4))
    one.process.terminate()
    assert one.wait(TIMEOUT) == 0 and not lib.own_words(one.stderr()), one.stderr()
    # It can be let go on here, and moved again.
    subprocess.run([EBB, "resume", "-n", name], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    now = step(payload)
    assert step(payload) > now
    assert moved(name, receive, *options)[0].steps(2)


@pytest.mark.parametrize("backing", ["anon", "memfd"])
def test_what_it_gives_back_meanwhile(run, receive, tmp_path, backing):
    """All of its memory was sent when it gives most of that back, and writes to some of it again: what comes is what it has then."""
    name = f"trap-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--mem-backing", backing, "--name", name, test="trap", params=PATIENT)
    payload.paused("full")
    with open(tmp_path / "stream", "w+b") as file:
        with subprocess.Popen([*PATIENTLY, name, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
            # The pattern and the area, which come in order; what follows waits for us.
            file.write(sender.stdout.read(28 * MIB))
            payload.proceed()
            step(payload)
            file.write(sender.stdout.read())
            assert sender.wait(TIMEOUT) == 0, sender.stderr.read()
        assert file.tell() > 28 * MIB
        file.seek(0)
        assert receive("--mem-backing", backing, stdin=file).steps(3)


def test_it_stands_still_shorter(run, receive):
    """Beside the way in which it stands still while all is sent."""
    name = f"large-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="large", memory="256M", params=PATIENT)
    step(payload)
    with open(os.devnull, "wb") as null:
        done = subprocess.run([EBB, "snapshot", "-n", name, "-"], stdout=null, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True)
    plain = float(re.search(r"stood still for ([\d.]+) s", done.stderr)[1])
    # The best of three: the machine may be busy with others for a moment.
    stood = []
    for _ in range(3):
        one, seconds = moved(name, receive, argv=LIVE, memory="256M")
        stood.append(seconds)
        assert one.steps(1)
        one.kill()
        subprocess.run([EBB, "resume", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    assert min(stood) < plain / 3, (stood, plain)


def test_one_that_writes_too_fast(run, receive):
    """It says so, and goes on where it is; with more time it moves. Nothing of the attempt is left: it can be saved otherwise."""
    name = f"busy-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="restless", params=PATIENT)
    step(payload)
    with subprocess.Popen([EBB, "snapshot", "--live=0.001", "-n", name, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        # Whenever something is taken, it has written to all of its memory meanwhile.
        while sender.stdout.buffer.read(MIB):
            payload.heard = len(payload.lines)
            step(payload)
        said = sender.stderr.read()
        assert sender.wait(TIMEOUT) == 1 and re.search(r"is not saved: it writes so fast that after [4-9] rounds .* are left.*\(--live=\d+\)", said), said
    assert "running" in status(name)
    now = step(payload)
    assert step(payload) > now
    assert moved(name, receive, argv=[EBB, "snapshot", "--live=60", "-n"])[0].steps(2)


def read_some(reader):
    """A part of what a guest's 8 MiB are. Returns whether more may come."""
    left = MIB // 4
    while left > 0:
        data = os.read(reader, left)
        if not data:
            return False
        left -= len(data)
    return True


def until_it_stands(name, client, reader):
    """Reads until the guest stands still for the rest, of which more is left than fits into sockets and pipes."""
    while "running" in status(name):
        assert read_some(reader), client.stderr.read()


@contextlib.contextmanager
def sender(name, live="--live=3600"):
    """What sends it through a small pipe: the process, and the pipe's other end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen([EBB, "snapshot", live, "-n", name, "-"], stdout=writer, stderr=subprocess.PIPE, text=True) as client:
        os.close(writer)
        try:
            yield client, reader
        finally:
            client.kill()
            with contextlib.suppress(OSError):
                os.close(reader)


def goes_on(payload):
    payload.heard = len(payload.lines)
    now = step(payload)
    assert step(payload) > now


def until_it_is_saved(name):
    """As it stands; which can be once nobody else has it saved."""
    argv = [EBB, "snapshot", "-n", name, "-"]
    wait_until(lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False).returncode == 0,
               "it is saved")


def closed(client, reader):
    """The reader goes, and the client says so."""
    os.close(reader)
    said = client.stderr.read()
    assert client.wait(TIMEOUT) == 1 and "cannot write to 'standard output': Broken pipe" in said and len(said.splitlines()) == 1, said


def killed(client, _):
    client.kill()


def interrupted(client, _):
    client.send_signal(signal.SIGINT)


@pytest.mark.parametrize("go", [closed, killed, interrupted])
def test_one_that_goes(run, go):
    """The reader, or the client, at any moment before all was passed on: the guest goes on, but one that was paused does not."""
    name = f"lonely-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="restless", params=PATIENT)
    step(payload)
    for length in 4, MIB:
        with sender(name) as (client, reader):
            at = 0
            while at < length:
                data = os.read(reader, min(length - at, 4096))
                assert data, client.stderr.read()
                at += len(data)
            assert "running" in status(name)
            go(client, reader)
        until_it_is_saved(name)
        goes_on(payload)
    with sender(name) as (client, reader):
        until_it_stands(name, client, reader)
        go(client, reader)
        wait_until(lambda: "running" in status(name), "the guest goes on")
    until_it_is_saved(name)
    goes_on(payload)
    subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    with sender(name) as (client, reader):
        assert os.read(reader, 4096)
        go(client, reader)
        client.wait(TIMEOUT)
    until_it_is_saved(name)
    assert "paused" in status(name)


def test_a_reader_that_stalls(run):
    """While the guest stands still for it: it does so for half a minute, and nobody else can have it sent meanwhile."""
    name = f"stalled-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="restless", params=PATIENT)
    step(payload)
    with sender(name) as (client, reader):
        until_it_stands(name, client, reader)
        other = subprocess.run([*LIVE, name, "-"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert other.returncode == 1 and "the guest is being saved already" in other.stderr, other
        wait_until(lambda: "running" in status(name), "the guest goes on")
        # Whatever comes now is not the end.
        while os.read(reader, 65536):
            pass
        said = client.stderr.read()
        assert client.wait(TIMEOUT) == 1 and "took nothing for 30 seconds" in said and len(said.splitlines()) == 1, said
    goes_on(payload)


def program(path):
    """One that speaks QMP: its connection."""
    control = socket.socket(socket.AF_UNIX)
    control.settimeout(TIMEOUT)
    control.connect(path)
    control.sendall(b'{"execute": "qmp_capabilities"}')
    return control


def ask(control, arguments):
    """Has it ask for the guest. Returns the socket to which that comes."""
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT)
    with theirs:
        socket.send_fds(control, [b'{"execute": "x-ebb-snapshot", "arguments": {%s}}' % arguments], [theirs.fileno()])
    return ours


class Moving:
    """A program that has a guest sent to a socket of its own."""

    def __init__(self, path):
        self.control = program(path)
        self.said = b""
        self.ours = ask(self.control, b'"downtime-limit": 5000')
        self.stream = b"".join(iter(lambda: self.ours.recv(MIB), b""))

    def until(self, said):
        while said not in self.said:
            data = self.control.recv(65536)
            assert data, self.said
            self.said += data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.control.close()


def test_it_is_committed_to(run, receive, tmp_path, monkeypatch):
    """All was sent: without the client's word the guest goes on, with it it stands still, and only then is that answered."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    payload = run("saved", *OPTIONS, "--name", "asked", test="one-cpu", params=PATIENT)
    step(payload)
    path = str(tmp_path / "runtime" / "asked.sock")
    with Moving(path) as moving:
        assert "paused" in status("asked")
        resumed = subprocess.run([EBB, "resume", "-n", "asked"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert resumed.returncode == 1 and "it is being moved" in resumed.stderr, resumed
        assert "paused" in status("asked") and b"stopped" not in moving.said
        moving.ours.close()
        moving.until(b'"error"')
        assert b"the client ended" in moving.said
    goes_on(payload)
    with Moving(path) as moving:
        moving.ours.sendall(b"\0")
        moving.until(b'"stopped"')
        assert "paused" in status("asked")
        (tmp_path / "stream").write_bytes(moving.stream)
    # Without its last section nobody runs it.
    done = subprocess.run(RESTORE, input=moving.stream[:-48], capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2 and b"is cut short" in done.stderr, done
    with open(tmp_path / "stream", "rb") as file:
        assert receive(stdin=file).steps(2)
    subprocess.run([EBB, "resume", "-n", "asked"], check=True, timeout=TIMEOUT, capture_output=True)
    goes_on(payload)


def test_a_full_disk(run):
    """Likewise of what the reader is."""
    name = f"full-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PATIENTLY, name, "-"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "No space left on device" in done.stderr and len(done.stderr.splitlines()) == 1, done
    assert "running" in status(name)
    now = step(payload)
    assert step(payload) > now


def test_it_never_runs_twice(run):
    """It stands still while the rest is sent, and afterwards, though somebody would let it go on meanwhile."""
    name = f"once-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="restless", params=PATIENT)
    step(payload)
    with sender(name) as (client, reader):
        until_it_stands(name, client, reader)
        done = subprocess.run([EBB, "resume", "-n", name], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 1 and "it is being moved: resume it afterwards" in done.stderr, done
        while read_some(reader):
            assert "paused" in status(name)
        assert client.wait(TIMEOUT) == 0, client.stderr.read()
    assert "paused" in status(name)
    # The control: now it does.
    subprocess.run([EBB, "resume", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    goes_on(payload)


def test_arguments(run, tmp_path, monkeypatch):
    """Of a program that speaks QMP: each mistake is said, and nothing is stopped or sent."""
    monkeypatch.setenv("EBB_RUNTIME_DIR", str(tmp_path / "runtime"))
    payload = run("saved", *OPTIONS, "--name", "asked", test="one-cpu", params=PATIENT)
    step(payload)
    with program(str(tmp_path / "runtime" / "asked.sock")) as control:
        for arguments, said in ((b'"downtime-limit": 0', b"1 to 86400000"), (b'"downtime-limit": 86400001', b"1 to 86400000"),
                                (b'"downtime-limit": true', b"1 to 86400000"), (b'"downtime-limit": 50, "increment": true', b"cannot be combined")):
            with ask(control, arguments) as ours:
                text = b""
                while said not in text:
                    text += control.recv(4096)
                assert ours.recv(1) == b"" and b"STOP" not in text
    assert "running" in status("asked")


def test_one_that_ends(run):
    """While it is sent: its ebb does not wait for a reader."""
    name = f"ending-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    with subprocess.Popen([*PATIENTLY, name, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout.buffer.read(4) == b"ebb\x9a"
        payload.process.terminate()
        assert payload.wait(TIMEOUT) == 0 and not lib.own_words(payload.stderr()), payload.stderr()
        client.stdout.buffer.read()
        said = client.stderr.read()
        assert client.wait(TIMEOUT) == 1 and "is not saved" in said and len(said.splitlines()) == 1, said


def test_a_disk(run, receive, tmp_path):
    """Both would have it open: one that the guest can write to is refused, and nothing was stopped. (The control: read-only it moves.)"""
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(MIB)
    name = f"disk-{os.getpid()}"
    payload = run("saved", *OPTIONS, "-d", str(disk), "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    done = subprocess.run([*PATIENTLY, name, "-"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "it can write to its disk 0" in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout, done
    assert "running" in status(name)
    payload.kill()
    payload = run("saved", *OPTIONS, "-d", f"{disk},ro", "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    assert moved(name, receive, "-d", f"{disk},ro")[0].steps(2)


def test_one_that_is_a_clone(run, receive, tmp_path):
    """Its memory is a snapshot's file, of which it has touched little: all of it comes, and the file is not needed there."""
    name = f"clone-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    subprocess.run([EBB, "snapshot", "-n", name, str(tmp_path / "there")], check=True, timeout=TIMEOUT, capture_output=True)
    payload.kill()
    with Restored(tmp_path / "there", *OPTIONS, "--name", name) as clone:
        clone.steps(1)
        one, _ = moved(name, receive)
        shutil.rmtree(tmp_path / "there")
        clone.kill()
        assert one.steps(3)


def test_a_vcpu_that_waits_for_the_console(run):
    """All of its memory was sent, but it cannot be stopped: the guest goes on, and moves when its output is read."""
    full = FullPipe()
    name = f"chatter-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="chatter", stdout=full.writer)
    payload.waits_for_output()
    argv = [*PATIENTLY, name, "-"]
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "waits for a device or for the console" in done.stderr and len(done.stderr.splitlines()) == 1, done
    assert "running" in status(name)
    full.start_reading()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert "paused" in status(name)


def test_it_stays_as_it_was(run, receive):
    """One that is paused is sent as it is, and arrives so; one that is paused while it is sent stays so."""
    name = f"still-{os.getpid()}"
    payload = run("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    step(payload)
    subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    one, _ = moved(name, receive, "--name", f"{name}-there")
    wait_until(lambda: "paused" in status(f"{name}-there"), "it is there")
    expect_said(one, f"{name}-there")
    subprocess.run([EBB, "resume", "-n", f"{name}-there"], check=True, timeout=TIMEOUT, capture_output=True)
    assert one.steps(2)
    subprocess.run([EBB, "resume", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    step(payload)
    # The control: it runs when it arrives.
    assert moved(name, receive)[0].steps(2)
    subprocess.run([EBB, "resume", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
    step(payload)
    reader, writer = os.pipe()
    with subprocess.Popen([*PATIENTLY, name, "-"], stdout=writer, stderr=subprocess.PIPE, text=True) as client:
        os.close(writer)
        assert os.read(reader, 4) == b"ebb\x9a"
        subprocess.run([EBB, "pause", "-n", name], check=True, timeout=TIMEOUT, capture_output=True)
        os.close(reader)
        assert client.wait(TIMEOUT) == 1
    assert "paused" in status(name)


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The stream of a guest, in a file."""
    there = tmp_path_factory.mktemp("sent")
    name = f"sent-{os.getpid()}"
    payload = Payload("saved", *OPTIONS, "--name", name, test="one-cpu", params=PATIENT)
    try:
        step(payload)
        with open(there / "snapshot", "wb") as stream:
            subprocess.run([*PATIENTLY, name, "-"], stdout=stream, stderr=subprocess.PIPE, timeout=TIMEOUT, check=True)
    finally:
        payload.kill()
    return there


def test_damage_is_refused(sent):
    """Cut short, a bit flipped anywhere: one line, and no guest runs."""
    whole = (sent / "snapshot").read_bytes()

    def refused(data, words):
        done = subprocess.run(RESTORE, input=data, capture_output=True, timeout=TIMEOUT, check=False)
        lines = lib.own_words(done.stderr.decode()).splitlines()
        assert done.returncode == 2 and len(lines) == 1 and not done.stdout, done
        assert re.match(f"ebb: cannot restore the snapshot from standard input: .*(?:{words})", lines[0]), lines
    for length in 0, 31, 40, 5000, len(whole) // 2, len(whole) - 1:
        refused(whole[:length], "is cut short")
    for at in [9, 33, 70, 4096 + 100, len(whole) // 2, len(whole) // 2 + 5000, len(whole) - 200, len(whole) - 1]:
        refused(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:], "damaged|is missing|has another|cut short|missing in it")
    refused(whole + b"x", "goes on after its end")
    # The control: unchanged, the guest goes on.
    with open(sent / "snapshot", "rb") as file, Restored("-", *OPTIONS, stdin=file) as one:
        assert one.steps(2)


def test_as_a_file(sent, tmp_path):
    """It can be read, but not be mapped, nor be a base, nor merged."""
    with Restored(sent, *OPTIONS) as one:
        assert one.wait(TIMEOUT) == 2 and "--restore-all reads it" in one.stderr(), one.stderr()
    with Restored(sent, *OPTIONS, way="--restore-all") as one:
        assert one.steps(2)
    done = subprocess.run([EBB, "snapshot", "merge", str(sent), str(tmp_path / "out")], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode and "--live" in done.stderr and not os.path.exists(tmp_path / "out"), done
