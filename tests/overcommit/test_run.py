# SPDX-License-Identifier: Apache-2.0
"""ebb-overcommit itself: the quick scenario, and one that must fail. Guests run where runner.choose() finds KVM."""

import csv
import os
import re
import subprocess

import pytest
from conftest import HERE, TREE

LIMIT = 3600  # for all variants, on a machine however busy
BUILD = os.environ.get("EBB_BUILD", os.path.join(TREE, "build"))

# A guest without reporting that frees memory: it does not come back, so that this bound cannot hold.
BROKEN = """
title = "Nobody takes back what this guest frees"
variants = ["none"]
settle = 3
[host]
memory = "768M"
[[guest]]
name = "g"
size = "640M"
job = "hold 200M --hold 1"
says = '^hold: done$'
[must.none]
excess = 0.5
"""


@pytest.fixture(autouse=True)
def built():
    for name in ("ebb", "guest/vmlinux", "guest/stock/vmlinux", "guest/initramfs.cpio"):
        assert os.path.exists(os.path.join(BUILD, name)), f"no {name}: `make all guest` builds it"


def overcommit(*words):
    return subprocess.run([os.path.join(HERE, "ebb-overcommit"), *map(str, words)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("options, hold", [
    (["--keeper", "--only", "none", "--only", "keeper"], "7 of 8 hold"),
    (["--count"], "3 of 4 hold"),
], ids=["its own clock, and a keeper beside it", "counted"])
def test_what_must_fail_fails_with_its_reason_first(tmp_path, options, hold):
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN)
    done = overcommit(*options, "--out", tmp_path / "out", path)
    assert done.returncode == 1, done.stdout + done.stderr
    reason = r"ebb-overcommit: none: excess after clean-up is (\d+\.\d)% \(.*\); must be: .* at most 50% of what guests use"
    match = re.fullmatch(reason, done.stderr.strip())
    assert match, done.stderr
    assert float(match[1]) > 100, "200 MiB are held beyond what such a guest uses"
    assert hold in done.stdout
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.index("What must hold does not") < page.index("<svg"), "the reason comes before the figures"
    if "--keeper" in options:
        said = (tmp_path / "out" / "keeper.log").read_text(encoding="utf-8")
        assert "looking after the guests of this user" in said, "one ran beside the guest"


def test_quick(tmp_path):
    """What `make overcommit` shows."""
    done = overcommit("--out", tmp_path, os.path.join(TREE, "configs", "overcommit", "quick.toml"))
    assert done.returncode == 0, done.stdout + done.stderr
    with open(tmp_path / "figures.csv", encoding="utf-8") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["none", "qemu", "stock", "patched", "free"]
    # Where nothing is taken back, all that was freed stays: else the others were compared with nothing.
    assert float(rows["none"]["excess_part"]) > 1
    assert int(rows["none"]["reported"]) == 0 < int(rows["patched"]["reported"])
    for name in ("chart.svg", "chart.png", "detail.svg", "detail.png", "marks.csv", *(f"{row}.csv" for row in rows)):
        assert (tmp_path / name).stat().st_size > 1000, name
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and not re.search(r'(?:src|href)="(?!#)', page), "it needs no other file"
