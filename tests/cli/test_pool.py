# SPDX-License-Identifier: Apache-2.0
"""ebb pool: mistakes. tests/payload/test_pool.py has pools."""

import pytest


@pytest.mark.parametrize("words, said", [
    ((), "name the pool"),
    (("take",), "name the pool"),
    (("web",), "a pool needs a snapshot: ebb pool web --from DIR"),
    (("web", "--from", ""), "a pool needs a snapshot"),
    (("web", "--from", "-"), "clones share a snapshot in a folder, and \"-\" is none"),
    (("web", "--from", "/nonexistent"), "there is no snapshot in '/nonexistent'"),
    (("web", "other"), "two names are given: 'web' and 'other'"),
    (("a/b",), "contains a slash"),
    (("x" * 60,), "is too long"),
    (("web", "--ready", "0"), "\"0\" is not a number of guests; write 1 to 100"),
    (("web", "--ready", "101"), "write 1 to 100"),
    (("take", "web"), "no pool called \"web\" runs; \"ebb pool web --from DIR\" starts one"),
    (("take", "web", "--ready", "2"), "takes no options"),
    (("take", "web", "--", "--rng"), "takes no options"),
], ids=str)
def test_mistakes(ebb, words, said):
    ebb("pool", *words).failed(2, said)
