# SPDX-License-Identifier: Apache-2.0
"""--cgroup auto, with a program in place of systemd-run. tests/e2e/test_cgroup.py has real cgroups."""

import os
import re

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


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose user has a manager of systemd's."""
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    (tmp_path / "bin").mkdir()
    runner = tmp_path / "bin" / "systemd-run"
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    return tmp_path


def run(ebb, cgroup, *options):
    """A guest that cannot start, once its cgroup was chosen."""
    return ebb("run", "--cgroup", cgroup, "-m", "1G", "-n", "none", "-k", "/nonesuch", *options)


@pytest.mark.usefixtures("host")
def test_a_scope(ebb):
    """Once, with the limits that a cgroup of ebb's own has; then it goes on with the same options."""
    done = run(ebb, "auto,cpu=150", "--name", "one two")
    first, second = done.err.splitlines()
    limit = (1024 + 16 + 256) << 20
    assert first == (f"ebb: --user --scope --quiet --collect -p MemoryMax={limit} -p MemorySwapMax={limit} -p TasksMax=4096 "
                     f"-p CPUQuota=150% -- {EBB} run --cgroup auto,cpu=150 -m 1G -n none -k /nonesuch --name one two")
    assert done.status == 2 and "cannot open the kernel '/nonesuch'" in second


@pytest.mark.usefixtures("host")
def test_a_folder_of_that_name(ebb):
    """It is written otherwise. The control: no systemd is asked."""
    run(ebb, "./auto").failed(2, "cannot open the cgroup", "./auto")


def test_nobody_makes_one(ebb, host, monkeypatch):
    (host / "bin" / "systemd-run").unlink()
    monkeypatch.setenv("PATH", str(host / "bin"))
    run(ebb, "auto").failed(2, "there is no systemd-run", "'ebb doctor' tells what helps")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    if not os.path.exists("/run/systemd/private"):
        run(ebb, "auto").failed(2, "no systemd makes scopes for this user")


@pytest.mark.usefixtures("host")
def test_another_process_said_so(ebb, monkeypatch):
    """What an ebb in a scope passes on to one that it starts does not count: that asks for one itself."""
    monkeypatch.setenv("EBB_CGROUP_SCOPE", str(os.getpid()))
    assert re.match("ebb: --user --scope", run(ebb, "auto").err)
