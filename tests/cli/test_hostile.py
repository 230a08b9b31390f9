# SPDX-License-Identifier: Apache-2.0
"""What a guest's ebb that is broken, or somebody else's program, can do to who asks it: get one line said of it."""

import copy
import json
import time

import pytest
from fake import GREETING, MIB, STAT

READERS = [["stat"], ["stat", "--json"], ["stat", "--prometheus"], ["stat", "-m"], ["list"], ["balloon"]]
reader = pytest.mark.parametrize("words", READERS, ids=" ".join)

# Every figure, as ("memory", "size").
PATHS = [(key,) for key in STAT] + [(key, inner) for key, value in STAT.items() if isinstance(value, dict) for inner in value]
PATHS += [("guest-stats", "stats", key) for key in STAT["guest-stats"]["stats"]]
PATHS += [(kind, 0, key) for kind in ("disks", "networks") for key in STAT[kind][0]]
WRONG = [[], {}, "x" * 1000, "nul\x00", 1e300, 2.5, -1, True, None]


def spoken(path):
    """As ebb names a figure: of which disk is not said."""
    return "/".join(part for part in path if part != 0)


def with_value(path, value):
    stat = copy.deepcopy(STAT)
    at = stat
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return stat


def right(path, value):
    """Whether a figure may be that."""
    usual = STAT
    for part in path:
        usual = usual[part]
    if isinstance(usual, list):
        return isinstance(value, list)
    if path[-1] in ("file", "cgroup") and value == "x" * 1000:
        return True
    if isinstance(usual, dict):
        return isinstance(value, dict) or value is None
    if isinstance(usual, bool) or isinstance(usual, str):
        return isinstance(value, type(usual)) and not (isinstance(value, str))
    if isinstance(usual, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    # What the guest does not have, it counts as below 0.
    return value == -1 and path[0] == "guest-stats" and len(path) == 3


@pytest.mark.parametrize("path", PATHS, ids=spoken)
def test_wrong_type(ebb, fake, path):
    guest = fake()
    for value in WRONG:
        guest.hooks["x-ebb-stat"] = lambda _arguments, value=value: with_value(path, value)
        done = ebb("stat", "--no-refresh", "--json")
        if right(path, value):
            assert done.status == 0, (value, done.err)
        elif value == "nul\x00":
            done.failed(1, "answered x-ebb-stat with something that is not QMP")
        else:
            done.failed(1, "answered x-ebb-stat wrongly: " + spoken(path))


@pytest.mark.parametrize("path", PATHS, ids=spoken)
def test_missing(ebb, fake, path):
    """What an older ebb does not say is not shown."""
    guest = fake()
    stat = with_value(path, None)
    at = stat
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    guest.hooks["x-ebb-stat"] = lambda _arguments: stat
    for words in (["stat", "--no-refresh"], ["stat", "--no-refresh", "--prometheus"], ["list"]):
        assert ebb(*words).status == 0
    assert ebb("stat", "--no-refresh", "--json").json() == stat
    assert ebb("balloon").status in (0, 1)


ANSWERS = [
    b"garbage\n", b"\x00\xff\x1b[2J\n", b"{\n", b"]\n", b"[]\n", b"null\n", b"{}\n", b"\n\n\n{}\n", b'{"return": }\n',
    b'{"error": 1}\n', b'{"error": {}}\n', b'{"error": {"desc": 5}}\n', b'{"return": 1}\n', b'{"return": []}\n',
    b'{"return": null}\n', b'{"return": "x"}\n', b"[" * 5000 + b"\n", b'{"a":' * 5000 + b"\n", b'{"return": {"name": "\\ud800"}}\n',
    b'{"return": {"name": "\xff\xfe"}}\n',
]


@reader
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: repr(answer[:20]))
def test_garbage(ebb, fake, words, answer):
    """Garbage, and then an end: or else it would be waited for more."""
    guest = fake()

    def hook(_arguments):
        guest.ended.set()
        return answer

    guest.hooks["x-ebb-stat"] = hook
    done = ebb(*words)
    assert done.status == 1
    assert done.err.count("\n") == 1
    guest.ended.clear()


@pytest.mark.parametrize("greeting", ANSWERS + [b'{"QMP": 1}\n', b'{"QMP": {}}\n'], ids=lambda answer: repr(answer[:20]))
def test_garbage_as_greeting(ebb, fake, greeting):
    guest = fake()
    guest.greeting = greeting
    guest.limit = len(greeting)
    ebb("pause").failed(1, '"ci"')


@pytest.mark.parametrize("filler", [b"x", b" ", b"[", b'{"return": "', b'{"event": "X"}\n'], ids=repr)
def test_100_mib(ebb, fake, filler):
    guest = fake()
    block = (filler + b"x" * 65536) if filler.endswith(b'"') else filler * (65536 // len(filler))

    def flood(_arguments):
        try:
            for _ in range(100 * MIB // len(block)):
                guest.connections[-1].sendall(block)
        except OSError:
            pass
        return b"\n"

    guest.hooks["x-ebb-stat"] = flood
    start = time.monotonic()
    ebb("stat").failed(1, '"ci"')
    assert time.monotonic() - start < 30


def test_many_registers(ebb, fake):
    """Much, but not too much, comes through whole."""
    guest = fake()
    text = "rip 0123456789abcdef\n" * 40
    guest.hooks["x-ebb-registers"] = lambda _arguments: {"cpus": [{"cpu-index": i, "text": text} for i in range(254)]}
    done = ebb("debug", "-d")
    assert done.status == 0 and done.out.count("rip 0123456789abcdef\n") == 254 * 40


@pytest.mark.parametrize("answer", [1, [], {}, {"cpus": 1}, {"cpus": {}}], ids=str)
def test_no_registers(ebb, fake, answer):
    guest = fake()
    guest.hooks["x-ebb-registers"] = lambda _arguments: answer
    ebb("debug", "-d").failed(1, "x-ebb-registers", "without any CPU")


@pytest.mark.parametrize("answer", [{"cpus": [1]}, {"cpus": [{"cpu-index": "x", "text": 1}]}, {"cpus": []}], ids=str)
def test_odd_registers(ebb, fake, answer):
    guest = fake()
    guest.hooks["x-ebb-registers"] = lambda _arguments: answer
    assert ebb("debug", "-d").status == 0


def test_hang_up_at_any_byte(ebb, fake):
    guest = fake()
    whole = len(json.dumps(GREETING)) + 2 + len('{"return": {}}\r\n') + len(json.dumps({"return": STAT})) + 2
    # All of the greeting and the answer to qmp_capabilities, and then every now and then.
    for limit in [*range(0, 150, 3), *range(150, whole - 40, 41)]:
        guest.limit = limit
        done = ebb("stat", "--no-refresh", "--json")
        assert done.status in (1, 2) and done.out == "", limit
        assert done.err.count("\n") == 1, (limit, done.err)


STEER = "\x1b]0;title\x07\x9b2J\r\n\x7f\u202ex\u2066y\u200f"


@reader
def test_control_characters(ebb, fake, words):
    """Done.__init__ checks every run's output; here is something to find."""
    stat = with_value(("status",), STEER)
    stat["memory"]["backing"] = stat["balloon"]["state"] = STEER
    guest = fake()
    guest.hooks["x-ebb-stat"] = lambda _arguments: stat
    done = ebb(*words)
    assert "\u202e" not in done.out and "\r" not in done.out
    if words == ["stat", "--json"]:
        assert json.loads(done.out)["status"] == STEER  # escaped, and whole
        assert done.out.isascii()


@pytest.mark.parametrize("number", [2**63 - 1, 2**62], ids=str)
def test_large_numbers(ebb, fake, number):
    guest = fake()
    for path in PATHS:
        guest.hooks["x-ebb-stat"] = lambda _arguments, path=path: with_value(path, number)
        for words in (["stat", "--no-refresh"], ["stat", "--no-refresh", "--prometheus"], ["list"], ["balloon", "-i1"]):
            assert ebb(*words).status in (0, 1, 3), (path, words)


def test_small_memory(ebb, fake):
    """A guest that says it has less than is in its balloon."""
    guest = fake()
    guest.stat["memory"]["size"] = 1 * MIB
    ebb("balloon", "-i", "1").failed(1, "no more than 0M")
    assert ebb("balloon", "-d", "1").status in (0, 1)
    assert [arguments for command, arguments in guest.asked if command == "balloon"] == [{"value": 0}]
