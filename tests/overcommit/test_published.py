# SPDX-License-Identifier: Apache-2.0
"""What stands beside the published figures, and the text that a run leaves."""

import figures as figs
import published
import report
import runner
import scenario
from conftest import SMALLEST

TEXT = SMALLEST.replace('"patched"', '"stock", "patched"') + """
[published]
who = "somebody"
size = "16G"
[published.none]
footprint = 100.0
peak = 40.0
[published.patched]
footprint = 54.0
cleaned = 4.0
peak = 28.0
time = 1.01
"""


def run_of(record, variant, held, **outcome):
    one = record(held, variant=variant, **outcome)
    for when, text in ((0.0, "phase built"), (1.0, "phase cleaned"), (2.0, "done")):
        one.take(["mark", when, "g", text])
    return one


def whole(record):
    found = scenario.parse("f", "n", TEXT)
    records = {"none": run_of(record, "none", [400, 400, 400], time=4.0),
               "stock": run_of(record, "stock", [400, 300, 200], time=4.0),
               "patched": run_of(record, "patched", [200, 200, 64], time=5.0)}
    return found, records, {name: figs.figures(one) for name, one in records.items()}


def test_each_beside_its_own_control_and_its_own_guest(record):
    header, none, stock, patched = published.rows(*whole(record))
    rows = {row[0]: dict(zip(header[1:3] + ["cleaned", "part", "dropped", "dropped part", "peak", "peak part", "time"], row[1:]))
            for row in (none, stock, patched)}
    assert rows["ebb, no reclaim"]["of none"] == "1.00 (1.00)"
    ours = rows["ebb, our kernel"]
    assert (ours["mean"], ours["of none"]) == ("166 MiB", "0.41 (0.54)")
    assert (ours["cleaned"], ours["part"]) == ("64 MiB", "0.12 (0.25)"), "of 512 MiB, and of 16 GiB"
    assert (ours["dropped"], ours["dropped part"]) == ("–", "–"), "a phase that was not"
    assert (ours["peak part"], ours["time"]) == ("0.50 (0.70)", "1.25 (1.01)")
    assert rows["ebb, stock kernel"]["of none"] == "0.75", "nothing published: nothing in brackets"


def test_nothing_published_and_no_control(record):
    found, records, figures = whole(record)
    del figures["none"]
    assert published.rows(found, records, figures) == []
    found.published = None
    assert published.rows(*whole(record)) and published.rows(found, records, whole(record)[2]) == []


def test_the_text_that_is_left(record, tmp_path):
    found, records, figures = whole(record)
    host = runner.Host(True, "which counts", 1200)
    report.write_text(tmp_path, found, host, report.text(found, records, figures, []), [])
    text = (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert "ebb-overcommit --count configs/overcommit/n.toml; host: 1 GiB, which counts" in text
    assert "0.41 (0.54)" in text and "published: somebody" in text
