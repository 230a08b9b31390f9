# SPDX-License-Identifier: Apache-2.0
"""Wrong requests on the queues of inflate, deflate and statistics: refused or answered (misuse.c)."""

import pytest
from payload import BALLOON


@pytest.mark.parametrize("test", ["refused", "answered", "not-inside", "stats-length"])
def test_misuse(run, test):
    payload = run("misuse", BALLOON, test=test, memory="64M")
    payload.passed(test)
    assert len(payload.errors) < 40, payload.stderr()
    assert ("the device stops until it is reset" in payload.stderr()) == (test in ("refused", "stats-length"))
