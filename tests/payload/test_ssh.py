# SPDX-License-Identifier: Apache-2.0
"""`ebb ssh`, `ebb run --ssh` and a guest that has no driver: sockets, keys, mistakes (tests/e2e/test_distribution.py has Linux)."""

import os
import subprocess

import pytest
from payload import EBB, REPORTING, TIMEOUT, wait_until

KEY = "ssh-ed25519 " + 68 * "A"


def ssh(name, **popen):
    done = subprocess.run([EBB, "ssh", name, "--timeout", "5", "true"], capture_output=True, text=True, timeout=TIMEOUT, check=False, **popen)
    assert done.returncode == 255 and done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


def test_it_finds_the_socket(run, tmp_path):
    """Named from where the guest was started."""
    name = f"ssh-{os.getpid()}"
    payload = run("beat", REPORTING, "--vsock", "own", "--name", name, cwd=tmp_path)
    payload.expect("^beat ")
    assert "nothing listens on vsock port 22" in ssh(name)
    os.unlink(tmp_path / "own")
    assert f"socket {tmp_path}/own: No such file" in ssh(name)


def test_without_a_device(run):
    name = f"ssh-{os.getpid()}"
    run("beat", REPORTING, "--name", name).expect("^beat ")
    assert "has no vsock device" in ssh(name)


@pytest.fixture
def home(tmp_path):
    """A user with a key of their own."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa.pub").write_text(f"{KEY} me@here\n")
    return tmp_path


def test_option(run, home):
    """A socket in the runtime directory, which goes with its guest, and the user's key; or a line that says that there is none."""
    name, env = f"ssh-{os.getpid()}", os.environ | {"HOME": str(home), "EBB_RUNTIME_DIR": str(home / "run")}
    path = home / "run" / f"{name}.vsck"
    payload = run("beat", REPORTING, "--ssh", "--name", name, env=env)
    payload.expect("^beat ")
    assert path.is_socket() and path.stat().st_mode & 0o777 == 0o600
    assert "nothing listens" in ssh(name, env=env)
    payload.process.kill()
    payload.process.wait(TIMEOUT)  # its name is free
    wait_until(lambda: not path.exists(), f"{path} is still there")
    assert payload.stderr() == ""

    payload = run("beat", REPORTING, "--ssh", "--vsock", home / "own", "--name", name, env=env | {"HOME": "/nonesuch"})
    payload.expect("^beat ")
    assert (home / "own").is_socket() and not path.exists(), "a path of one's own"
    payload.wait_for_error("finds no public key", TIMEOUT)


@pytest.mark.parametrize("text, words", [
    (None, ["cannot read the public key", "No such file"]), ("", ["is not a public key", "--ssh=FILE"]),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\n", ["is not a public key"]), ('ssh-rsa AAAA" init=/bin/sh', ["is not a public key"]),
    ("ssh-rsa AAAA\\\n", ["is not a public key"]), ("ssh-rsa " + "A" * 2000, ["is not a public key"]), ("ssh-rsa", ["is not a public key"]),
], ids=["none", "empty", "private", "quote", "backslash", "long", "short"])
def test_wrong_key(run, tmp_path, text, words):
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
    payload = run("beat", REPORTING, f"--ssh={path}")
    payload.ended(2)
    said = payload.stderr()
    assert said.count("ebb: ") == 1 and str(path) in said and all(word in said for word in words), said


def test_long_runtime_directory(run, home):
    env = os.environ | {"HOME": str(home), "EBB_RUNTIME_DIR": str(home / ("x" * 100))}
    payload = run("beat", REPORTING, "--ssh", env=env)
    payload.ended(2)
    assert "too long a name" in payload.stderr() and "--vsock PATH" in payload.stderr()


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"{KEY}\r\n", f"{KEY} a comment"], ids=["alone", "line", "dos", "comment"])
def test_key(run, tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    run("beat", REPORTING, f"--ssh={path}").expect("^beat ")
