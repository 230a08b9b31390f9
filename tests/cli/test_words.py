# SPDX-License-Identifier: Apache-2.0
"""Help, versions and mistakes that need no guest."""

import json
import re
import subprocess

import pytest
from conftest import EBB

COMMANDS = ["run", "sandbox", "setup", "images", "list", "top", "stat", "balloon", "reclaim", "keeper", "pause", "resume", "stop", "snapshot", "clone", "pool", "console", "ssh", "debug",
            "doctor", "version", "help"]
# These take words that are no options.
WORDS = ("run", "sandbox", "setup", "keeper", "snapshot", "clone", "pool", "console", "ssh", "help")


@pytest.mark.parametrize("words", [[], ["help"], ["-h"], ["--help"]])
def test_help(ebb, words):
    done = ebb(*words)
    assert done.status == 0 and done.err == ""
    for command in COMMANDS:
        assert f"\n  {command} " in done.out
    assert "Exit status: 0 done; 1 failed" in done.out
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(ebb, command):
    texts = {ebb(*words).out for words in ([command, "-h"], [command, "--help"], ["help", command])}
    assert len(texts) == 1
    (text,) = texts
    assert text.startswith(f"Usage: ebb {command} ") and "  -h, --help " in text
    assert max(map(len, text.splitlines())) <= 82


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_option(ebb, command):
    status = {"sandbox": 125, "ssh": 255}.get(command, 2)
    ebb(command, "--zzzzzz").failed(status, "unknown option --zzzzzz", f"ebb {command} --help")
    ebb(command, "--hlep").failed(status, "unknown option --hlep", "did you mean --help?")


@pytest.mark.parametrize("words", [
    ["stop", "-n", "a", "-n", "b"], ["stat", "-n", "a", "--name=b"], ["stop", "--timeout=1", "--timeout", "2"], ["balloon", "-i1", "-i", "1"],
    ["balloon", "--wait", "--wait=3"], ["debug", "-s", "t", "-s", "w"], ["run", "K", "-m1G", "-m1G"], ["run", "K", "-c", "1", "--cpus=2"],
], ids=" ".join)
def test_value_given_twice(ebb, words):
    """Of two values one would be dropped, and it may be the one that was meant: -n a -n b would stop b only."""
    ebb(*words).failed(2, "is given twice")


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in WORDS])
def test_word_too_many(ebb, command):
    ebb(command, "\x1b[2Jx\n").failed(2, '"\\x1b[2Jx\\x0a" is not an option', f"ebb {command} takes only options")


@pytest.mark.parametrize("words, said", [
    ((), "name the folder that the snapshot goes to"), (("a", "b"), "too many folders are given: 'a' and 'b'; name one"),
    (("merge",), "name two folders"), (("merge", "a"), "name two folders"), (("merge", "-", "b"), "name two folders"),
    (("merge", "a", "b", "c"), "too many folders are given: 'a' and 'c'; name two"),
    (("merge", "-n", "x", "a", "b"), "takes folders alone"), (("merge", "--base", "x", "a", "b"), "takes folders alone"),
    (("--base", "a", "-"), "--base needs a folder"), (("--working-set", "-"), "--working-set needs the folder"),
    (("--base", "a", "--working-set", "b"), "cannot be combined"),
    (("--live", "a"), "--live is for standard output"), (("--live", "--base", "a", "-"), "leave out --base and --working-set"),
    (("--live", "--working-set", "a"), "leave out --base and --working-set"), (("--live", "merge", "a", "b"), "takes folders alone"),
    (("--disks", "all", "a"), 'unknown --disks "all"; write copy or keep'), (("--disks=copy", "-"), "--disks copy needs a folder"),
    (("--disks=copy", "--working-set", "a"), "--disks copy needs a folder"), (("--disks=copy", "--live", "-"), "--disks copy needs a folder"),
    (("--disks=copy", "merge", "a", "b"), "takes folders alone"),
    (("--track", "-"), "--track is for a whole snapshot in a folder"), (("--track", "--base", "a", "b"), "--track is for a whole"),
    (("--track", "--live", "-"), "--track is for a whole"), (("--track", "merge", "a", "b"), "takes folders alone"),
    (("--live=0", "-"), "--live must be at least 0.001 seconds"), (("--live=0.0004", "-"), "at least 0.001"),
    (("--live", "5", "-"), "too many folders are given: '5' and '-'; name one (a time is written --live=5)"), (("--live=x", "-"), "--live"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_snapshot_words(ebb, words, said):
    ebb("snapshot", *words).failed(2, said)


def test_unknown_command(ebb):
    ebb("lst").failed(2, "no command 'lst'", "did you mean 'list'?", "ebb help")
    ebb("help", "zzz").failed(2, "no command 'zzz'", "ebb help")
    ebb("help", "run", "stat").failed(2, "two commands")
    ebb("x" * 5000).failed(2, "no command")
    ebb("a\x1b\nb").failed(2, "'a\\x1b\\x0ab'")


def test_version(ebb):
    for words in (["version"], ["--version"]):
        assert re.fullmatch(r"ebb \d+\.\d+\n", ebb(*words).out)
    assert json.loads(ebb("version", "--json").out) == {"version": ebb("version").out.split()[1]}


def test_full_disk(ebb):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([EBB, "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr
