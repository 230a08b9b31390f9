# SPDX-License-Identifier: Apache-2.0
"""What the tests share: ebb run to its end, and guests that end with their test."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from fake import Fake

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EBB = os.path.join(os.environ.get("EBB_BUILD", os.path.join(TREE, "build")), "ebb")
LIMIT = 60  # seconds that nothing takes


def pytest_addoption(parser):
    parser.addoption("--part", default="1/1", metavar="N/OF", help="only every OF-th test, from the N-th on")


def pytest_configure(config):
    config.addinivalue_line("markers", "together: the tests of this file share what takes long to make")


def pytest_collection_modifyitems(config, items):
    """The tests of --part. What takes long stands side by side in a file, and so comes to different parts."""
    number, parts = map(int, config.getoption("part").split("/"))
    units = [item.path if item.get_closest_marker("together") else item.nodeid for item in items]
    place = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    items[:] = [item for item, unit in zip(items, units) if place[unit] % parts == number - 1]


def wait(condition, what):
    """Waits until condition() holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Done:
    """How a run of ebb ended."""

    def __init__(self, done):
        self.status = done.returncode
        self.raw = done.stdout
        self.out = done.stdout.decode()
        self.err = done.stderr.decode("utf-8", "replace")
        # Nothing that steers a terminal, whatever the guest said.
        for stream in (done.stdout.decode(), self.err):
            assert all(c in "\n\t" or (c.isprintable() and not "\x7f" <= c < "\xa0") for c in stream), repr(stream)
        assert all(line.startswith("ebb: ") for line in self.err.splitlines()), self.err

    def json(self):
        assert self.status == 0 and self.err == "", (self.status, self.err)
        return json.loads(self.out)

    def failed(self, status, *words):
        """One line on standard error with these words, nothing on standard output."""
        assert self.status == status, (self.status, self.out, self.err)
        assert self.out == "" and self.err.count("\n") == 1, (self.out, self.err)
        for word in words:
            assert word in self.err, (word, self.err)
        return self


@pytest.fixture
def runtime():
    # Not pytest's own, whose paths are longer than a socket's may be.
    path = tempfile.mkdtemp(prefix="ebb-cli-")
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def no_images(runtime, monkeypatch):
    """Those of the user who runs the tests are not for them."""
    monkeypatch.setenv("XDG_DATA_HOME", os.path.join(runtime, "no-images"))


@pytest.fixture
def ebb(runtime):
    def run(*arguments, **popen):
        env = os.environ | {"EBB_RUNTIME_DIR": runtime, "TZ": "UTC"}
        popen = {"stdout": subprocess.PIPE} | popen
        return Done(subprocess.run([EBB, *map(str, arguments)], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   timeout=LIMIT, check=False, **popen))

    return run


@pytest.fixture
def fake(runtime):
    fakes = []

    def start(*args, **kwargs):
        fakes.append(Fake(runtime, *args, **kwargs))
        return fakes[-1]

    yield start
    for one in fakes:
        one.end()


def pytest_unconfigure(config):
    """The last line."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        stats = {kind: len(reporter.stats.get(kind, ())) for kind in ("passed", "failed", "skipped")}
        stats["failed"] += len(reporter.stats.get("error", ()))
        print("{passed} passed, {failed} failed, {skipped} skipped".format(**stats))


# Of the keeper's tests. Their helpers use this file, so they are imported late.


@pytest.fixture
def host(tmp_path):
    import keepers
    return keepers.Host(tmp_path)


@pytest.fixture
def keeper(host, runtime):
    import keepers
    started = []

    def start(*words, env=None, **how):
        started.append(keepers.Keeper(host, env or {"EBB_RUNTIME_DIR": runtime}, *words, **how))
        return started[-1]

    yield start
    for one in started:
        one.end(signal.SIGKILL)


@pytest.fixture
def trigger():
    import keepers
    one = keepers.Trigger()
    yield one
    one.close()
