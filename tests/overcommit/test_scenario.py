# SPDX-License-Identifier: Apache-2.0
"""Scenarios: what they mean, and one line for each mistake."""

import glob
import json
import os
import subprocess

import pytest
import scenario
from conftest import HERE, TREE

GOOD = """
title = "t"
[host]
memory = "1G"
[[guest]]
name = "a"
size = "512M"
job = "true"
"""


def test_what_is_not_told():
    found = scenario.parse("f", "n", GOOD)
    assert found.variants == scenario.ALWAYS == ["none", "qemu", "stock", "patched", "free"]
    assert found.goals == {} and found.published is None and found.ask is None
    assert found.memory == 1 << 30 and found.swap == 0
    assert [(one.name, one.size, one.cpus, one.start) for one in found.guests] == [("a", 512 << 20, 1, 0.0)]
    assert found.must["patched"] == scenario.Must(finish=True, alive=True, oom_kills=0)


def test_a_count_makes_guests_that_start_one_after_the_other():
    found = scenario.parse("f", "n", GOOD + "count = 3\nstart = 5\nstagger = 10\ntimeout = 7")
    assert [(one.name, one.start, one.in_turn) for one in found.guests] == [
        ("a1", 5.0, False), ("a2", 15.0, False), ("a3", 25.0, False)]
    assert found.limit == 32.0
    found = scenario.parse("f", "n", GOOD + "count = 3\nstart = 5\nstagger = 10\nin_turn = true\ntimeout = 7")
    assert [(one.start, one.in_turn) for one in found.guests] == [(5.0, False), (10.0, True), (10.0, True)]
    assert found.limit == 5 + 7 + 2 * (10 + 7)


def test_in_turn_goes_on_from_one_table_to_the_next():
    second = GOOD[GOOD.index("[[guest]]"):].replace('"a"', '"b"') + "count = 2\nstagger = 4\nin_turn = true\n"
    found = scenario.parse("f", "n", GOOD + second)
    assert [(one.name, one.start, one.in_turn) for one in found.guests] == [
        ("a", 0.0, False), ("b1", 4.0, True), ("b2", 4.0, True)]
    found = scenario.parse("f", "n", GOOD + second + "start = 9\n")
    assert [(one.name, one.start, one.in_turn) for one in found.guests] == [
        ("a", 0.0, False), ("b1", 9.0, False), ("b2", 4.0, True)]


def test_bounds_of_all_and_of_one():
    found = scenario.parse("f", "n", GOOD + "[must]\nswap_ins = 0\npeak = 0.9\n[must.patched]\npeak = 0.5\nfinish = false")
    assert found.must["stock"].peak == 0.9 and found.must["patched"].peak == 0.5
    assert found.must["stock"].finish and not found.must["patched"].finish
    assert found.must["none"].swap_ins == 0
    assert found.must["none"].peak is None, "the control is not held against itself"


ALL = GOOD + """
[must.patched]
peak = 0.5
[goal.asked]
excess = 0.1
[ask]
every = 10
options = "--compact"
[published]
who = "some"
size = "16G"
[published.patched]
peak = 28.1
"""


def test_goals_what_guests_are_asked_and_what_is_published():
    found = scenario.parse("f", "n", ALL)
    assert found.variants == [*scenario.ALWAYS, "asked"], "whoever says what is asked gets that variant, too"
    assert found.goals == {"asked": scenario.Goal(excess=0.1)} and found.ask == scenario.Ask(10.0, "--compact")
    assert found.published == scenario.Published("some", 16 << 30, {"patched": {"peak": 28.1}})


def test_a_keeper_is_bound_in_a_file_whose_variants_it_is_none_of():
    found = scenario.parse("f", "n", GOOD + "[must.keeper]\npeak = 0.6\n[goal.stock-keeper]\nmean = 0.3\n")
    assert "keeper" not in found.variants
    assert found.must["keeper"].peak == 0.6 and found.goals == {"stock-keeper": scenario.Goal(mean=0.3)}
    for variant in scenario.BESIDE_KEEPER:
        assert found.must[variant].finish, "--keeper runs it"


def test_a_keeper_runs_beside_reporting_alone():
    found = scenario.parse("f", "n", GOOD)
    found.keep()
    assert found.variants == scenario.BESIDE_KEEPER and found.options == ["--keeper"]
    with pytest.raises(scenario.ScenarioError, match="--keeper: a file is wanted"):
        scenario.parse("f", "n", 'variants = ["patched"]\n' + GOOD).keep()


def test_beside_a_bound_keeper_the_others_are_compared_with():
    """What a keeper mends does not hold without it: that is no failure of the keeper's run."""
    text = GOOD + "[must]\nswap_ins = 0\n[must.patched]\npeak = 0.5\nexcess = 0.3\n"
    found = scenario.parse("f", "n", text + "[must.keeper]\npeak = 0.6\n")
    assert found.must["patched"].peak == 0.5, "without --keeper"
    found.keep()
    assert found.must["patched"] == scenario.Must(swap_ins=0) and found.must["keeper"].peak == 0.6
    assert found.goals == {"patched": scenario.Goal(peak=0.5, excess=0.3)}, "that is told still"
    found = scenario.parse("f", "n", text + "[must.keeper]\npeak = 0.6\n[goal.patched]\npeak = 0.9\nexcess = 0.1\nmean = 0.4\n")
    found.keep()
    assert found.goals == {"patched": scenario.Goal(peak=0.5, excess=0.1, mean=0.4)}, "the narrower of both"
    found = scenario.parse("f", "n", text)
    found.keep()
    assert (found.must["patched"].peak, found.must["patched"].excess) == (0.5, 0.3), "nothing else is bound there"
    assert not found.goals


def test_times_by_a_clock_that_is_not_counted_are_goals():
    """Those that are named; the others bind."""
    text = GOOD + "[must.keeper]\npeak = 0.6\ntime = 1.02\n[must.patched]\ntime = 1.5\n[goal.keeper]\npeak = 0.5\ntime = 1.1\n"
    found = scenario.parse("f", "n", 'counted = ["time"]' + text)
    assert found.must["keeper"].time == 1.02 and found.must["patched"].time == 1.5
    found.uncount()
    assert found.must["keeper"] == scenario.Must(peak=0.6) and found.must["patched"] == scenario.Must()
    assert found.goals == {"keeper": scenario.Goal(peak=0.5, time=1.02), "patched": scenario.Goal(time=1.5)}
    found = scenario.parse("f", "n", text)
    found.uncount()
    assert found.must["keeper"].time == 1.02 and found.goals == {"keeper": scenario.Goal(peak=0.5, time=1.1)}


def test_memhog_binds_reporting_alone():
    """But for the peak, which it misses, in all that the keeper is bound to."""
    found = scenario.load(os.path.join(TREE, "configs", "overcommit", "memhog.toml"))
    assert found.must["patched"] == scenario.Must(swap_ins=0, mean=0.75, excess=0.3) and found.goals == {"patched": scenario.Goal(peak=0.69)}


def test_by_way_of_json():
    found = scenario.parse("f", "n", ALL)
    assert scenario.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize("text, says", [
    ("title = ", "f: "),
    (GOOD.replace("title", "tittle"), "f: title: is missing"),
    (GOOD.replace('title = "t"', 'title = "t"\ncolour = 1'), "f: colour: there is no such key"),
    (GOOD.replace('"1G"', "1"), "f: host.memory: a text is wanted, not 1"),
    (GOOD.replace('"1G"', '"1T"'), "f: host.memory: a size such as"),
    (GOOD.replace('"1G"', '"1M"'), "f: host.memory: 256M or more is wanted"),
    (GOOD.replace("memory", "memroy"), "f: host.memory: is missing"),
    (GOOD.replace("[host]", "[host]\nswop = 1"), "f: host.swop: there is no such key"),
    (GOOD.split("[[guest]]")[0], "f: guest: one [[guest]] at least"),
    (GOOD + "cpus = 0", "f: guest 1.cpus: 1 or more"),
    (GOOD + "cpus = true", "f: guest 1.cpus: a whole number is wanted"),
    (GOOD + "stagger = -1", "f: guest 1.stagger: 0 or more"),
    (GOOD + "disk = 'fedora'", "f: guest 1.disk: \"debian\" or \"empty\" is wanted"),
    (GOOD + "disk = 'empty'", "f: guest 1.scratch: the size of the empty disk is wanted"),
    (GOOD + "scratch = '1G'", "f: guest 1.scratch: only a guest with a disk"),
    (GOOD + "says = '('", "f: guest 1.says: is no regular expression"),
    (GOOD + "jobs = 1", "f: guest 1.jobs: there is no such key"),
    (GOOD.replace('"true"', "'a \"b\"'"), "f: guest 1.job: a command"),
    (GOOD.replace('"a"', '"A b"'), "f: guest 1.name: small letters"),
    (GOOD + GOOD[GOOD.index("[[guest]]"):], "f: guest 2.name: there are two"),
    ('variants = ["xen"]' + GOOD, "f: variants: there is no 'xen'"),
    ("variants = []" + GOOD, "f: variants: one at least"),
    (GOOD + "[must]\npaek = 1", "f: must.paek: there is no such key"),
    (GOOD + "[must]\npeak = 'low'", "f: must.peak: a number is wanted"),
    (GOOD + "[must.xen]\npeak = 1", "f: must.xen: there is no such variant"),
    (GOOD + "[must.none]\npeak = 1", "f: must.none.peak: this is the control"),
    ('variants = ["asked"]' + GOOD, 'f: variants: "asked" wants a table [ask]'),
    (GOOD + "[ask]\nevery = 0", "f: ask.every: 1 or more"),
    (GOOD + "[ask]\nevery = 1\noption = ''", "f: ask.option: there is no such key"),
    (GOOD + "[goal]\npeak = 1", "f: goal.peak: a goal is of one variant"),
    (GOOD + "[goal.none]\npeak = 1", "f: goal.none: a goal is of one variant"),
    (GOOD + "[goal.xen]\npeak = 1", "f: goal.xen: there is no such variant"),
    (GOOD + "[goal.patched]\nfinish = 1", "f: goal.patched.finish: there is no such key"),
    (GOOD + "[published]\nwho = 'a'", "f: published.size: is missing"),
    (GOOD + "[published]\nwho = 'a'\nsize = '1G'\n[published.stock]\npaek = 1", "f: published.stock.paek: there is no"),
    ('variants = ["patched"]' + GOOD + "[must]\npeak = 1", 'f: variants: "none" is missing'),
    (GOOD + "[must]\nwarm = 1.05", 'f: warm: wants a job that prints "ebb-job: phase warm"'),
    (GOOD + "[goal.patched]\nhalf_back = 10", 'f: half_back: wants a job that prints "ebb-job: phase rest"'),
    ('misses = ["peak"]' + GOOD, "f: misses: alive, oom_kills, swap_ins or half_back is wanted"),
    ('misses = ["swap_ins"]' + GOOD, "f: misses: [must.keeper] has no swap_ins"),
    ('counted = ["peak"]' + GOOD, "f: counted: time or warm is wanted"),
    ('counted = ["time"]' + GOOD, "f: counted: [must] has no time"),
    ('misses = ["alive"]' + GOOD + "[must.keeper]\nalive = false", "f: misses: [must.keeper] has no alive"),
])
def test_mistakes(text, says):
    with pytest.raises(scenario.ScenarioError) as error:
        scenario.parse("f", "n", text)
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(GOOD + "jobs = 1")
    done = subprocess.run([os.path.join(HERE, "ebb-overcommit"), str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ebb-overcommit: {path}: guest 1.jobs: there is no such key\n"


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(TREE, "configs", "overcommit", "*.toml"))),
                         ids=os.path.basename)
def test_those_in_the_tree(path):
    found = scenario.load(path)
    if "keeper" in found.variants:
        must = found.must["keeper"]
        missed = found.misses or [name for name in ("peak", "mean", "time") if (getattr(must, name) or 1) < 1]
        assert must.finish and must.alive and missed, "the control misses a bound"
        return
    bound = found.goals["patched"] if os.path.basename(path) == "memhog.toml" else found.must["patched"]
    assert found.must["patched"].finish and bound.peak is not None
