# SPDX-License-Identifier: Apache-2.0
"""ebb reclaim, with a guest that behaves, one that cannot, and one that is none."""

import copy
import json
import threading
import time

import pytest
from fake import MIB, RECLAIM, Refusal, Silence
from test_hostile import ANSWERS

LINE = "ci: 512.0 MiB came back in 0.13 s, 46.0 MiB are left; the guest reported 520.0 MiB\n"


def answer(**changes):
    return lambda _arguments: copy.deepcopy(RECLAIM) | changes


@pytest.mark.parametrize("words, asked", [
    ([], {"cache": 0, "compact": False, "timeout": 10.0}),
    (["--cache", "all", "--compact"], {"cache": "all", "compact": True, "timeout": 10.0}),
    (["--cache=64", "--timeout=0.5"], {"cache": 64 * MIB, "compact": False, "timeout": 0.5}),
    (["--cache=1G", "--timeout", "60"], {"cache": 1024 * MIB, "compact": False, "timeout": 60.0}),
    (["--cache=1024K"], {"cache": MIB, "compact": False, "timeout": 10.0}),
], ids=str)
def test_what_is_asked(ebb, fake, words, asked):
    guest = fake()
    done = ebb("reclaim", *words)
    assert (done.status, done.out, done.err) == (0, LINE, "")
    assert guest.asked == [("x-ebb-reclaim", asked)]


@pytest.mark.parametrize("words, says", [
    (["--cache", "some"], "--cache"), (["--cache=1.5G"], "--cache"), (["--cache"], "--cache"), (["--cache", "3K"], "--cache"),
    (["--cache=all", "--cache=1024K"], "--cache is given twice"),
    (["--timeout=soon"], "--timeout"), (["--timeout", "0"], "--timeout"), (["--timeout=86401"], "--timeout"),
], ids=str)
def test_mistakes(ebb, fake, words, says):
    guest = fake()
    ebb("reclaim", *words).failed(2, says)
    assert guest.asked == []


def test_json(ebb, fake):
    fake()
    assert ebb("reclaim", "--json").json() == RECLAIM | {"name": "ci"}
    fake("other")
    got = ebb("reclaim", "-a", "--json").json()
    assert [one["name"] for one in got] == ["ci", "other"]
    assert got[1]["guest"] == RECLAIM["guest"]


def test_not_ready_in_time(ebb, fake):
    """What it did by then is shown all the same."""
    fake().hooks["x-ebb-reclaim"] = answer(status="timeout")
    done = ebb("reclaim")
    assert (done.status, done.out, done.err) == (3, LINE.replace("\n", ", and was not ready in time\n"), "")
    done = ebb("reclaim", "--json")
    assert done.status == 3 and json.loads(done.out)["status"] == "timeout"


def test_more_than_before(ebb, fake):
    """A guest that goes on using memory meanwhile."""
    fake().hooks["x-ebb-reclaim"] = answer(**{"rss-after": 600 * MIB})
    assert "ci: 0.0 MiB came back in 0.13 s, 600.0 MiB are left;" in ebb("reclaim").out


@pytest.mark.parametrize("error_class, desc, status", [
    ("GuestUnsupported", "the guest's kernel cannot give back memory on request", 1),
    ("GuestUnsupported", "free page reporting is off for this guest", 1),
    ("DeviceNotActive", "the guest runs no balloon driver", 1),
    ("GuestBusy", "the guest has not finished an earlier request", 1),
    ("GuestPaused", "the guest is paused", 1),
    ("GuestFailed", "the guest answered that it failed", 1),
    ("GuestTimeout", "the guest did not answer within 15.0 s", 3),
    ("CommandNotFound", "The command x-ebb-reclaim has not been found", 1),
    ("\x1b[2J" * 100, "\x1b[2J", 1),
])
def test_refused(ebb, fake, error_class, desc, status):
    def refuse(_arguments):
        raise Refusal(desc, error_class)

    fake().hooks["x-ebb-reclaim"] = refuse
    ebb("reclaim").failed(status, '"ci" refused x-ebb-reclaim: ' + desc.replace("\x1b", "\\x1b"))
    ebb("reclaim", "--json").failed(status, '"ci"')


def test_all_at_once(ebb, fake):
    """Each is asked before any is waited for, and one that cannot stops no other."""
    guests = [fake(name) for name in ("a", "b", "c")]
    gate = threading.Barrier(2, timeout=30)

    def together(_arguments):
        gate.wait()
        return RECLAIM

    def refuse(_arguments):
        raise Refusal("the guest is paused", "GuestPaused")

    guests[0].hooks["x-ebb-reclaim"] = guests[2].hooks["x-ebb-reclaim"] = together
    guests[1].hooks["x-ebb-reclaim"] = refuse
    done = ebb("reclaim", "-a")
    assert done.status == 1 and done.err.count("\n") == 1 and '"b" refused' in done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["a", "c"]


def test_slower_than_other_commands_may_be(ebb, fake):
    """Those have five seconds."""
    def slow(_arguments):
        time.sleep(6)
        return RECLAIM

    fake().hooks["x-ebb-reclaim"] = slow
    assert ebb("reclaim", "--timeout=6").status == 0


def test_events_meanwhile(ebb, fake):
    guest = fake()

    def talk(_arguments):
        for _ in range(200):
            guest.event("BALLOON_CHANGE", actual=1)
        return RECLAIM

    guest.hooks["x-ebb-reclaim"] = talk
    assert ebb("reclaim").out == LINE


def test_silence(ebb, fake):
    def silent(_arguments):
        raise Silence

    guest = fake()
    guest.hooks["x-ebb-reclaim"] = silent
    threading.Timer(1, guest.end).start()
    ebb("reclaim").failed(1, '"ci" ended before it answered x-ebb-reclaim')


# --- answers that are none ---------------------------------------------------------------------

FIGURES = [(key,) for key in RECLAIM] + [("guest", key) for key in RECLAIM["guest"]]


@pytest.mark.parametrize("path", FIGURES, ids="/".join)
def test_wrong_figure(ebb, fake, path):
    guest = fake()
    for value in ([], {}, "x", "", True, None, -1, -0.5, "missing"):
        wrong = copy.deepcopy(RECLAIM)
        at = wrong["guest"] if len(path) == 2 else wrong
        at[path[-1]] = value
        if value == "missing":
            del at[path[-1]]
        guest.hooks["x-ebb-reclaim"] = lambda _arguments, wrong=wrong: wrong
        ebb("reclaim").failed(1, '"ci" answered x-ebb-reclaim wrongly')


@pytest.mark.parametrize("garbage", ANSWERS, ids=lambda garbage: repr(garbage[:20]))
def test_garbage(ebb, fake, garbage):
    guest = fake()

    def hook(_arguments):
        guest.ended.set()
        return garbage

    guest.hooks["x-ebb-reclaim"] = hook
    done = ebb("reclaim")
    assert done.status == 1 and done.out == "" and done.err.count("\n") == 1
