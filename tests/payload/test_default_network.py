# SPDX-License-Identifier: Apache-2.0
"""Without -n a guest has a user's network, if passt can be started; else it starts without one, and that is told."""

import os
import subprocess

import pytest
from payload import EBB, NO_NETWORK, PAYLOADS, TIMEOUT, lib

# passt is ready when its first process has ended, and serves until its socket is closed.
GOOD = "cat <&$3 >/dev/null &"
BAD = "echo 'there is no way out' >&2; exit 1"
NO_LINE = "ebb: warning: the guest has no network: with acpi=off there is no interrupt line left for it"
# With the balloon they have all interrupt lines that there are without ACPI.
DISKS = ["-d", "disk,ro"] * 8
WARNING = "ebb: warning: the guest has no network: cannot start passt: "
ERROR = "ebb: cannot start passt for the guest's network: "


def run(folder, body, *options):
    """Returns ebb's status, what it said, and how often passt was started."""
    folder.mkdir()
    if body:
        program = folder / "passt"
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\necho >>{folder}/starts\n{body}\n")
        program.chmod(0o755)
    (folder / "disk").write_bytes(bytes(512))
    argv = [EBB, "run", "-k", os.path.join(PAYLOADS, "ends.elf"), "-m", "64M", "-p", "test=off", *options]
    env = os.environ | {"PATH": str(folder), "EBB_RUNTIME_DIR": str(folder / "runtime")}
    done = subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT, check=False)
    starts = folder / "starts"
    return done.returncode, lib.own_words(done.stderr), starts.read_text().count("\n") if starts.exists() else 0


@pytest.mark.parametrize("options", [(), ("-p", "acpi=off")], ids=["with ACPI", "without"])
def test_by_default(tmp_path, options):
    assert run(tmp_path / "box", GOOD, *options) == (0, "", 1)


@pytest.mark.parametrize("body, options, said", [
    (None, (), WARNING + "it is not installed; Debian's package is passt"),
    (BAD, (), WARNING + "there is no way out"),
    (GOOD, ("-p", "acpi=off", *DISKS), NO_LINE),
], ids=["not installed", "fails", "no line"])
def test_starts_without(tmp_path, body, options, said):
    status, text, _ = run(tmp_path / "box", body, *options)
    assert status == 0 and text.startswith(said) and text.count("\n") == 1, text


def test_asked_for(tmp_path):
    """The control: who wants a network gets no guest without."""
    status, text, _ = run(tmp_path / "box", BAD, "-n", "user")
    assert (status, text) == (2, ERROR + "there is no way out\n")


@pytest.mark.parametrize("options", [NO_NETWORK, ["--nodefaults"]], ids=" ".join)
def test_turned_off(tmp_path, options):
    assert run(tmp_path / "box", GOOD, *options) == (0, "", 0)
