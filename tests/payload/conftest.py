# SPDX-License-Identifier: Apache-2.0
"""What the payloads' tests share: runs that end with their test, why not all run everywhere, a count."""

import functools
import os
import shutil
import subprocess
import tempfile

import pytest

from payload import HERE, Payload


def started(kind):
    guests = []

    def start(*args, **kwargs):
        guests.append(kind(*args, **kwargs))
        return guests[-1]

    yield start
    for one in guests:
        one.kill()


@pytest.fixture
def run():
    """run(NAME, *OPTIONS, test=…, memory=…, params=…) starts a payload; all end with the test."""
    yield from started(Payload)


@pytest.fixture
def restore():
    """restore(FOLDER, *OPTIONS, memory=…, way=…) has a guest go on from a snapshot; all end with the test."""
    from test_snapshot import Restored
    yield from started(Restored)


@pytest.fixture
def receive():
    """receive(*OPTIONS, memory=…, stdin=…) has a guest go on from a stream; all end with the test."""
    from test_snapshot import OPTIONS, Restored
    yield from started(functools.partial(Restored, "-", *OPTIONS))


def save(folder, test, memory):
    from test_snapshot import OPTIONS, PATIENT, snapshot, step
    name = f"{test}-{os.getpid()}"
    payload = Payload("saved", *OPTIONS, "--name", name, memory=memory, test=test, params=PATIENT)
    try:
        step(payload)
        snapshot(name, folder)
    finally:
        payload.kill()
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A snapshot of a small guest."""
    return save(tmp_path_factory.mktemp("saved") / "there", "one-cpu", "64M")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A snapshot of a guest with 128 MiB that it does not touch again."""
    return save(tmp_path_factory.mktemp("large") / "there", "large", "256M")


def kvm_kind():
    """hardware, emulating, denied or none (tests/host/kvm-kind)."""
    script = os.path.join(os.path.dirname(HERE), "host", "kvm-kind")
    return subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


KIND = kvm_kind()


def why_not(item):
    """Why a test cannot run here, or None."""
    if KIND not in ("hardware", "emulating"):
        return f"no usable /dev/kvm here ({KIND}); the emulated host has one: tests/host/run"
    if item.get_closest_marker("emulating_kvm") and KIND != "emulating":
        return "only for a KVM that emulates what a guest's kernel runs; this one need not"
    return None


def pytest_configure(config):
    # Guests of others, and of the same tests beside these, may have the names that these give.
    os.environ["EBB_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="ebb-payload-")
    config.addinivalue_line("markers", "emulating_kvm: only where KVM interprets kernel code")


def pytest_collection_modifyitems(items):
    for item in items:
        reason = why_not(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_unconfigure(config):
    """The last line."""
    shutil.rmtree(os.environ["EBB_RUNTIME_DIR"], ignore_errors=True)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        stats = {kind: len(reporter.stats.get(kind, ())) for kind in ("passed", "failed", "skipped")}
        stats["failed"] += len(reporter.stats.get("error", ()))
        print("{passed} passed, {failed} failed, {skipped} skipped".format(**stats))
