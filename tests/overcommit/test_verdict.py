# SPDX-License-Identifier: Apache-2.0
"""What must hold: every bound can be broken, and says so."""

import figures as figs
import pytest
import scenario
import verdict

TEXT = """
title = "t"
variants = ["none", "patched"]
[host]
memory = "1G"
[[guest]]
name = "g"
size = "512M"
job = "true"
"""


def judged(record, must, control=(400, 400), failed=(), used=None, **changed):
    """The claims on "patched", which held 200 MiB throughout, against a control."""
    found = scenario.parse("f", "n", TEXT + must)
    records = {"none": record(list(control), variant="none"), "patched": record([200, 200], used, **changed)}
    figures = {name: figs.figures(one) for name, one in records.items()}
    claims = verdict.judge(found, records, figures, dict(failed))
    return [claim for claim in claims if claim.variant == "patched"]


def broken(claims):
    return [str(claim) for claim in claims if not claim.holds]


def test_without_bounds_jobs_end_and_nobody_dies(record):
    claims = judged(record, "")
    assert len(claims) == 3 and not broken(claims)


@pytest.mark.parametrize("changed, says", [
    ({"status": 3}, "patched: g's job ended with status 3; must be: every job ends"),
    ({"status": None}, "patched: g's job did not end in time;"),
    ({"said": False}, "patched: g's job did not say what it was to say;"),
    ({"late": True}, "patched: g's job ended too late;"),
    ({"alive": False}, "patched: g died; must be: no guest dies"),
    ({"host": {"oom_kills": 1}}, "patched: OOM kills on the host: 1; must be: OOM kills on the host at most 0"),
])
def test_what_is_asked_of_all(record, changed, says):
    found = broken(judged(record, "", **changed))
    assert len(found) == 1 and found[0].startswith(says)


@pytest.mark.parametrize("name, holds, breaks", [("peak", 0.5, 0.49), ("mean", 0.5, 0.49), ("time", 1.0, 0.99)])
def test_bounds_in_parts_of_the_control(record, name, holds, breaks):
    assert not broken(judged(record, f"[must.patched]\n{name} = {holds}"))
    found = broken(judged(record, f"[must.patched]\n{name} = {breaks}"))
    assert len(found) == 1 and "of the control's (" in found[0] and f"at most {breaks} of the control's" in found[0]


def test_swap_ins_are_only_counted_where_asked(record):
    assert not broken(judged(record, "", host={"swap_ins": 9}))
    assert broken(judged(record, "[must]\nswap_ins = 8", host={"swap_ins": 9}))
    assert not broken(judged(record, "[must]\nswap_ins = 9", host={"swap_ins": 9}))


def test_excess(record):
    assert not broken(judged(record, "[must.patched]\nexcess = 0.25", used=[160, 160]))
    found = broken(judged(record, "[must.patched]\nexcess = 0.24", used=[160, 160]))
    assert found == ["patched: excess after clean-up is 25.0% (40 MiB beyond 160 MiB); must be: excess after clean-up at "
                     "most 24% of what guests use"]


def test_a_control_whose_jobs_failed_gives_no_ratio(record):
    found = scenario.parse("f", "n", TEXT + "[must]\nfinish = false\ntime = 9.0")
    records = {"none": record([1, 1], variant="none", status=1), "patched": record([1, 1])}
    claims = verdict.judge(found, records, {name: figs.figures(one) for name, one in records.items()}, {})
    assert [claim.found for claim in claims if not claim.holds] == [
        "jobs' mean time: none to compare, since the control's jobs did not all end well"]


def test_a_run_that_did_not_end(record):
    assert broken(judged(record, "", failed={"patched": "its host died"})) == [
        "patched: its host died; must be: the run gets to its end"]


def test_a_control_that_did_not_run_holds_nothing_up(record):
    found = scenario.parse("f", "n", TEXT + "[must.patched]\npeak = 9.0")
    records = {"patched": record([1, 1])}
    claims = verdict.judge(found, records, {"patched": figs.figures(records["patched"])}, {"none": "its host died"})
    assert len([claim for claim in claims if not claim.holds]) == 2
