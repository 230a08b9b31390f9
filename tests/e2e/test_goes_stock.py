# SPDX-License-Identifier: Apache-2.0
"""The control of test_goes.py, by the real clock: by a counted one a stock kernel has always reported 84 MiB before, more
than half of what near_the_report() looks for, and the moment is not found.
"""

import pytest
from conftest import BROKEN_AT_POWEROFF, lib
from test_goes import Saved, near_the_report

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]


def test_a_stock_kernel_warns(ebb, tmp_path):
    """At some moment it does, and panics."""
    stock = Saved(ebb, tmp_path / "stock", lib.STOCK_VMLINUX, 1)
    for guest, _ in near_the_report(ebb, stock, 64):
        if guest.process.returncode:
            break
    ebb.guests.remove(guest)  # its kernel complains, as it should
    assert guest.process.returncode == 1 and BROKEN_AT_POWEROFF.search(guest.console()), guest.console()
