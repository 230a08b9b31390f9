# SPDX-License-Identifier: Apache-2.0
"""each.py LOGS FILE… [-- PYTEST-ARGUMENT…]: runs pytest for each file of tests, one after the other.

Each has a process and, in the folder LOGS, a log of its own, named as the file. To import pytest takes an emulated host
some seconds: this is done once, before the processes are forked. The logs tell how they ended.
"""

import os
import sys

import pytest


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
    for file in files:
        run(file, os.path.join(logs, os.path.basename(file).removesuffix(".py")), words)


if __name__ == "__main__":
    main()
