# SPDX-License-Identifier: Apache-2.0
"""From samples to figures."""

import figures as figs
import pytest
from figures import MIB


def test_peak_integral_and_excess(record):
    found = figs.figures(record([100, 300, 200, 200, 200, 200], [100, 300, 100, 100, 100, 180]))
    assert found.peak == 300 * MIB and found.peak_at == 1.0 and found.used_peak == 300 * MIB
    assert found.integral == (200 + 250 + 3 * 200) * MIB and found.mean == found.integral / 5
    # Two seconds fall from 300 to 100 and rise to 180: 200 + 200 + 100 + 100 + 140.
    assert found.used_integral == (200 + 200 + 100 + 100 + 140) * MIB
    assert found.excess == pytest.approx((1050 - 740) / 5 * MIB)
    assert found.excess_end == 80 * MIB and found.excess_part == pytest.approx(80 / 120)
    assert found.time == 2.0 and (found.jobs, found.guests, found.died) == (1, 1, 0)


def test_what_is_swapped_out_has_to_be_kept_too():
    record = figs.Record("none")
    host = {"total": 1, "available": 1, "swap_ins": 5, "swap_outs": 0, "oom_kills": 1}
    record.take(["sample", 0.0, host, {"a": {"held": 100, "swapped": 50, "used": 150}}])
    record.take(["sample", 1.0, host | {"swap_ins": 12}, {"a": {"held": 80, "swapped": 90, "used": 160}}])
    record.take(["end", 1.0, {"a": {"alive": False, "status": None, "said": False, "late": False, "time": None}}])
    found = figs.figures(record)
    assert found.peak == 170 and found.swap_ins == 7 and found.oom_kills == 0
    assert found.died == 1 and found.jobs == 0 and found.time is None


def test_memory_that_the_host_may_take_is_not_held():
    record = figs.Record("free")
    record.take(["sample", 0.0, {"total": 1, "available": 1}, {"a": {"held": 100, "lazy": 400, "used": 100}}])
    assert figs.sums(record) == [(0.0, 100, 100, 0, 400, 0)]


def test_a_guest_that_does_not_answer_keeps_its_figures_and_one_that_is_gone_has_none():
    record = figs.Record("none")
    for rows in ({"a": {"held": 10, "used": 5}, "b": {"held": 1}}, {"a": {}, "b": {"held": 2}}, {"b": {"held": 3}}):
        record.take(["sample", 0.0, {}, rows])
    assert [(point[1], point[2]) for point in figs.sums(record)] == [(11, 6), (12, 7), (3, 3)]


def test_phases():
    record = figs.Record("none")
    for i, held in enumerate((10, 20, 30, 40)):
        record.take(["sample", float(i), {}, {"a": {"held": held, "used": 5}, "b": {"held": 2 * held, "used": 5}}])
    for when, guest, text in ((0.5, "a", "phase build"), (1.5, "b", "phase build"), (1.5, "a", "phase clean"),
                              (2.5, "a", "done"), (2.5, "b", "done"), (0.1, "a", "starts")):
        record.take(["mark", when, guest, text])
    record.take(["end", 4.0, {"a": {}, "b": {}}])
    # a built until 1.5 (held 20 at 1.0), b until 2.5 (60 at 2.0).
    assert figs.phases(record) == {"build": (40, 5), "clean": (30, 5)}


def test_samples_at_uneven_times():
    assert figs.integral([(1.0, 10), (2.0, 10), (5.0, 20)]) == 10 + 10 + 45
    assert figs.integral([]) == 0


def test_a_run_without_an_end_has_no_figures(record):
    whole = record([1])
    whole.outcome = {}
    with pytest.raises(figs.RunError):
        figs.figures(whole)


@pytest.mark.parametrize("outcome", [{"status": 1}, {"said": False}, {"late": True}, {"status": None}])
def test_time_is_of_jobs_that_ended_well(record, outcome):
    assert figs.figures(record([1, 1], **outcome)).time is None


@pytest.mark.parametrize("held, after", [
    ((900, 400, 300, 200, 100, 100), 1.5),
    ((100, 400, 300, 201, 200, 100), 2.5),
    ((100, 400, 300, 201, 201, 100), None),  # only when it works again
])
def test_half_of_what_a_guest_held_is_back_while_it_rests(record, held, after):
    found = record(held)
    for when, text in ((0.0, "starts"), (1.5, "phase rest"), (4.5, "phase warm"), (5.25, "done")):
        found.take(["mark", when, "g", text])
    assert figs.figures(found).half_back == after and figs.figures(found).warm == 0.75


def test_without_such_phases_there_are_no_such_figures(record):
    found = figs.figures(record([1, 1]))
    assert found.half_back is None and found.warm is None
