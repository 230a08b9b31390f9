# SPDX-License-Identifier: Apache-2.0
"""The control of what every test looks for: which words of a guest's kernel make a test fail, and which do not."""

import types

import pytest
from conftest import lib, trouble

BROKEN = "WARNING: CPU: 0 PID: 27 at drivers/virtio/virtio_balloon.c:251 virtballoon_free_page_report+0x10f/0x120"
OTHER = "WARNING: CPU: 0 PID: 27 at mm/page_alloc.c:4712 __alloc_pages+0x1f/0x320"
TRACE = "Call Trace:"
KILLED = "Out of memory: Killed process 52 (hold) total-vm:69840kB, anon-rss:41344kB"
EXIT = "ebb-guest: exit=0"


def complaints(said, kernel):
    started = types.SimpleNamespace(
        argv=["ebb", "run", "-k", kernel],
        lines=[(float(at), f"[    1.0] {text}" if text != EXIT else text) for at, text in enumerate(said)],
    )
    return [text.splitlines()[-1] for text in trouble(started)]


@pytest.mark.parametrize("said, found", [
    (["ebb-guest: init", EXIT], []),
    ([OTHER, TRACE, EXIT], [OTHER, TRACE]),
    (["sh invoked oom-killer: gfp_mask=0x140dca", TRACE, EXIT], []),
    (["sh invoked oom-killer: gfp_mask=0x140dca", TRACE, TRACE], [TRACE]),
    ([KILLED, "hold: page allocation failure: order:0", TRACE, EXIT], []),
    (["hold: page allocation failure: order:0", TRACE, KILLED], [TRACE]),
    ([KILLED, "sh: page allocation failure: order:0", TRACE], [TRACE]),
    # A report that falls into the power-off: of a stock kernel once, there, and nothing beside it.
    ([EXIT, BROKEN, TRACE], []),
    ([BROKEN, TRACE, EXIT], [BROKEN, TRACE]),
    ([EXIT, BROKEN, TRACE, BROKEN, TRACE], [BROKEN, TRACE]),
    ([EXIT, BROKEN, TRACE, OTHER, TRACE], [OTHER, TRACE]),
    ([EXIT, BROKEN.replace("free_page_report", "probe"), TRACE], [BROKEN.replace("free_page_report", "probe"), TRACE]),
])
def test_trouble(said, found):
    assert complaints(said, lib.STOCK_VMLINUX) == [f"[    1.0] {text}" for text in found]


def test_ours_is_not_excused():
    assert complaints([EXIT, BROKEN, TRACE], lib.KERNEL) == [f"[    1.0] {text}" for text in (BROKEN, TRACE)]
