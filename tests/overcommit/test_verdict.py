# SPDX-License-Identifier: Apache-2.0
"""What must hold: every bound can be broken, and says so."""

import dataclasses

import figures as figs
import pytest
import scenario
import verdict
from conftest import SMALLEST


def judged(record, must, control=(400, 400), failed=(), used=None, **changed):
    """The claims on "patched", which held 200 MiB throughout, against a control."""
    found = scenario.parse("f", "n", SMALLEST + must)
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
    found = scenario.parse("f", "n", SMALLEST + "[must]\nfinish = false\ntime = 9.0")
    records = {"none": record([1, 1], variant="none", status=1), "patched": record([1, 1])}
    claims = verdict.judge(found, records, {name: figs.figures(one) for name, one in records.items()}, {})
    assert [claim.found for claim in claims if not claim.holds] == [
        "jobs' mean time: none to compare, since the control's jobs did not all end well"]


def test_a_run_that_did_not_end(record):
    assert broken(judged(record, "", failed={"patched": "its host died"})) == [
        "patched: its host died; must be: the run gets to its end"]


def test_a_control_that_did_not_run_holds_nothing_up(record):
    found = scenario.parse("f", "n", SMALLEST + "[must.patched]\npeak = 9.0")
    records = {"patched": record([1, 1])}
    claims = verdict.judge(found, records, {"patched": figs.figures(records["patched"])}, {"none": "its host died"})
    assert len([claim for claim in claims if not claim.holds]) == 2


def test_goals_are_told_with_what_they_are_missed_by(record):
    found = scenario.parse("f", "n", SMALLEST + "[goal.patched]\npeak = 0.5\nmean = 0.4\nexcess = 0.1\ntime = 1.0")
    records = {"none": record([400, 400], variant="none", time=2.0), "patched": record([200, 200], [160, 160], time=2.5)}
    figures = {name: figs.figures(one) for name, one in records.items()}
    told = [verdict.goal_text(goal) for goal in verdict.goals(found, figures)]
    assert [text[text.rindex(": ") + 2:] for text in told] == ["met", "missed by 0.10", "missed by 0.25", "missed by 0.15"]
    assert told[1] == ("goal, patched: mean is 0.50 of the control's (200 MiB of 400 MiB); goal: mean at most 0.4 of the "
                       "control's: missed by 0.10")
    # They are no claims: a run that misses them is no failure.
    assert not broken(verdict.judge(found, records, figures, {}))
    assert not verdict.goals(found, {"patched": figures["patched"]}), "without a control there is nothing to tell"


@pytest.mark.parametrize("status", [0, -11, "none: it hung"])
def test_a_keeper_has_to_live(record, status):
    one = record([1, 1], variant="keeper")
    one.take(["keeper", 0.5, "looking after the guests of this user"])
    one.take(["kept", {"requests": 3, "came": 5 << 20, "lent": 0, "status": status}])
    claims = verdict.variant_claims(scenario.Must(), one, figs.figures(one), None)
    told = [claim for claim in claims if "keeper" in claim.what]
    assert [claim.holds for claim in told] == [status == 0]
    assert told[0].found == f"asked 3 times, 5 MiB came at once, 0 MiB lent at the end; status {status}"
    assert one.keeper == [(0.5, "looking after the guests of this user")]


@pytest.mark.parametrize("asked, holds", [
    ({"times": 3, "late": 2, "failed": 0, "why": ""}, True),
    ({"times": 3, "late": 3, "failed": 0, "why": ""}, False),
    ({"times": 3, "late": 0, "failed": 1, "why": "it cannot"}, False),
    ({"times": 0, "late": 0, "failed": 0, "why": ""}, False),
])
def test_guests_that_are_asked_have_to_answer(record, asked, holds):
    one = record([1, 1], variant="asked")
    one.take(["asked", asked])
    claims = verdict.variant_claims(scenario.Must(), one, figs.figures(one), None)
    told = [claim for claim in claims if "asked" in claim.found]
    assert [claim.holds for claim in told] == [holds] and asked["why"] in told[0].found


@pytest.mark.parametrize("misses, bound, changed, holds", [
    ("swap_ins", "swap_ins = 3", {"host": {"swap_ins": 4}}, True),
    ("swap_ins", "swap_ins = 3", {"host": {"swap_ins": 3}}, False),
    ("half_back", "half_back = 10", {}, True),  # it does not rest
    ("alive", "alive = true", {"alive": False}, True),
    ("alive", "alive = true", {}, False),
])
def test_what_the_control_has_to_miss(record, misses, bound, changed, holds):
    """A keeper's bound that holds without one shows nothing."""
    resting = SMALLEST.replace("true", "echo ebb-job: phase rest")
    found = scenario.parse("f", "n", f"misses = ['{misses}']\n{resting}[must.none]\nalive = false\n[must.keeper]\n{bound}\n")
    one = record([400, 400], variant="none", **changed)
    claims = verdict.judge(found, {"none": one, "patched": record([1])},
                           {"none": figs.figures(one), "patched": figs.figures(record([1]))}, {})
    missed = [claim for claim in claims if "missed without a keeper" in claim.what]
    assert [(claim.variant, claim.holds) for claim in missed] == [("none", holds)]


def test_a_guest_that_may_die(record):
    text = SMALLEST + "may_die = true\n"
    for job, broken_claims in ((text, 0), (SMALLEST, 2)):
        found = scenario.parse("f", "n", job)
        one = record([1], alive=False, status=None)
        claims = verdict.judge(found, {"none": record([1], variant="none"), "patched": one},
                               {"none": figs.figures(record([1], variant="none")), "patched": figs.figures(one)}, {})
        assert sum(not claim.holds for claim in claims) == broken_claims


@pytest.mark.parametrize("half_back, warm, says", [
    (9.0, 2.0, []),
    (10.5, 2.0, ["half is back after 10.5 s"]),
    (None, 2.2, ["warm reads' mean time is 1.10 of the control's (2.2 s of 2.0 s)", "half is never back"]),
])
def test_half_back_and_warm_reads(record, half_back, warm, says):
    control = dataclasses.replace(figs.figures(record([1])), warm=2.0)
    ours = dataclasses.replace(control, half_back=half_back, warm=warm)
    claims = verdict.bound_claims(scenario.Must(half_back=10, warm=1.05), ours, control)
    assert len(claims) == 2 and [claim.found for claim in claims if not claim.holds] == says
