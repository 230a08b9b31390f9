# SPDX-License-Identifier: Apache-2.0
"""`ebb ssh` and the ebb of a guest that has no driver: what it says, and that it finds the socket (test_vsock.py has Linux)."""

import os
import subprocess

from payload import EBB, REPORTING, TIMEOUT


def ssh(name):
    done = subprocess.run([EBB, "ssh", name, "--timeout", "3", "true"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
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
