# SPDX-License-Identifier: Apache-2.0
"""ebb top: what it prints, and its screen in a terminal that pyte plays, by keys."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest
from conftest import EBB, LIMIT
from fake import MIB, Silence

STATS = {"stat-free-memory": 300 * MIB, "stat-total-memory": 1000 * MIB}


def guest(fake, name, rss, **hooks):
    """1 GiB, of which so many MiB are resident, 300 are free, 64 are in the balloon: 660 are used."""
    one = fake(name)
    one.stat["memory"]["rss"] = rss * MIB
    del one.stat["memory"]["own"]
    one.stat["guest-stats"]["stats"] = dict(STATS)
    one.hooks |= hooks
    return one


def aged(fake, name, old):
    """It has 100 MiB of programs' memory and 300 of files, of which so many MiB each were not used for an hour."""
    told = guest(fake, name, 100).stat["guest-stats"]["stats"]
    for kind, size in (("anon", 100), ("file", 300)):
        told[f"stat-ebb-{kind}"] = size * MIB
        told |= {f"stat-ebb-{kind}-{age}": old * MIB for age in ("10s", "1min", "10min", "1h")}


def silent(_arguments):
    raise Silence


def every_second(one, **bytes_a_second):
    """Its counters grow with time, whenever it is asked."""
    begin = time.monotonic()
    answer = one.do_x_ebb_stat

    def grow(arguments):
        one.stat["reporting"]["bytes"] = int((time.monotonic() - begin) * bytes_a_second["reported"])
        return answer(arguments)

    one.hooks["x-ebb-stat"] = grow


def waits(one, share):
    """Its tasks wait for memory for so much of the time, of which it tells when it is asked for statistics: the first are those
    of an hour ago, in which they always waited."""
    begin = time.monotonic()
    one.stat["guest-stats"]["stats"]["stat-ebb-stall-some"] = 0
    one.stat["guest-stats"]["stats"]["stat-alloc-stalls"] = 0

    def grow(arguments):
        seconds = 3600 + (time.monotonic() - begin) * share
        one.stat["guest-stats"]["stats"] |= {"stat-ebb-stall-some": int(seconds * 1000000), "stat-alloc-stalls": int(seconds * 1000)}
        return one.do_x_ebb_stats_request(arguments)

    one.hooks["x-ebb-stats-request"] = grow


def three_pressures(fake):
    waits(guest(fake, "hungry", 300), 0.3)
    waits(guest(fake, "calm", 200), 0)
    guest(fake, "stock", 100)


class Terminal:
    def __init__(self, runtime, *words, width=110, height=12, **env):
        self.screen = pyte.Screen(width, height)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        # A terminal whose every sequence pyte knows.
        env = os.environ | {"EBB_RUNTIME_DIR": runtime, "TERM": "screen", "LC_ALL": "C.UTF-8"} | env
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.size(width, height, 0)
            os.execve(EBB, [EBB, "top", *words], env)
        self.status = None

    def size(self, width, height, fd=None):
        fcntl.ioctl(self.fd if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def _read(self, wait):
        """Takes what comes within @wait. Returns False at the end."""
        if not select.select([self.fd], [], [], wait)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def until(self, condition, what):
        """Waits until the lines fulfil the condition."""
        end = time.monotonic() + LIMIT
        while not condition(self.lines()):
            assert self._read(0.1) and time.monotonic() < end, (what, self.lines())
        return self.lines()

    def shows(self, text):
        return self.until(lambda lines: any(text in line for line in lines), text)

    def names(self):
        """Of the rows, from the top."""
        lines = self.lines()
        head = next((i for i, line in enumerate(lines) if line.startswith("NAME")), None)
        return [] if head is None else [line.split()[0] for line in lines[head + 1:-1] if line]

    def ordered(self, *names):
        self.until(lambda _lines: self.names() == list(names), names)

    def ends(self):
        end = time.monotonic() + LIMIT
        while self._read(0.1):
            assert time.monotonic() < end, self.lines()
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(runtime):
    terminals = []

    def start(*words, **options):
        terminals.append(Terminal(runtime, *words, **options))
        return terminals[-1]

    yield start
    for one in terminals:
        one.close()


# --- printed ------------------------------------------------------------------------------------


def test_once(ebb, fake):
    guest(fake, "little", 100)
    guest(fake, "much", 900)
    done = ebb("top", "--once", "-i", "0.1")
    assert (done.status, done.err) == (0, "")
    host, totals, titles, *rows = done.out.splitlines()
    assert host.startswith("host: ") and " available, PSI " in host
    assert totals.startswith("guests: 2, promised 1.9G (") and totals.endswith("held 1.0G, used 1.3G, excess 240M")
    assert titles.split() == ["NAME", "STATUS", "SIZE", "USED", "HELD", "EXCESS", "REP/S", "BALL", "PSI%", "CPU%", "DISK/S", "NET/S", "STALLS",
                              "AGES"]
    assert [row.split()[:8] for row in rows] == [["much", "running", "1.0G", "660M", "900M", "240M", "0B", "64M"],
                                                 ["little", "running", "1.0G", "660M", "100M", "0B", "0B", "64M"]]


def test_json_has_rates(ebb, fake):
    every_second(guest(fake, "a", 100), reported=1000 * MIB)
    got = ebb("top", "--json", "-i", "0.5").json()
    assert got["host"]["total"] > got["host"]["available"] > 0
    (a,) = got["guests"]
    assert (a["name"], a["pid"], a["size"], a["used"], a["held"], a["excess"]) == ("a", os.getpid(), 1024 * MIB, 660 * MIB, 100 * MIB, 0)
    # Looked at and answered at moments that differ a little.
    assert 100 * MIB < a["reported-per-second"] < 10000 * MIB
    assert a["disk-per-second"] == a["network-per-second"] == 0 and a["cpu-percent"] >= 0
    assert "stalls-per-second" not in a


def test_ages(ebb, fake):
    """Those that a guest with our kernel tells, cold ones first on wish; the control tells none."""
    aged(fake, "warm", 4)
    aged(fake, "cold", 80)
    guest(fake, "stock", 100)
    rows = ebb("top", "--once", "-i", "0.1", "--sort", "ages").out.splitlines()[3:]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [("cold", "######...."), ("warm", "##########"), ("stock", "-")]
    got = {row["name"]: row for row in ebb("top", "--json", "-i", "0.1").json()["guests"]}
    assert got["cold"]["cold"] == 160 * MIB
    assert got["cold"]["ages"] == {kind: {"all": size * MIB} | dict.fromkeys(("10s", "1min", "10min", "1h"), 80 * MIB)
                                   for kind, size in (("programs", 100), ("files", 300))}
    assert "ages" not in got["stock"] and "cold" not in got["stock"]


def test_pressure(ebb, fake):
    """Of a guest whose tasks wait for a part of the time, of one where none does, and of one that does not tell."""
    three_pressures(fake)
    got = {row["name"]: row for row in ebb("top", "--json", "-i", "1").json()["guests"]}
    # Asked and answered at moments that differ a little.
    assert 10 < got["hungry"]["psi-percent"] < 90 and got["calm"]["psi-percent"] == 0 and "psi-percent" not in got["stock"]
    assert 100 < got["hungry"]["stalls-per-second"] < 900 and got["calm"]["stalls-per-second"] == 0
    assert "stalls-per-second" not in got["stock"]
    rows = ebb("top", "--once", "-i", "0.2", "--sort", "psi%").out.splitlines()[3:]
    told = {row.split()[0]: row.split()[8] for row in rows}
    assert float(told["hungry"]) > 0 and (told["calm"], told["stock"]) == ("0.0", "-")
    assert rows[0].startswith("hungry")


def test_the_host(fake, runtime, tmp_path):
    """A host that is as a test wants it, by the program that the keeper's tests have."""
    guest(fake, "a", 100)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {3 << 20} kB\n")
    short = os.path.join(os.path.dirname(EBB), "tests", "short")
    env = os.environ | {"EBB_RUNTIME_DIR": runtime, "EBB_TEST_HOST": str(tmp_path)}

    def host():
        done = subprocess.run([short, "top", "--once", "-i", "0.1"], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=LIMIT, check=True, text=True)
        assert done.stderr == ""
        return done.stdout.splitlines()[:2]

    assert host() == ["host: 3.0G of 8.0G available, PSI -",
                      "guests: 1, promised 960M (12 % of the host), held 100M, used 660M, excess 0B"]
    # More levels of cgroups than are looked at: that is the keeper's to say, not for a screen.
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::" + 17 * "/a" + "\n")
    (tmp_path / "pressure" / "memory").write_text("some avg10=12.04 avg60=0.00 avg300=0.00 total=9\nfull avg10=1.00 total=0\n")
    assert host()[0] == "host: 3.0G of 8.0G available, PSI 12.04 %"
    (tmp_path / "pressure" / "memory").write_text("garbage")
    assert host()[0] == "host: 3.0G of 8.0G available, PSI -"
    (tmp_path / "meminfo").unlink()
    assert host()[0] == "host: - of - available, PSI -"


def test_options(ebb, fake):
    guest(fake, "ci-1", 100)
    guest(fake, "ci-2", 200)
    guest(fake, "db", 300)
    done = ebb("top", "--once", "-i", "0.1", "--filter", "CI", "--sort", "name")
    assert [row.split()[0] for row in done.out.splitlines()[3:]] == ["ci-1", "ci-2"]
    ebb("top").failed(2, "not a terminal", "--once")
    ebb("top", "--once", "--batch").failed(2, "give one of them")
    ebb("top", "--once", "--sort", "rss").failed(2, "no column is called", "HELD")
    ebb("top", "--once", "--interval", "0.01").failed(2, "at least 0.1")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([EBB, "top", "--batch", "-i", "0.1"], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (1, b"ebb: cannot write to standard output\n")


def test_what_clones_share_counts_for_none(ebb, fake):
    """Two with 800 MiB each, of which 90 are their own; the control is one that shares nothing."""
    for name, own in (("one", 90), ("two", 90), ("else", 800)):
        guest(fake, name, 800).stat["memory"]["own"] = own * MIB
    rows = {row["name"]: row for row in ebb("top", "--json", "-i", "0.1").json()["guests"]}
    assert [(rows[name]["held"], rows[name]["excess"]) for name in ("one", "two", "else")] == [
        (90 * MIB, 90 * MIB), (90 * MIB, 90 * MIB), (800 * MIB, 140 * MIB)]
    assert ebb("top", "--once", "-i", "0.1").out.splitlines()[1].endswith("held 980M, used 1.9G, excess 320M")


def test_no_guest(ebb):
    assert ebb("top", "--json", "-i", "0.1").json()["guests"] == []
    assert "guests: 0, promised 0B" in ebb("top", "--once", "-i", "0.1").out


def test_batch_goes_on_until_a_signal(fake, runtime):
    one = guest(fake, "a", 100)
    with subprocess.Popen([EBB, "top", "--batch", "--json", "-i", "0.1"], env=os.environ | {"EBB_RUNTIME_DIR": runtime},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        held = 100
        for _ in range(3):
            assert json.loads(process.stdout.readline())["guests"][0]["held"] == held * MIB
            one.stat["memory"]["rss"] = (held + 1) * MIB
            while json.loads(process.stdout.readline())["guests"][0]["held"] == held * MIB:
                pass
            held += 1
        one.end()
        while json.loads(process.stdout.readline())["guests"]:
            pass
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(LIMIT) == 0


# --- guests that do not behave ------------------------------------------------------------------


def test_slow_answers_are_printed(ebb, fake):
    """Each question is waited for, also the one for new statistics, which takes longer than the interval here. The control
    never answers that one."""
    def slow(_arguments):
        time.sleep(0.5)
        return {"updates": 4}

    guest(fake, "slow", 100, **{"x-ebb-stats-request": slow})
    guest(fake, "stuck", 100, **{"x-ebb-stats-request": silent})
    rows = {row.split()[0]: row.split()[1:3] for row in ebb("top", "--once", "-i", "0.1").out.splitlines()[3:]}
    assert rows == {"slow": ["running", "1.0G"], "stuck": ["no", "answer"]}


def test_hostile_answers(ebb, fake):
    """Whatever they say, the others are shown; conftest looks for what steers a terminal."""
    guest(fake, "good", 100)
    guest(fake, "steers", 100).stat["status"] = "\x1b[2Jrunning\n\u202e"
    guest(fake, "garbage", 100, **{"x-ebb-stat": lambda _arguments: b"\x1b[2J\r\n"})
    guest(fake, "wrong", 100).stat["memory"]["rss"] = -1
    huge = guest(fake, "huge", 100)
    huge.stat["memory"]["size"] = huge.stat["memory"]["rss"] = huge.stat["cpus"] = (1 << 63) - 1
    huge.stat["disks"] = [{"disk": "d", "read-bytes": (1 << 63) - 1, "written-bytes": (1 << 63) - 1}] * 64
    fake("no-socket", serve=False)
    done = ebb("top", "--once", "-i", "0.1")
    rows = {row.split()[0]: row.split()[1:] for row in done.out.splitlines()[3:]}
    assert rows["good"][:4] == ["running", "1.0G", "660M", "100M"]
    assert rows["steers"][0].startswith("\\x1b[2Jr")
    assert rows["huge"][1:4] == ["8.0E", "8.0E", "8.0E"]
    assert [rows[name][:2] for name in ("garbage", "wrong", "no-socket")] == [["no", "answer"]] * 3
    done = ebb("top", "--json", "-i", "0.1")
    assert {one["name"] for one in done.json()["guests"]} == set(rows)


def test_a_stuck_guest_costs_the_screen_nothing(fake, terminal):
    """It is waited for in the first frame alone; the good one's figures go on meanwhile."""
    guest(fake, "stuck", 500, **{"x-ebb-stat": silent})
    good = guest(fake, "good", 100)
    screen = terminal("-i", "0.1")
    screen.until(lambda lines: any(line.startswith("good") and "100M" in line for line in lines), "the good one")
    for rss in range(101, 106):
        good.stat["memory"]["rss"] = rss * MIB
        lines = screen.shows(f" {rss}M ")
    assert any(line.startswith("stuck no answer") for line in lines)
    # All of that within the time that its client waits for the answer: it was asked once.
    assert len([command for command, _ in good.asked if command == "x-ebb-stat"]) > 5
    screen.press("q")
    assert screen.ends() == 0


# --- the screen ---------------------------------------------------------------------------------


def test_screen_and_its_end(fake, terminal):
    guest(fake, "a", 100)
    guest(fake, "b", 900)
    screen = terminal("-i", "0.2")
    screen.ordered("b", "a")
    screen.shows("held 1.0G")
    screen.until(lambda lines: lines[0].startswith("host: ") and lines[1].startswith("guests: 2, promised 1.9G") and
                 lines[-1].startswith("q quit  space pause"), "the whole screen")
    # A guest that comes, and one that goes.
    new = guest(fake, "c", 500)
    screen.ordered("b", "c", "a")
    new.end()
    screen.ordered("b", "a")
    screen.press("q")
    assert screen.ends() == 0
    # The terminal as it was: the cursor is there, and the first screen.
    assert b"\x1b[?1049h" in screen.raw and screen.raw.rindex(b"\x1b[?1049l") > screen.raw.rindex(b"q quit")


def test_pressure_on_the_screen(fake, terminal):
    three_pressures(fake)
    screen = terminal("-i", "0.2", height=24)

    def shown(lines):
        told = {line.split()[0]: line.split()[8] for line in lines if line.startswith(("hungry ", "calm ", "stock ")) and len(line.split()) > 8}
        return len(told) == 3 and told["hungry"] not in ("-", "0.0") and (told["calm"], told["stock"]) == ("0.0", "-")

    screen.until(shown, "each one's pressure")
    screen.press("\r")
    screen.until(lambda lines: any(line.startswith("PSI %") and not line.endswith(("-", " 0.0")) for line in lines), "the detail of hungry")
    screen.press("qq")
    assert screen.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_give_the_terminal_back(fake, terminal, number):
    guest(fake, "a", 100)
    screen = terminal("-i", "0.2")
    screen.ordered("a")
    os.kill(screen.pid, number)
    assert screen.ends() == 0
    assert b"\x1b[?1049l" in screen.raw


def test_keys_that_are_signals(fake, terminal):
    for key in ("\x03", "\x1c"):
        guest(fake, f"a{ord(key)}", 100)
        screen = terminal("-i", "0.2")
        screen.shows(f"a{ord(key)}")
        screen.press(key)
        assert screen.ends() == 0
        assert b"\x1b[?1049l" in screen.raw


def test_keys(fake, terminal):
    for name, rss in (("ci-1", 300), ("ci-2", 200), ("db", 100)):
        guest(fake, name, rss)
    screen = terminal("-i", "0.2")
    screen.ordered("ci-1", "ci-2", "db")
    screen.press("r")
    screen.ordered("db", "ci-2", "ci-1")
    screen.press("<<<<")
    screen.shows("sort: NAME, reversed")
    screen.press("r")
    screen.ordered("ci-1", "ci-2", "db")
    screen.press("/CI")
    screen.shows("name: CI_")
    screen.ordered("ci-1", "ci-2")
    screen.press("\r")
    screen.shows("2 named *CI*")
    screen.press("\x1b")
    screen.ordered("ci-1", "ci-2", "db")
    # An arrow, as terminals send it, and one guest's own screen.
    screen.press("\x1bOB\r")
    screen.shows("ci-2  running  pid ")
    screen.until(lambda lines: any(line.startswith("held         200M  ") and "▂" in line for line in lines), "its curve")
    screen.press("q")
    screen.ordered("ci-1", "ci-2", "db")
    screen.press("q")
    assert screen.ends() == 0


def test_ages_on_the_screen(fake, terminal):
    aged(fake, "a", 80)
    screen = terminal("-i", "0.2", height=20)
    screen.shows("██████····")
    screen.press("\r")
    screen.shows("programs     100M  ████················  not used for 10 s 80M, 1 min 80M, 10 min 80M, 1 h 80M")
    screen.shows("files        300M  ███████████████·····  not used for")
    screen.press("q")
    screen.shows("AGES")
    # Where it has no room the figures before it have.
    screen.size(90, 20)
    screen.until(lambda lines: not any("AGES" in line for line in lines) and any("NET/S" in line for line in lines), "narrow")
    screen.press("q")
    assert screen.ends() == 0


def test_a_guest_that_rests_is_asked_less_often(fake, runtime):
    """Each 5 s, once its rates are known. The controls are asked in each frame: one whose process has run since, and one that sends
    and receives."""
    with subprocess.Popen(["sleep", "1000"]) as idle, subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
        try:
            rests, sends, works = fake("rests", pid=idle.pid), fake("sends", pid=idle.pid), fake("works", pid=busy.pid)
            every_second(sends, reported=10 * MIB)
            begin = time.monotonic()
            with subprocess.Popen([EBB, "top", "--json", "--batch", "-i", "0.2"], env=os.environ | {"EBB_RUNTIME_DIR": runtime},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as top:
                for _ in range(20):
                    top.stdout.readline()
                top.kill()
            seconds = time.monotonic() - begin
        finally:
            idle.kill()
            busy.kill()

    def looks(one):
        return len([command for command, _ in one.asked if command == "x-ebb-stat"])

    assert looks(rests) <= 3 + seconds / 4.75
    assert min(looks(works), looks(sends)) >= 20


def test_pause(ebb, fake, terminal):
    one = guest(fake, "a", 100)

    def looks():
        return len([command for command, _ in one.asked if command == "x-ebb-stat"])

    screen = terminal("-i", "0.1")
    screen.shows(" 100M ")
    screen.press(" ")
    screen.shows("; paused")
    before = looks()
    # The time of ten frames, with three looks of its own; of the screen's at most the one that was on its way.
    ebb("top", "--once", "-i", "0.5")
    assert looks() - before <= 3 + 1
    screen.press("r")
    screen.shows("HELD, reversed")
    one.stat["memory"]["rss"] = 200 * MIB
    screen.press("p")
    screen.shows(" 200M ")


@pytest.mark.parametrize("width, height", [(1, 1), (20, 5), (200, 50)])
def test_sizes(fake, terminal, width, height):
    guest(fake, "abc", 100)
    # ncurses writes the last cell of a line without the tricks of other terminals.
    screen = terminal("-i", "0.1", width=width, height=height, TERM="linux")
    if (width, height) == (1, 1):
        screen.until(lambda lines: lines == ["h"], "one character")
    else:
        screen.ordered("abc")
    # And another size while it runs.
    screen.size(80, 24)
    os.kill(screen.pid, signal.SIGWINCH)
    screen.until(lambda lines: lines[-1].startswith("q quit") and lines[3].startswith("abc  running"), "the new size")
    screen.size(1, 1)
    os.kill(screen.pid, signal.SIGWINCH)
    screen.press("q")
    assert screen.ends() == 0


def test_curves_without_utf8(fake, terminal):
    guest(fake, "a", 1024)
    screen = terminal("-i", "0.1", LC_ALL="C")
    screen.ordered("a")
    screen.press("\r")
    screen.shows("1.0G  ##")


def test_unknown_terminal(fake, terminal):
    guest(fake, "a", 100)
    screen = terminal(TERM="no-such\x1b")
    assert screen.ends() == 1
    assert screen.raw == b'ebb: the terminal "no-such\\x1b" is not known here: set TERM to one that is, or add --once or --batch\r\n'
