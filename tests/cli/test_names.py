# SPDX-License-Identifier: Apache-2.0
"""Names that are not UTF-8, of guests and of files: refused where they begin, and harmless where they are."""

import os

import pytest
from fake import Refusal
from prometheus_client.parser import text_string_to_metric_families

LATIN = os.fsdecode(b"caf\xe9")
SHOWN = "caf\\xe9"


@pytest.mark.parametrize("name, why", [(LATIN, "is not UTF-8"), (os.fsdecode(b"\xc0\x80"), "is not UTF-8"),
                                       (os.fsdecode(b"\xed\xa0\x80"), "is not UTF-8"), ("a\nb", "control character")])
def test_refused_at_the_start(ebb, name, why):
    ebb("run", "-k", "/dev/null", "--name", name).failed(2, why)


@pytest.mark.parametrize("words", [["run", "--name", LATIN, "-k", "/dev/null"], ["run", "-m", LATIN], ["run", "--" + LATIN],
                                   ["stat", "-n", LATIN], ["stat", LATIN], [LATIN], ["help", LATIN], ["run", "--colour\x1b[2J" + LATIN]],
                         ids=lambda words: " ".join(words).replace(LATIN, "X"))
def test_repeated_in_a_message(ebb, words):
    """Whatever a message repeats is made safe for a terminal."""
    done = ebb(*words)
    assert done.status == 2 and SHOWN in done.err and done.err.count("\n") == 1


@pytest.fixture
def three(fake):
    """In the middle one of an older ebb: it took such a name, and no answer of its own could be made with it."""
    def refuse(_arguments):
        raise Refusal("The command failed without a reason")

    fake("a")
    old = fake(LATIN)
    old.hooks["x-ebb-stat"] = refuse
    fake("z")
    return old


def test_old_guest_is_listed(ebb, three):
    done = ebb("list")
    assert done.status == 1 and done.err.count("\n") == 1 and SHOWN in done.err
    assert [line.split()[1:3] for line in done.out.splitlines()[1:]] == [["a", "running"], [SHOWN, "no"], ["z", "running"]]


def test_old_guest_spoils_no_answer(ebb, three):
    done = ebb("stat", "-a", "--no-refresh", "--json")
    assert done.status == 1 and done.out.count('"name"') == 2
    done = ebb("stat", "-a", "--no-refresh", "--prometheus")
    found = {family.name: family for family in text_string_to_metric_families(done.out)}
    up = {sample.labels["guest"]: sample.value for sample in found["ebb_up"].samples}
    assert up == {"a": 1, SHOWN: 0, "z": 1}


def test_old_guest_can_be_named(ebb, three):
    assert ebb("pause", "-n", LATIN).status == 0 and three.stat["status"] == "paused"
    assert ebb("stop", "-n", LATIN).out == f"{SHOWN}: powered off\n"


def test_guest_that_answers(ebb, fake):
    fake(LATIN).stat["name"] = SHOWN
    assert [row["name"] for row in ebb("list", "--json").json()] == [SHOWN]
    assert f"name                            {SHOWN}\n" in ebb("stat", "--no-refresh").out
    assert 'ebb_up{guest="caf\\\\xe9"} 1\n' in ebb("stat", "--no-refresh", "--prometheus").out
    assert ebb("balloon", "-n", LATIN).out.startswith(SHOWN + ": target")
    assert ebb("reclaim", "--json").json()["name"] == SHOWN


def test_file_of_a_disk(ebb, fake):
    """As ebb sends it: escaped."""
    guest = fake()
    guest.stat["disks"] = [{"disk": "disk0", "file": "/images/\\xe9.img", "size": 0, "read-only": False}]
    assert "file                          /images/\\xe9.img\n" in ebb("stat", "--no-refresh").out
    assert ebb("stat", "--no-refresh", "--json").json()["disks"][0]["file"] == "/images/\\xe9.img"
