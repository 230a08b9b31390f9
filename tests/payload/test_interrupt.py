# SPDX-License-Identifier: Apache-2.0
"""The device's interrupt reaches the guest (interrupt.c)."""

import pytest
from payload import REPORTING


@pytest.mark.parametrize("test", ["arrives", "once", "not-wanted", "needs-reset"])
def test_interrupt(run, test):
    run("interrupt", REPORTING, test=test).passed(test)
