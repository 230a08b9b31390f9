# SPDX-License-Identifier: Apache-2.0
"""--cgroup auto, with a program in place of systemd-run. tests/e2e/test_cgroup.py has real cgroups."""

import os
import re
import socket

import pytest
from conftest import EBB

# As systemd-run does, in the same process; it says with which words it was called.
RUNNER = """#!/bin/sh
printf 'ebb: %s' "$*" >&2
echo >&2
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def is_delegated():
    """ebb makes the guest's cgroup itself then, and asks nobody: as root without systemd, or in a shell that systemd left alone."""
    with open("/proc/self/cgroup", encoding="utf-8") as text:
        own = re.search(r"^0::(/.*)$", text.read(), re.M)
    above = os.path.dirname(f"/sys/fs/cgroup{own[1]}") if own and own[1] != "/" else None
    if not above or not all(os.access(os.path.join(above, name), os.W_OK) for name in (".", "cgroup.procs", "cgroup.subtree_control")):
        return False
    marks = [os.getxattr(above, name) for name in ("user.delegate", "trusted.delegate") if name in os.listxattr(above)]
    return b"1" in marks or not os.path.exists("/run/systemd/system")


pytestmark = pytest.mark.skipif(is_delegated(), reason="the cgroup above this one is delegated to this user")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose user has a manager of systemd's."""
    (tmp_path / "systemd").mkdir()
    (tmp_path / "bin").mkdir()
    runner = tmp_path / "bin" / "systemd-run"
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    with socket.socket(socket.AF_UNIX) as private:
        private.bind(str(tmp_path / "systemd" / "private"))
        yield tmp_path


def run(ebb, cgroup, *options):
    """A guest that cannot start, once its cgroup was chosen."""
    return ebb("run", "--cgroup", cgroup, "-m", "1G", "-n", "none", "-k", "/nonesuch", *options)


@pytest.mark.usefixtures("host")
def test_a_scope(ebb):
    """Once, with the limits that a cgroup of ebb's own has; what comes back with the same options finds that it has none of them."""
    done = run(ebb, "auto,cpu=150", "--name", "one", "-p", "two words")
    said = done.err.splitlines()
    assert done.status == 2 and not done.out
    limit = (1024 + 16 + 256) << 20
    assert said.count(f"ebb: --user --scope --quiet --collect -p MemoryMax={limit} -p MemorySwapMax={limit} -p TasksMax=4096 "
                      f"-p CPUQuota=150% --description=ebb guest one -- {EBB} run --cgroup auto,cpu=150 -m 1G -n none -k /nonesuch --name one -p two words") == 1, said
    assert sum("does not limit the guest (memory.max)" in line for line in said) == 1 and "--user" not in said[-1], said


@pytest.mark.usefixtures("host")
def test_a_folder_of_that_name(ebb):
    """It is written otherwise. The control: no systemd is asked."""
    run(ebb, "./auto").failed(2, "cannot open the cgroup", "./auto")


def test_no_program_asks(ebb, host, monkeypatch):
    (host / "bin" / "systemd-run").unlink()
    monkeypatch.setenv("PATH", str(host / "bin"))
    run(ebb, "auto").failed(2, "there is no systemd-run", "'ebb doctor' tells what helps")


@pytest.mark.skipif(os.geteuid() == 0 and os.path.exists("/run/systemd/private"), reason="the system's manager makes one for root")
def test_nobody_makes_one(ebb, host, monkeypatch):
    """Neither where there is no manager, nor where what has its name is no socket, nor by another user's."""
    private = host / "systemd" / "private"
    private.unlink()
    private.touch()
    run(ebb, "auto").failed(2, "no systemd makes scopes for this user", "$XDG_RUNTIME_DIR/systemd")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    run(ebb, "auto").failed(2, "no systemd makes scopes for this user")


@pytest.mark.skipif(os.geteuid() != 0 or os.path.exists("/run/systemd/private"), reason="root alone can give a socket away, and has no manager else")
def test_another_users_manager(ebb, host):
    os.chown(host / "systemd" / "private", 12345, -1)
    run(ebb, "auto").failed(2, "no systemd makes scopes for this user")


@pytest.mark.usefixtures("host")
def test_another_process_said_so(ebb, monkeypatch):
    """What an ebb in a scope passes on to one that it starts does not count: that asks for one itself."""
    monkeypatch.setenv("EBB_CGROUP_SCOPE", str(os.getpid()))
    assert "ebb: --user --scope" in run(ebb, "auto").err
