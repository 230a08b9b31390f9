# SPDX-License-Identifier: Apache-2.0
"""each.py LOGS FILE… [-- PYTEST-ARGUMENT…]: runs pytest for each file of tests, one after the other.

Each has a process and, in the folder LOGS, a log of its own, named as the file. The logs tell how they ended.

To import pytest with its plugins, and what all tests need, takes an emulated host some seconds: this is done once, before
the processes are forked. What pytest makes of the tests themselves, so that it can explain a failed assertion, is read from
the folder where tests/e2e/run has it made.
"""

import importlib
import os
import sys

import pytest
from _pytest.config import default_plugins

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(file, log, words):
    """Runs pytest for a file, and waits for it."""
    child = os.fork()
    if child == 0:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
        sys.exit(pytest.main([*words, file]))
    os.waitpid(child, 0)


def main():
    logs, *files = sys.argv[1:]
    words = []
    if "--" in files:
        at = files.index("--")
        files, words = files[:at], files[at + 1:]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others than its own: looking for them takes long, too
    for name in ("http.server", *("_pytest." + plugin for plugin in default_plugins)):
        importlib.import_module(name)
    sys.pycache_prefix = os.path.join(os.environ.get("EBB_BUILD", os.path.join(TREE, "build")), "e2e", "python")
    for file in files:
        run(file, os.path.join(logs, os.path.basename(file).removesuffix(".py")), words)


if __name__ == "__main__":
    main()
