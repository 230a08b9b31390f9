# SPDX-License-Identifier: Apache-2.0
"""One CPU reports while another works beside it (smp.c)."""

import pytest
from payload import REPORTING


@pytest.mark.parametrize("test", ["second-cpu", "beside"])
def test_two_cpus(run, test):
    run("smp", REPORTING, "-c", "2", test=test).passed(test)


def test_one_cpu_has_no_second(run):
    """The control: who is not there does not start."""
    payload = run("smp", REPORTING, "-c", "1", test="second-cpu", params="limit=500000000")
    payload.wait_for("^FAIL second-cpu: the second CPU does not start$")
    payload.ended()
