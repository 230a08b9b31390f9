# SPDX-License-Identifier: Apache-2.0
"""What ebb keeper says of itself: its status, and lines of its log."""

import os
import socket
import sys

import pytest
from conftest import TREE, wait
from fake import MIB, Refusal
from keepers import aged, bad, full, last, requests, tell

sys.path.insert(0, os.path.join(TREE, "tests", "lib"))

import guest as lib  # noqa: E402


def told_when(kept, name, **wanted):
    """Its last request, as it is told once it is so."""
    told = {}

    def is_so():
        told.clear()
        told.update(last(kept, name))
        return wanted.items() <= told.items()

    wait(is_so, (wanted, told))
    return told


def young_once_asked(guest, again=0):
    """What it has left is young, and of what it gives so many MiB are needed again at once."""
    give = guest.hooks["x-ebb-reclaim"]

    def answer(arguments):
        tell(guest, stat_ebb_refault_file=again * MIB)
        tell(guest, **dict.fromkeys(("stat_ebb_file_10s", "stat_ebb_file_1min", "stat_ebb_file_10min", "stat_ebb_file_1h"), 0))
        return give(arguments)

    guest.hooks["x-ebb-reclaim"] = answer


def test_status_tells_of_the_last_request(ebb, fake, host, keeper):
    """When, what, why; what came and what it cost. The control is the guest that misses nothing."""
    guest, other = aged(fake, "a", 120, 100), aged(fake, "b", 120, 100)
    young_once_asked(guest, 40)
    young_once_asked(other)
    kept = keeper()
    kept.looked_at("a")
    assert last(kept) == {} and "LAST ASKED" not in ebb("keeper", "status").out
    host.available(900)
    told = told_when(kept, "a", cost="too much")
    assert (told["means"], told["asked"], told["answer"], told["came"], told["back"]) == ("cache", 100 * MIB, "done", 100 * MIB, 40 * MIB)
    assert told["pause"] <= 4
    assert told["why"] in ("it is idle, and has not used it for an hour", "it is at work, and has not used it for an hour")
    assert 0 <= told["took"] <= told["ago"]
    kept.until('guest "a": wants back what it gave: not asked for that for 4 s')
    told = told_when(kept, "b", answer="done")
    assert (told["back"], told["cost"]) == (0, "none") and 'guest "b": wants back' not in kept.log()
    row = next(line for line in ebb("keeper", "status").out.split("LAST ASKED")[1].splitlines() if line.startswith("a "))
    assert " s ago " in row and "  cache  100.0 MiB  done    100.0 MiB     40.0 MiB  too much  it is " in row


def test_a_guest_that_killed_a_process(fake, host, keeper):
    """It is left alone; the control goes on to give."""
    guest, other = full(fake, "a"), full(fake, "b")
    host.available(900)
    kept = keeper()
    wait(lambda: requests(guest) and requests(other), kept.log)
    tell(guest, stat_oom_kills=1)
    kept.until('guest "a": killed a process for lack of memory: left alone for 10 minutes')
    wait(lambda: last(kept)["cost"] == "a process", kept.guests)
    before, others = len(requests(guest)), len(requests(other))
    assert 500 < last(kept)["pause"] <= 600 and last(kept, "b")["pause"] < 500
    wait(lambda: len(requests(other)) > others, kept.log)
    assert len(requests(guest)) == before and 'guest "b": killed' not in kept.log()


def test_a_process_killed_later_is_not_the_cost(fake, host, keeper):
    """Of guests that gave nothing, or gave long ago; they are left alone all the same."""
    guests = {"refuses": full(fake, "refuses"), "gave": aged(fake, "gave", 120, 100)}

    def refuse(_arguments):
        raise Refusal("the guest is paused")

    guests["refuses"].hooks["x-ebb-reclaim"] = refuse
    young_once_asked(guests["gave"])
    host.available(900)
    kept = keeper()
    wait(lambda: last(kept, "refuses").get("answer") == "refused" and last(kept, "gave").get("ago", 0) > 11, kept.guests)
    for name, guest in guests.items():
        tell(guest, stat_oom_kills=1)
        kept.until(f'guest "{name}": killed a process for lack of memory: left alone for 10 minutes')
    told = {name: last(kept, name) for name in guests}
    assert (told["gave"]["came"], told["gave"]["cost"]) == (100 * MIB, "none")
    assert (told["refuses"]["came"], told["refuses"]["cost"]) == (0, "none")
    assert all(one["pause"] > 500 for one in told.values())


@pytest.mark.parametrize("kind, answer", [("mute guest", "none"), ("refuses", "refused"), ("liar", "done")])
def test_status_tells_who_gave_nothing(ebb, fake, host, keeper, kind, answer):
    wrong = bad(fake, kind)
    if kind == "refuses":
        def refuse(_arguments):
            raise Refusal("the guest is paused")
        wrong.hooks["x-ebb-reclaim"] = refuse
    host.available(900)
    kept = keeper()
    told = told_when(kept, "bad", answer=answer)
    assert (told["came"], told["cost"]) == (0, "none") and told["pause"] <= 4
    # Where it is asked again, that is not answered for a moment.
    wait(lambda: f" MiB  {answer} " in ebb("keeper", "status").out.partition("LAST ASKED")[2], "no such row")


@pytest.mark.parametrize("words, wrapper, shown", [
    ((), lib.NO_NAMESPACES, "no namespaces"), (["--sandbox=off"], (), "off"),
    pytest.param((), (), "on", marks=pytest.mark.skipif(not lib.namespaces(), reason="this host permits no namespaces")),
])
def test_status_shows_the_sandbox(ebb, keeper, words, wrapper, shown):
    kept = keeper(*words, wrapper=wrapper)
    assert kept.status()["sandbox"] == shown
    first = ebb("keeper", "status").out.splitlines()[0]
    assert first.partition(" MiB (")[2] == {"no namespaces": "no namespaces)", "off": "no sandbox)", "on": ""}[shown]


def test_status_for_people(ebb, fake, keeper):
    full(fake, "a")
    kept = keeper()
    wait(lambda: kept.guests().get("a", {}).get("held"), "the guest is looked at")
    lines = ebb("keeper", "status").out.splitlines()
    assert lines[0].startswith("host: 8000.0 MiB of 8192.0 MiB available; enough: guests are asked when it has less than 1024.0 MiB")
    assert lines[2].split("  ")[0] == "NAME"
    assert lines[3].split() == ["a", "at", "work", "1024.0", "MiB", "300.0", "MiB", "200.0", "MiB", "0.0", "MiB", "0", "0.0", "MiB"]


def test_status_clients_do_not_stop_it(fake, host, keeper, runtime):
    """Sixteen that say nothing keep a seventeenth out, and nothing else."""
    guest = full(fake, "a")
    kept = keeper()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(16)]
    for client in clients:
        client.connect(os.path.join(runtime, "keeper-sock"))
    host.available(900)
    wait(lambda: requests(guest), kept.log)
    for client in clients:
        client.close()
    assert kept.end() == 0
