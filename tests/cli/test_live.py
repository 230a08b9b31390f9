# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot --live, against an ebb that is played: what reaches standard output before that has committed to it."""

import json
import os
import socket
import subprocess

import pytest
from conftest import EBB, LIMIT, wait
from fake import Fake

MUCH = os.urandom(1 << 20)
END = b"e" * 48  # bytes: the last section
DONE = {"return": {"bytes": len(MUCH) + len(END), "memory": len(MUCH), "stopped": 0.01}}
BUSY = {"error": {"class": "GuestBusy", "desc": "it is being saved again already"}}
FAILED = {"error": {"class": "GenericError", "desc": "it is not"}}


class Sender(Fake):
    """Sends a guest, and waits for the client's word, and then until `answer` is set: "" is none, and the connection's end."""

    word = answer = None

    def _talk(self, connection):
        yield self.greeting
        while True:
            data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
            if not data:
                return
            for message in map(json.loads, data.splitlines()):
                answer = self._send(socket.socket(fileno=fds[0])) if message["execute"] == "x-ebb-snapshot" else self.other(message)
                if not answer:
                    return
                yield json.dumps(answer | ({"id": message["id"]} if "id" in message else {})).encode() + b"\r\n"

    def other(self, message):
        return {"return": {}}

    def _send(self, stream):
        with stream:
            stream.settimeout(LIMIT)
            stream.sendall(MUCH + END)
            if self.answer is not None:
                return self.answer
            stream.shutdown(socket.SHUT_WR)
            self.word = stream.recv(2)
            wait(lambda: self.answer is not None, "the test says what the answer is")
            return self.answer


def moving(runtime):
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    return subprocess.Popen([EBB, "snapshot", "--live", "-n", "ci", "-"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("answer, end, said", [(DONE, END, b"it stood still for 0.010 s"), (FAILED, b"", b"is not saved: it is not"), ("", b"", b"is not saved")],
                         ids=["committed", "refused", "gone"])
def test_the_end_comes_after_the_answer(runtime, answer, end, said):
    """Until then the reader has all but that, and has the guest's ebb told; without the answer it never comes."""
    guest = Sender(runtime)
    with moving(runtime) as client:
        assert client.stdout.read(len(MUCH)) == MUCH
        wait(lambda: guest.word is not None, "the client has committed to it")
        assert guest.word == b"\0"
        os.set_blocking(client.stdout.fileno(), False)
        assert client.stdout.read() is None
        os.set_blocking(client.stdout.fileno(), True)
        guest.answer = answer
        assert client.stdout.read() == end
        assert said in client.stderr.read()
        assert client.wait(LIMIT) == (0 if end else 1)
    guest.end()


def test_an_answer_too_early(runtime):
    """Of an ebb that does not wait for the client's word: nobody runs what was sent."""
    guest = Sender(runtime)
    guest.answer = DONE
    with moving(runtime) as client:
        assert client.stdout.read() == MUCH
        assert b"answered x-ebb-snapshot wrongly" in client.stderr.read()
        assert client.wait(LIMIT) == 1
    guest.end()


def test_names_of_disks_are_safe(runtime):
    """Of an ebb that was taken over: one line, without what controls a terminal. (Not live: the guest is saved to a stream.)"""
    guest = Sender(runtime)
    guest.answer = {"return": DONE["return"] | {"disks": ["a\x1b[2J.img", 5, *["x" * 600] * 40]}}
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    done = subprocess.run([EBB, "snapshot", "-n", "ci", "-"], env=env, capture_output=True, timeout=LIMIT, check=True)
    assert done.stdout == MUCH + END
    said = done.stderr.splitlines()
    assert len(said) == 2 and said[1].startswith(b"ebb: ci: until it is restored, its disks must not change: 'a\\x1b[2J.img', '?', 'xxx"), said
    assert len(said[1]) < 5000 and b"\x1b" not in said[1]
    guest.end()


class Passer(Sender):
    """Sends descriptors, each with a byte, before the snapshot, and hears what the client says of them."""

    disks = ()

    def _send(self, stream):
        with stream:
            for number, fd in self.disks:
                socket.send_fds(stream, [bytes([number])], [fd])
            stream.sendall(MUCH + END)
            stream.shutdown(socket.SHUT_WR)
            self.word = stream.recv(64)
        return self.answer if self.word.endswith(b"\0") else FAILED


@pytest.mark.parametrize("numbers, kind, taken", [((0, 15), "file", True), ((0, 0), "file", False), ((16,), "file", False), ((0,), "pipe", False)])
def test_only_disks_are_copied(runtime, tmp_path, numbers, kind, taken):
    """Of an ebb that was taken over: no pipe that never ends, and none twice. (Not live: --disks copy.) The controls: files are."""
    (tmp_path / "disk").write_bytes(b"a disk")
    end, other = os.pipe()
    guest = Passer(runtime)
    guest.answer = {"return": DONE["return"] | {"disks": []}}
    with open(tmp_path / "disk", "rb") as disk:
        guest.disks = [(number, disk.fileno() if kind == "file" else end) for number in numbers]
        env = os.environ | {"EBB_RUNTIME_DIR": runtime}
        there = tmp_path / "there"
        done = subprocess.run([EBB, "snapshot", "--disks", "copy", "-n", "ci", there], env=env, capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode == 0) == taken and len(done.stderr.splitlines()) == (0 if taken else 1), done
    images = [(there / name).read_bytes() for name in os.listdir(there) if name.startswith("disk")] if taken else []
    assert images == [b"a disk"] * len(numbers) * taken and there.exists() == taken
    os.close(end)
    os.close(other)
    guest.end()


@pytest.mark.parametrize("ran", [True, False])
def test_what_is_no_snapshot_is_not_put_in_order(runtime, tmp_path, ran):
    """Of a guest that was saved while it ran, what came is read. (The control: as it stood still, it is kept as it comes.)"""
    guest = Sender(runtime)
    guest.answer = {"return": DONE["return"] | ({"ran": True} if ran else {})}
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    there = tmp_path / "there"
    done = subprocess.run([EBB, "snapshot", "-n", "ci", there], env=env, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == ran, done
    if ran:
        assert b'guest "ci" is not saved: what came cannot be read: it is no snapshot of ebb' in done.stderr and not there.exists()
    guest.end()


class Tracked(Sender):
    """Is told when its snapshot is kept, and notes whether it has its name by then."""

    folder, told, answers, busy = None, (), {"return": {}}, 0

    def other(self, message):
        if message["execute"] != "x-ebb-snapshot-kept":
            return {"return": {}}
        self.told = [*self.told, (message["arguments"], os.listdir(self.folder))]
        return BUSY if len(self.told) <= self.busy else self.answers


@pytest.mark.parametrize("tracked, answers", [(True, {"return": {}}), (True, FAILED), (False, {"return": {}})], ids=["told", "refused", "untracked"])
def test_it_is_kept(runtime, tmp_path, tracked, answers):
    """The guest's ebb is told by its last bytes, once it has its name; if it does not hear that, the snapshot is whole all the same.
    One that is not tracked is told nothing. (Not live: --track.)"""
    guest = Tracked(runtime)
    guest.folder, guest.answers = tmp_path / "there", answers
    guest.answer = {"return": DONE["return"] | ({"tracked": True} if tracked else {})}
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    done = subprocess.run([EBB, "snapshot", "--track", "-n", "ci", guest.folder], env=env, capture_output=True, timeout=LIMIT, check=True)
    assert list(guest.told) == ([({"id": "65" * 16}, ["snapshot"])] if tracked else [])
    assert (b"no later snapshot can be based on this one" in done.stderr) == (answers == FAILED), done
    assert (guest.folder / "snapshot").read_bytes() == MUCH + END
    guest.end()


def test_it_is_not_kept(runtime, tmp_path):
    """Its ebb has sent all, and what came cannot be put in order: it is told. (Not live: --track.)"""
    guest = Tracked(runtime)
    guest.folder = tmp_path / "there"
    guest.answer = {"return": DONE["return"] | {"ran": True, "tracked": True, "id": "1" * 32}}
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    done = subprocess.run([EBB, "snapshot", "--track", "-n", "ci", guest.folder], env=env, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done
    assert list(guest.told) == [({"id": "1" * 32, "kept": False}, [])] and not guest.folder.exists()
    guest.end()


def test_it_is_kept_a_moment_later(runtime, tmp_path):
    """Another client has the guest saved meanwhile: its ebb is told again. (Not live: --track.)"""
    guest = Tracked(runtime)
    guest.folder, guest.busy = tmp_path / "there", 2
    guest.answer = {"return": DONE["return"] | {"tracked": True}}
    env = os.environ | {"EBB_RUNTIME_DIR": runtime}
    done = subprocess.run([EBB, "snapshot", "--track", "-n", "ci", guest.folder], env=env, capture_output=True, timeout=LIMIT, check=True)
    assert list(guest.told) == [({"id": "65" * 16}, ["snapshot"])] * 3 and not done.stderr, done
    guest.end()
