# SPDX-License-Identifier: Apache-2.0
"""What the tests of ebb-overcommit share."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

from figures import MIB, Record  # noqa: E402

# The smallest scenario, to which tests add what they are about.
SMALLEST = """
title = "t"
variants = ["none", "patched"]
[host]
memory = "1G"
[[guest]]
name = "g"
size = "512M"
job = "true"
"""


def pytest_unconfigure(config):
    """The last line: the totals, in the form that all layers of tests have."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        count = {key: len(reporter.stats.get(key, ())) for key in ("passed", "failed", "error", "skipped")}
        reporter.write_line(
            f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped"
        )


@pytest.fixture
def record():
    """record(held, …): a variant with a guest "g", a second between two samples; sizes in MiB."""

    def make(held, used=None, variant="patched", host=None, **outcome):
        result = Record(variant)
        result.take(["host", {"kernel": "6.1", "kind": "the whole host", "note": ""}])
        for i, (one, its) in enumerate(zip(held, used or held)):
            grown = {name: value if i == len(held) - 1 else 0 for name, value in (host or {}).items()}
            result.take(["sample", float(i), {"total": 1000 * MIB, "free": 0, "available": 900 * MIB, "swap": 0,
                                              "swap_ins": 0, "swap_outs": 0, "oom_kills": 0} | grown,
                         {"g": {"size": 512 * MIB, "held": one * MIB, "used": its * MIB}}])
        result.take(["end", float(len(held)), {"g": {"alive": True, "status": 0, "said": True, "late": False,
                                                     "time": 2.0, "console": [], "errors": ""} | outcome}])
        return result

    return make
