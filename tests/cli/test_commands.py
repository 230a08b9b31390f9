# SPDX-License-Identifier: Apache-2.0
"""What each subcommand does with a guest that behaves."""

import os
import re
import subprocess
import time

import pytest
from conftest import EBB
from fake import MIB, STAT, Refusal, Silence
from prometheus_client.parser import text_string_to_metric_families


def commands(guest):
    return [command for command, _ in guest.asked]


# --- list --------------------------------------------------------------------------------------


def test_list(ebb, fake):
    fake("b", balloon=None)
    fake("c", sandbox="off")
    fake("d", sandbox="no namespaces")
    fake("a long name", status="paused", cpus=16)
    lines = ebb("list").out.splitlines()
    assert [line.split() for line in lines[:1]] == [["PID", "NAME", "STATUS", "CPUS", "MEMORY", "RSS", "OWN"]]
    pid = str(STAT["pid"])
    assert lines[1].split() == [pid, "a", "long", "name", "paused", "16", "1024.0", "MiB", "123.5", "MiB", "120.0", "MiB"]
    assert lines[2].split() == [pid, "b", "running", "2", "1024.0", "MiB", "123.5", "MiB", "120.0", "MiB"]
    assert "c       running, no sandbox" in re.sub(" {8,}", " " * 7, lines[3])
    assert "d       running, no namespaces" in re.sub(" {4,}", " " * 7, lines[4])
    assert len(lines) == 5 and len({len(line) for line in lines}) == 1  # the last column is to the right


def test_list_json(ebb, fake):
    fake("b")
    fake("a")
    rows = ebb("list", "--json").json()
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[0] == {"name": "a", "status": "running", "sandbox": "on", "pid": STAT["pid"], "cpus": 2, "memory": 1024 * MIB,
                       "rss": 123 * MIB + MIB // 2, "own": 120 * MIB}


def test_list_none(ebb):
    assert ebb("list").out == "PID  NAME  STATUS  CPUS  MEMORY  RSS  OWN\n"
    assert ebb("list", "-i", "--json").json() == []


def test_list_rootfs(ebb, fake, monkeypatch, tmp_path):
    """The images, as `ebb images` has them: test_images.py."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    fake()
    assert ebb("list", "-r").out == ebb("images").out == "NAME  SUITE  SIZE  KERNEL  MADE\n"
    ebb("list", "-r", "-i").failed(2, "cannot be combined")


def test_list_stale(ebb, fake, runtime):
    fake("dead").end(leave=True)
    fake("live")
    assert [row["name"] for row in ebb("list", "--json").json()] == ["live"]


def test_list_without_an_answer(ebb, fake):
    fake("deaf", serve=False)
    fake("live")
    done = ebb("list")
    assert done.status == 1
    assert done.err.count("\n") == 1 and '"deaf"' in done.err
    lines = done.out.splitlines()
    assert lines[1].split() == [str(STAT["pid"]), "deaf", "no", "answer", "-", "-", "-", "-"]
    assert lines[2].split()[1] == "live"


# --- choosing ----------------------------------------------------------------------------------

ACTIONS = [["stat"], ["balloon"], ["reclaim"], ["pause"], ["resume"], ["stop"], ["debug", "-d"]]
action = pytest.mark.parametrize("words", ACTIONS, ids=lambda words: words[0])


@action
def test_only_guest(ebb, fake, words):
    fake()
    done = ebb(*words)
    assert done.status == 0 and done.err == ""


@action
def test_several(ebb, fake, words):
    guests = [fake("one"), fake("two"), fake("three")]
    ebb(*words).failed(2, "3 guests are running", "-n NAME", "one, three, two")
    assert not any(guest.asked for guest in guests)
    assert ebb(*words, "-n", "two").status == 0
    assert [bool(guest.asked) for guest in guests] == [False, True, False]


@action
def test_none(ebb, words):
    ebb(*words).failed(2, "no guest is running")


@action
def test_no_such_guest(ebb, fake, words):
    fake("a")
    ebb(*words, "--name=b").failed(2, '"b"')
    ebb(*words, "-n", "../a").failed(2, "slash")
    fake("dead").end(leave=True)
    ebb(*words, "-n", "dead").failed(2, '"dead"')


@pytest.mark.parametrize("words", [["stat"], ["reclaim"], ["pause"], ["resume"], ["stop"], ["debug", "-d"]], ids=lambda words: words[0])
def test_all(ebb, fake, words):
    guests = [fake("one"), fake("two")]
    done = ebb(*words, "-a")
    assert done.status == 0 and done.err == ""
    assert all(guest.asked for guest in guests)
    ebb(*words, "-a", "-n", "one").failed(2, "-n and -a")


@pytest.mark.parametrize("words", [["stat"], ["reclaim"], ["pause"], ["resume"], ["stop"]], ids=lambda words: words[0])
def test_all_of_none(ebb, words):
    done = ebb(*words, "-a")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_all_but_one_that_is_deaf(ebb, fake):
    fake("a", serve=False)
    guest = fake("b")
    ebb("pause", "-a").failed(1, '"a"')
    assert guest.stat["status"] == "paused"


def sleeping(process):
    """Whether it waits for a time, or has ended."""
    with open(f"/proc/{process.pid}/wchan", encoding="ascii") as where:
        return "nanosleep" in where.read() or process.poll() is not None


def test_one_that_is_starting(runtime, fake):
    """Its name is there before its socket, and a command that comes between the two waits."""
    guest = fake("a", serve=False)
    with subprocess.Popen([EBB, "pause", "-n", "a"], env=os.environ | {"EBB_RUNTIME_DIR": runtime}) as process:
        until = time.monotonic() + 10
        while not sleeping(process) and time.monotonic() < until:
            time.sleep(0.001)
        guest.listen()
        assert process.wait(10) == 0
    assert guest.stat["status"] == "paused"


def test_one_that_never_listens(ebb, fake):
    fake("a", serve=False)
    ebb("pause", "-n", "a").failed(1, '"a" does not listen yet')


# --- stat --------------------------------------------------------------------------------------


def test_stat(ebb, fake):
    fake()
    done = ebb("stat")
    assert done.status == 0 and done.err == ""
    for line in ("name                            ci", "status                          running", "up for                          12.5 s",
                 "  size                          1024.0 MiB", "  resident                      123.5 MiB",
                 "  target                        64.0 MiB", "  deflates on OOM               no", "free page reporting",
                 "  held back                     2.0 MiB", "  as of                         2023-11-14 22:13:20",
                 "  free memory                   500.0 MiB", "  major page faults             12",
                 "  the guest can be asked        yes", "  not answered in time          1", "  reporting passes              8",
                 "  pages drained                 77", "  some waited for memory        1.235 s",
                 "    for 10 min                  60.0 MiB", "disk disk0", "  file                          /images/ci.img",
                 "  on the host                   700.0 MiB", "  flushes                       17", "disk disk1",
                 "  read-only                     yes"):
        assert line in done.out.splitlines(), line


def test_stat_without_balloon(ebb, fake):
    guest = fake(balloon=None, reporting=None, **{"guest-stats": None})
    done = ebb("stat")
    assert done.status == 0 and done.err == ""
    assert "balloon: none\n" in done.out and "free page reporting: none\n" in done.out
    assert commands(guest) == ["x-ebb-stat"]
    assert ebb("stat", "--json").json()["balloon"] is None
    assert "sent no statistics" in ebb("stat", "-m").out


def test_stat_json(ebb, fake):
    guest = fake(future=1)
    got = ebb("stat", "--json").json()
    want = {key: value for key, value in guest.stat.items() if key != "future"}
    assert got == want
    fake("two")
    got = ebb("stat", "-a", "--json").json()
    assert [one["name"] for one in got] == ["ci", "two"]


def test_stat_memory(ebb, fake):
    fake()
    lines = ebb("stat", "-m").out.splitlines()
    assert lines[0] == "*** Memory statistics of guest ci ***"
    assert "Memory that the guest does not use (in bytes): 524288000" in lines
    assert "Page faults in the guest that read from a disk: 12" in lines
    assert "Time in which at least one task of the guest waited for memory (in microseconds): 1234567" in lines
    assert len(lines) == 11


def test_stat_asks_for_fresh_statistics(ebb, fake):
    guest = fake()
    assert ebb("stat", "--json").json()["guest-stats"]["updates"] == 5
    assert commands(guest) == ["x-ebb-stat", "x-ebb-stats-request", "x-ebb-stat"]
    guest.asked.clear()
    assert ebb("stat", "--no-refresh", "--json").json()["guest-stats"]["updates"] == 5
    assert commands(guest) == ["x-ebb-stat"]


def test_stat_cannot_do_both(ebb, fake):
    guest = fake()
    for words in (["--refresh", "--no-refresh"], ["--no-refresh", "--refresh"]):
        ebb("stat", *words).failed(2, "--refresh and --no-refresh cannot be combined")
    assert commands(guest) == []
    done = ebb("stat", "-a", "-n", guest.name, "--json")
    done.failed(2, "-n and -a cannot be combined")
    assert done.out == "" and commands(guest) == []


def test_stat_old(ebb, fake):
    guests = [fake(name) for name in "abcdefgh"]
    for guest in guests:
        guest.fresh = False
    start = time.monotonic()
    done = ebb("stat", "-a")
    assert 1 <= time.monotonic() - start < len(guests)  # all are waited for at once, a second
    assert done.status == 0 and done.err.count("statistics are old") == len(guests)
    assert done.out.count("free memory") == len(guests)
    assert ebb("stat", "-n", "a", "--refresh").status == 3
    guests[0].stat["guest-stats"] = {"updates": 0, "last-update": 0, "stats": {}}
    done = ebb("stat", "-n", "a")
    assert done.status == 0 and "statistics are missing" in done.err and "never" in done.out


def test_stat_paused(ebb, fake):
    guest = fake(status="paused")
    done = ebb("stat")
    assert done.status == 0 and "is paused: its own statistics are old" in done.err
    assert commands(guest) == ["x-ebb-stat"], "it looks again as long as it waits"
    assert ebb("stat", "--refresh").status == 3


def test_stat_request_refused(ebb, fake):
    guest = fake()

    def refuse(_arguments):
        raise Refusal("no driver")

    guest.hooks["x-ebb-stats-request"] = refuse
    done = ebb("stat")
    assert done.status == 0 and "statistics are old" in done.err


def test_stat_by_a_socket(ebb, fake, runtime):
    """Of --control-read-only: nothing of the runtime directory is used, and the guest is not asked for anything."""
    guest = fake()
    path = os.path.join(runtime, "figures")
    os.rename(guest.path + ".sock", path)
    fake("other")
    assert ebb("stat", "--control", path, "--json").json()["name"] == "ci"
    assert 'ebb_up{guest="ci"} 1' in ebb("stat", "--control", path, "--prometheus").out
    assert commands(guest) == ["x-ebb-stat"] * 2
    for words in (["-a"], ["-n", "ci"]):
        ebb("stat", "--control", path, *words).failed(2, "--control names one guest", "leave -n and -a out")
    ebb("stat", "--control", path, "--refresh").failed(2, "leave --refresh out")
    ebb("stat", "--control", path + "x").failed(2, "No such file", "--control-read-only")
    ebb("stat", "--control", "/" + "x" * 200).failed(1, "File name too long")
    ebb("stat", "--control", "/etc/passwd").failed(2, "Connection refused", "--control-read-only")


# --- Prometheus --------------------------------------------------------------------------------


def families(text):
    """Parsed, and held to what promtool checks: HELP and TYPE once, names, units."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found
        found[family.name] = family
    for kind in ("HELP", "TYPE"):
        heads = [line.split()[2] for line in text.splitlines() if line.startswith(f"# {kind} ")]
        assert len(heads) == len(set(heads)) == len(found)
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            assert name.startswith("ebb_") and name.endswith("_total") == (kind == "counter")
    for family in found.values():
        assert family.samples and family.documentation.endswith(".")
        assert not any(part in family.name for part in ("_mib", "_kb", "-", "milli"))
    return found


def test_prometheus(ebb, fake):
    fake("a")
    fake("b", balloon=None, uptime=3)
    found = families(ebb("stat", "-a", "--prometheus").out)
    values = {name: {sample.labels["guest"]: sample.value for sample in family.samples} for name, family in found.items()}
    assert values["ebb_up"] == {"a": 1, "b": 1}
    assert values["ebb_uptime_seconds"] == {"a": 12.5, "b": 3}
    assert values["ebb_memory_resident_bytes"] == {"a": 123.5 * MIB, "b": 123.5 * MIB}
    assert values["ebb_balloon_actual_bytes"] == {"a": 64 * MIB}
    assert values["ebb_guest_memory_some_stalled_seconds"] == {"a": 1.234567, "b": 1.234567}
    assert values["ebb_guest_file_10min_bytes"] == {"a": 60 * MIB, "b": 60 * MIB}
    assert values["ebb_reporting_reported_bytes"] == {"a": 140 * MIB, "b": 140 * MIB}  # a counter: _total is cut off
    assert values["ebb_guest_free_bytes"] == {"a": 500 * MIB, "b": 500 * MIB}
    assert values["ebb_balloon_deflate_on_oom"] == values["ebb_balloon_deflates"] == {"a": 0}
    assert found["ebb_balloon_state"].samples[0].labels == {"guest": "a", "state": "reached"}
    assert found["ebb_reporting_reports"].type == "counter" and found["ebb_cpus"].type == "gauge"


def test_prometheus_labels(ebb, fake):
    name = 'quo"te\\back{},=ü'
    fake(name, memory=STAT["memory"] | {"backing": "x\ny\"\\"})
    found = families(ebb("stat", "--prometheus").out)
    assert found["ebb_up"].samples[0].labels == {"guest": name}
    assert found["ebb_memory_backing"].samples[0].labels == {"guest": name, "backing": 'x\\x0ay"\\'}


def test_prometheus_of_a_deaf_guest(ebb, fake):
    fake("a", serve=False)
    fake("b")
    done = ebb("stat", "-a", "--prometheus")
    assert done.status == 1 and done.err.count("\n") == 1
    found = families(done.out)
    assert {sample.labels["guest"]: sample.value for sample in found["ebb_up"].samples} == {"a": 0, "b": 1}
    assert [sample.labels["guest"] for sample in found["ebb_cpus"].samples] == ["b"]


# --- balloon -----------------------------------------------------------------------------------


def test_balloon_shows(ebb, fake):
    guest = fake()
    assert ebb("balloon").out == "ci: target 64.0 MiB, actual 64.0 MiB, reached\n"
    assert commands(guest) == ["x-ebb-stat"]


@pytest.mark.parametrize(
    "words, target",
    [(["-i", "36"], 100), (["-d", "24"], 40), (["-d", "1000"], 0), (["--target", "0"], 0), (["--target=128M"], 128),
     (["-i0"], 64), (["--target", "1008"], 1008), (["--inflate=944"], 1008)],
)
def test_balloon_target(ebb, fake, words, target):
    guest = fake()
    done = ebb("balloon", *words)
    assert done.status == 0 and done.err == ""
    # QMP counts what is left to the guest.
    assert ("balloon", {"value": (1024 - target) * MIB}) in guest.asked
    assert guest.stat["balloon"]["target"] == target * MIB
    assert done.out.startswith(f"ci: target {target}.0 MiB, actual ")


def test_balloon_counts_from_what_is_not_leased(ebb, fake):
    guest = fake()
    guest.do_x_ebb_balloon({"extra": 16 * MIB})
    assert guest.stat["balloon"]["target"] == 80 * MIB
    assert ebb("balloon", "-i", "8").status == 0
    assert ("balloon", {"value": (1024 - 72) * MIB}) in guest.asked


@pytest.mark.parametrize("words", [["-i", "945"], ["--target=1009M"], ["--target=2G"], ["-i", "17592186044415"], ["--target=16383P"]])
def test_balloon_too_large(ebb, fake, words):
    guest = fake()
    ebb("balloon", *words).failed(1, "1024 MiB", "1008M")
    assert commands(guest) == ["x-ebb-stat"]


@pytest.mark.parametrize(
    "words, says",
    [(["-i", "x"], '"x" is not a number'), (["-i", "-1"], '"-1" is not a number'), (["-d", "1M"], '"1M" is not a number'),
     (["-i", "17592186044416"], "not a number"), (["--target", "-1"], '"-1" is not a size'),
     (["--target=1K"], "whole number of MiB"), (["-i", "1", "-d", "1"], "only one of"), (["--wait=x"], '"x" is not a time'),
     (["-i"], "-i needs a value"), (["--inflat", "1"], "did you mean --inflate?"), (["-a"], "unknown option -a")],
)
def test_balloon_mistakes(ebb, fake, words, says):
    guest = fake()
    ebb("balloon", *words).failed(2, says)
    assert guest.asked == []


def test_balloon_none(ebb, fake):
    fake(balloon=None)
    ebb("balloon", "-i", "1").failed(1, "no balloon", "--balloon")


def test_balloon_wait(ebb, fake):
    guest = fake()
    guest.speed = 10 * MIB
    done = ebb("balloon", "--target=128M", "--wait")
    assert done.status == 0
    assert done.out == "ci: target 128.0 MiB, actual 128.0 MiB, reached\n"
    assert commands(guest).count("x-ebb-stat") >= 7


def test_balloon_wait_too_long(ebb, fake):
    guest = fake()
    guest.speed = 0
    start = time.monotonic()
    ebb("balloon", "--target=128M", "--wait=0.5").failed(3, "not ready in time", "64.0 MiB of 128.0 MiB")
    assert 0.5 <= time.monotonic() - start < 3
    ebb("balloon", "--wait", "0").failed(3, "64.0 MiB of 128.0 MiB")


def test_balloon_stuck(ebb, fake):
    guest = fake()
    guest.stat["balloon"] |= {"state": "stuck", "actual": 32 * MIB}
    ebb("balloon", "--wait").failed(3, "stuck", "32.0 MiB of 64.0 MiB")


def test_balloon_without_driver(ebb, fake):
    guest = fake()
    guest.stat["balloon"] |= {"state": "no-driver", "actual": 0}
    ebb("balloon", "--wait=0.2").failed(3, "no driver", "0.0 MiB of 64.0 MiB")


def test_balloon_of_two_masters(ebb, fake):
    guest = fake()
    guest.speed = 0

    def steal(arguments):
        del guest.hooks["balloon"]
        guest.stat["balloon"]["state"] = "moving"
        guest.stat["balloon"]["target"] = 100 * MIB
        guest.hooks["x-ebb-stat"] = look
        return {}

    def look(arguments):
        if commands(guest).count("x-ebb-stat") > 3:
            guest.stat["balloon"]["target"] = 200 * MIB
        return guest.stat

    guest.hooks["balloon"] = steal
    ebb("balloon", "--target=100M", "--wait").failed(1, "another target")


def test_balloon_refused(ebb, fake):
    guest = fake()

    def refuse(_arguments):
        raise Refusal("the balloon is \x1b[31mnot active\n")

    guest.hooks["balloon"] = refuse
    ebb("balloon", "-i1").failed(1, "refused balloon", "the balloon is \\x1b[31mnot active\\x0a")


# --- pause and resume --------------------------------------------------------------------------


def test_pause_and_resume(ebb, fake):
    guest = fake()
    assert ebb("pause").out == "" and guest.stat["status"] == "paused"
    assert ebb("pause").status == 0
    assert ebb("resume").status == 0 and guest.stat["status"] == "running"
    assert commands(guest) == ["stop", "stop", "cont"]


# --- stop --------------------------------------------------------------------------------------


def test_stop(ebb, fake):
    guest = fake()
    assert ebb("stop").out == "ci: powered off\n"
    assert commands(guest) == ["query-status", "system_powerdown"]


def test_stop_paused(ebb, fake):
    guest = fake(status="paused")
    assert ebb("stop").out == "ci: powered off\n"
    assert commands(guest) == ["query-status", "cont", "system_powerdown"]


def test_stop_with_events(ebb, fake):
    guest = fake()

    def press(_arguments):
        guest.event("POWERDOWN")
        guest.event("SHUTDOWN", guest=True, reason="guest-shutdown")
        return guest.do_system_powerdown({})

    guest.hooks["system_powerdown"] = press
    assert ebb("stop").out == "ci: powered off\n"


def test_stop_deaf_guest(ebb, fake):
    guests = [fake(name) for name in "abcdefgh"]
    for guest in guests:
        guest.hooks["system_powerdown"] = lambda _arguments: {}
    start = time.monotonic()
    done = ebb("stop", "-a", "--timeout", "1")
    assert 1 <= time.monotonic() - start < len(guests)  # one second for all
    assert done.status == 0 and done.out.count("ended by force") == len(guests)
    assert all(commands(guest)[-1] == "quit" and guest.ended.is_set() for guest in guests)


def test_stop_force(ebb, fake):
    guest = fake()
    assert ebb("stop", "--force").out == "ci: ended by force\n"
    assert commands(guest) == ["quit"]


def test_stop_that_cannot(ebb, fake):
    guest = fake()

    def quit(_arguments):
        return {}

    guest.hooks["quit"] = quit
    ebb("stop", "--force").failed(3, "does not end", "kill -9")


def test_stop_refused(ebb, fake):
    guest = fake()

    def refuse(_arguments):
        raise Refusal("no button")

    guest.hooks["system_powerdown"] = refuse
    start = time.monotonic()
    done = ebb("stop")
    assert time.monotonic() - start < 5  # it is not waited for in vain
    assert done.status == 0 and "no button" in done.err and "ended by force" in done.out


@pytest.mark.parametrize("value", ["", "x", "-1", "1e9"])
def test_stop_mistakes(ebb, fake, value):
    guest = fake()
    ebb("stop", "--timeout", value).failed(2, "--timeout", "not a time")
    assert guest.asked == []


# --- debug -------------------------------------------------------------------------------------


def test_debug(ebb, fake):
    guest = fake()
    done = ebb("debug", "-d", "-s", "t", "-m", "1")
    assert done.status == 0
    assert guest.asked == [("x-ebb-sysrq", {"key": "t"}), ("inject-nmi", {"cpu-index": 1}), ("x-ebb-registers", {})]
    assert "CPU 0:\nrip 1\n\trsp 2\\x1b[31m\n" in done.out and "CPU 1:\nrip 3\n" in done.out


def test_debug_every_cpu(ebb, fake):
    guest = fake()
    assert ebb("debug", "-m").status == 0
    assert guest.asked == [("inject-nmi", {})]


@pytest.mark.parametrize("words, says", [([], "nothing to do"), (["-s", ""], "not a key"), (["-s", "tt"], "not a key"),
                                         (["-s", "\n"], "not a key"), (["-m", "x"], '"x" is not an option'),
                                         (["-m4096"], "not a CPU"), (["-d", "ci"], '"ci" is not an option')])
def test_debug_mistakes(ebb, fake, words, says):
    guest = fake()
    ebb("debug", *words).failed(2, says)
    assert guest.asked == []


# --- silence -----------------------------------------------------------------------------------


def test_silence(ebb, fake):
    guest = fake()

    def nothing(_arguments):
        raise Silence

    guest.hooks["x-ebb-stat"] = nothing
    start = time.monotonic()
    ebb("stat").failed(1, "does not answer x-ebb-stat")
    assert time.monotonic() - start < 20


def test_silence_from_the_start(ebb, fake):
    guest = fake()
    guest.greeting = b""
    ebb("pause").failed(1, '"ci"')


# --- many --------------------------------------------------------------------------------------


def slow(guest, seconds):
    """Answers after a while, and not when it is busy with another's: as a guest's ebb on a busy host."""
    def stat(arguments):
        time.sleep(seconds)
        return guest.do_x_ebb_stat(arguments)

    guest.hooks["x-ebb-stat"] = stat


@pytest.mark.parametrize("words", [["list"], ["stat", "-a", "--no-refresh"]], ids=lambda words: words[0])
def test_64_at_once(ebb, fake, words):
    """All are asked before any is waited for: 64 guests that take their time take as long as one. One after the other
    would be 64 times as long; what 64 cost besides, in this process that plays them all, is taken off."""
    def measure():
        start = time.monotonic()
        assert ebb(*words).status == 0
        return time.monotonic() - start

    slow(fake("guest-0"), 0.5)
    one = measure()
    guests = [fake(f"guest-{i}") for i in range(1, 64)]
    base = measure()
    for guest in guests:
        slow(guest, 0.5)
    assert measure() - base < 8 * one


def test_one_that_is_stuck_costs_the_others_nothing(ebb, fake):
    """It is given up when its time is over; by then the others have long answered, and are shown in their order."""
    answered = []
    guests = [fake(name) for name in ("a", "b", "c")]

    def nothing(_arguments):
        raise Silence

    def stat(name, guest):
        def answer(arguments):
            answered.append(name)
            return guest.do_x_ebb_stat(arguments)

        return answer

    guests[0].hooks["x-ebb-stat"] = nothing
    for name, guest in zip("bc", guests[1:]):
        guest.hooks["x-ebb-stat"] = stat(name, guest)
    start = time.monotonic()
    done = ebb("list")
    assert time.monotonic() - start < 10  # once the five seconds, for connecting as well as for the answer
    assert done.status == 1 and done.err.count("\n") == 1 and '"a"' in done.err
    assert [line.split()[1] for line in done.out.splitlines()[1:]] == ["a", "b", "c"]
    assert sorted(answered) == ["b", "c"]


def test_several_that_are_stuck_take_no_longer_than_one(ebb, fake):
    for name in "abcd":
        fake(name).greeting = b""
    fake("e")
    start = time.monotonic()
    done = ebb("pause", "-a")
    assert time.monotonic() - start < 10  # 20 seconds, were it one after the other
    assert done.status == 1 and [line.split('"')[1] for line in done.err.splitlines()] == ["a", "b", "c", "d"]
