# SPDX-License-Identifier: Apache-2.0
"""A driver that means harm, for a bounded time: the device outlives it (hostile.c)."""

import pytest
from payload import REPORTING


@pytest.mark.parametrize("test", ["unready", "flood", "registers", "rings"])
def test_hostile(run, test):
    payload = run("hostile", REPORTING, test=test)
    payload.passed(test)
    assert len(payload.errors) < 40, payload.stderr()
