# SPDX-License-Identifier: Apache-2.0
"""What the demo decides for itself: where texts stand in its picture."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))

from demo_chart import sides  # noqa: E402


@pytest.mark.parametrize("second, wanted", [(1.0, "<>"), (1.1, "<>"), (3.9, "<>"), (4.0, "><"), (9.0, "><")])
def test_texts_stand_outside_of_marks_that_are_close(second, wanted):
    assert "".join(sides(1.0, second, 3.0)) == wanted
