# SPDX-License-Identifier: Apache-2.0
"""ebb doctor, on this host as it is. What it makes of others is in tests/unit/test_doctor.c."""

import json
import os
import re
import subprocess
import sys

from conftest import TREE

sys.path.insert(0, os.path.join(TREE, "tests", "lib"))

import guest as lib  # noqa: E402


def test_doctor(ebb):
    done = ebb("doctor")
    assert done.err == "" and done.status in (0, 1)
    lines = done.out.splitlines()
    assert all(line[:6] in ("OK    ", "warn  ", "FAIL  ") or line.strip().startswith("-> ") for line in lines)
    assert (done.status == 1) == any(line.startswith("FAIL") for line in lines)


def test_doctor_and_kvm_kind(ebb):
    """It and the tests' own look at the host are of one mind."""
    kind = subprocess.run([os.path.join(TREE, "tests", "host", "kvm-kind")], stdout=subprocess.PIPE, text=True, check=True)
    text = ebb("doctor").out
    failed = {line.split()[1] for line in text.splitlines() if line.startswith("FAIL")}
    assert {"none": "/dev/kvm", "denied": "/dev/kvm", "emulating": "processor"}.get(kind.stdout.strip(), "") in failed | {""}
    assert kind.stdout.strip() != "hardware" or not failed & {"/dev/kvm", "processor"}


def test_doctor_tries_namespaces(ebb):
    """It and util-linux are of one mind; and of another where they are forbidden."""
    permitted = any(line.split()[:3] == ["OK", "namespaces", "permitted:"] for line in ebb("doctor").out.splitlines())
    assert permitted == lib.namespaces()
    done = subprocess.run([*lib.NO_NAMESPACES, lib.EBB, "doctor"], capture_output=True, text=True, check=False)
    if permitted:
        assert re.search(r"^warn  namespaces .*\n.*-> sysctl user.max_user_namespaces=", done.stdout, re.M), done


def test_doctor_json(ebb):
    done = ebb("doctor", "--json")
    whole = json.loads(done.out)
    assert whole["fit"] == (done.status == 0) == all(one["level"] != "fail" for one in whole["findings"])
    for one in whole["findings"]:
        assert set(one) == {"level", "about", "what", "means", "change"}
        assert one["level"] in ("ok", "warn", "fail") and one["what"] and one["means"]
    about = {one["about"] for one in whole["findings"]}
    assert {"/dev/kvm", "overcommit", "swap", "cgroup", "RLIMIT_MEMLOCK", "namespaces", "Landlock", "seccomp", "own cgroup", "privileges", "runtime directory"} <= about


def test_doctor_of_a_bad_runtime_directory(ebb, runtime):
    os.chmod(runtime, 0o777)
    done = ebb("doctor")
    assert done.status == 1
    assert "FAIL  runtime directory" in done.out and "open to other users" in done.err


def test_doctor_counts_guests(ebb, fake):
    fake("a")
    fake("b").end(leave=True)
    assert "1 guest running" in ebb("doctor").out
