# SPDX-License-Identifier: Apache-2.0
"""A running guest is looked at and steered from outside: by ebb's own commands, and by QMP spoken by socat."""

import json
import os
import re
import subprocess
import time

import pytest
from conftest import LIMIT, lib, wait_until

pytestmark = pytest.mark.linux

MIB = lib.MIB
EBB = lib.EBB
IDLE = "echo ready; sleep 100000"


def run(box, *words, status=0, timeout=LIMIT):
    """An ebb command. Returns what it printed."""
    done = subprocess.run([EBB, *map(str, words)], env=box.env, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def stat(box, name, *options):
    """All figures of a guest, as x-ebb-stat has them."""
    return json.loads(run(box, "stat", "-n", name, "--json", *options))


def spoken(messages):
    return "".join(json.dumps(message) + "\n" for message in ({"execute": "qmp_capabilities"}, *messages))


def qmp(box, name, *messages):
    """What a program that is not ours sees: each message is sent, then all answers are read; ebb closes then."""
    text = spoken(messages)
    done = subprocess.run(
        ["socat", f"-t{LIMIT:.0f}", "-", f"UNIX-CONNECT:{box.runtime}/{name}.sock"],
        input=text, capture_output=True, text=True, timeout=LIMIT, check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def qmp_until(box, name, *messages, condition):
    """Stays connected, and returns what came up to the first line of which condition(line) holds."""
    lines = []
    with subprocess.Popen(
        ["timeout", str(LIMIT), "socat", "-", f"UNIX-CONNECT:{box.runtime}/{name}.sock"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as client:
        client.stdin.write(spoken(messages))
        client.stdin.flush()
        for line in client.stdout:
            lines.append(json.loads(line))
            if condition(lines[-1]):
                client.terminate()
                return lines
    raise lib.GuestError(f"not within {LIMIT} s, but only: {lines}")


def answers(lines):
    return [line for line in lines if "return" in line or "error" in line][1:]


def events(lines):
    return [line["event"] for line in lines if "event" in line]


@pytest.fixture(scope="module")
def guest(module_ebb):
    started = module_ebb.start(
        IDLE, "--free-page-reporting", "--name", "watched", "-c", 2, memory="512M"
    )
    started.wait_for("^ready$", LIMIT)
    return module_ebb, started


@pytest.mark.cross
def test_list_and_stat(guest):
    box, started = guest
    started.stable_rss(timeout=LIMIT, still=4.0)  # what was free at the start is reported two seconds later
    line = run(box, "list").splitlines()[1].split()
    assert line[:4] == [str(started.pid), "watched", "running", "2"]
    found = stat(box, "watched")
    assert found["memory"]["size"] == 512 * MIB and found["cpus"] == 2
    # Two ways to the same figure; the guest may take a little in between.
    assert abs(found["memory"]["rss"] - started.rss()) < 8 * MIB
    assert found["reporting"]["negotiated"] and not found["reporting"]["poison"]
    stats = found["guest-stats"]["stats"]
    # All sixteen of Linux 6.12, but for the two of hugetlb, which the guest's kernel does not have.
    theirs = [name for name in stats if not name.startswith("stat-ebb-")]
    assert len(theirs) == 14 and "stat-htlb-pgalloc" not in stats
    assert 400 * MIB < stats["stat-total-memory"] < 512 * MIB
    assert stats["stat-free-memory"] < stats["stat-total-memory"]


@pytest.mark.cross
def test_reclaim(guest):
    """Debian's kernel cannot be asked, and that is said; one with our patches gives memory back."""
    box, _ = guest
    if stat(box, "watched")["reclaim"]["negotiated"]:
        answer = json.loads(run(box, "reclaim", "-n", "watched", "--cache=all", "--compact", "--json"))
        assert answer["status"] == "done"
        # What the guest touches to answer is the host's, too, in pages of the host's size.
        touched = 0 if os.sysconf("SC_PAGE_SIZE") == 4096 else MIB
        assert answer["rss-after"] - answer["rss-before"] <= touched
        return
    done = subprocess.run([EBB, "reclaim", "-n", "watched"], env=box.env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1 and "kernel cannot give back memory on request" in done.stderr


@pytest.mark.cross
def test_pause_and_resume(guest):
    """A paused guest uses no processor time, and goes on where it was."""
    box, started = guest

    def ticks():
        total = 0
        for task in os.listdir(f"/proc/{started.pid}/task"):
            with open(f"/proc/{started.pid}/task/{task}/comm", encoding="ascii") as comm:
                if not comm.read().startswith("vcpu"):
                    continue
            with open(f"/proc/{started.pid}/task/{task}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    run(box, "debug", "-n", "watched", "-s", "h")  # something is said on the console
    started.wait_for("sysrq: HELP", LIMIT)
    run(box, "pause", "-n", "watched")
    assert stat(box, "watched")["status"] == "paused"
    before, said = ticks(), len(started.lines)
    run(box, "debug", "-n", "watched", "-s", "h")
    time.sleep(1)
    assert ticks() == before and len(started.lines) == said
    run(box, "resume", "-n", "watched")
    # There is room for one key, and the one that came meanwhile waits for a guest that may be slow.
    words = [EBB, "debug", "-n", "watched", "-s", "m"]
    wait_until(lambda: subprocess.run(words, env=box.env, stderr=subprocess.DEVNULL, check=False).returncode == 0, "room for a key")
    started.wait_for("sysrq: Show Memory", LIMIT, said)
    assert stat(box, "watched")["status"] == "running"


def test_pause_a_thousand_times(guest):
    """With its memory moving meanwhile, and nothing said by its kernel."""
    box, started = guest
    pair = [{"execute": "stop"}, {"execute": "cont"}]
    lines = qmp(box, "watched", *(pair * 500))
    assert [line.get("return") for line in answers(lines)] == [{}] * 1000
    assert events(lines) == ["STOP", "RESUME"] * 500
    run(box, "debug", "-n", "watched", "-s", "h")


@pytest.mark.cross
def test_registers(guest):
    box, _ = guest
    text = run(box, "debug", "-n", "watched", "-d")
    assert re.findall(r"^CPU (\d):$", text, re.M) == ["0", "1"]
    assert len(re.findall(r"^(rip|pc) +ffff[0-9a-f]{12} ", text, re.M)) == 2, f"idle vCPUs are in the kernel\n{text}"


@pytest.mark.cross
def test_nmi(guest):
    box, started = guest
    if lib.ARCH != "x86_64":
        words = [EBB, "debug", "-n", "watched", "-m", "1"]
        done = subprocess.run(words, env=box.env, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 1 and "has no NMI" in done.stderr, done.stderr
        return
    at = len(started.lines)
    run(box, "debug", "-n", "watched", "-m", 1)
    started.wait_for("NMI received for unknown reason .* on CPU 1", LIMIT, at)


@pytest.mark.cross
@pytest.mark.arch("arm64", "riscv64")
def test_no_snapshot_yet(guest, tmp_path):
    """It is refused in words before anything stops, and nothing is left; so is a restore. (tests/payload has x86_64's.)"""
    box, started = guest
    why = f"ebb cannot save {os.uname().machine} guests yet, only x86_64 ones"
    for words in (str(tmp_path / "there"),), ("-",), ("--live", "-"):
        done = subprocess.run([EBB, "snapshot", "-n", "watched", *words], env=box.env, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 1 and done.stderr == f'ebb: guest "watched" is not saved: {why}\n' and not done.stdout, done
    assert not os.listdir(tmp_path) and stat(box, "watched")["status"] == "running"
    (tmp_path / "snapshot").write_bytes(b"")
    argv = [EBB, "run", "--restore", str(tmp_path), "-n", "none", "--name", "restored"]
    done = subprocess.run(argv, env=box.env, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == f"ebb: cannot restore the snapshot in '{tmp_path}': {why}", done


def test_qmp_as_others_speak_it(guest):
    box, started = guest
    lines = qmp(
        box, "watched",
        {"execute": "query-status", "id": 1},
        {"execute": "query-name"},
        {"execute": "query-cpus-fast"},
        {"execute": "query-balloon"},
        {"execute": "qom-list", "arguments": {"path": "/machine/peripheral"}},
        {"execute": "qom-get", "arguments": {"path": "/machine/peripheral/balloon0", "property": "guest-stats"}},
        {"execute": "nonsense", "id": "x"},
        {"execute": "balloon", "arguments": {"value": "much"}},
    )
    assert lines[0]["QMP"]["version"]["package"].startswith("ebb")
    found = answers(lines)
    assert found[0] == {"id": 1, "return": {"status": "running", "singlestep": False, "running": True}}
    assert found[1]["return"] == {"name": "watched"}
    threads = {int(task) for task in os.listdir(f"/proc/{started.pid}/task")}
    assert {cpu["thread-id"] for cpu in found[2]["return"]} < threads and len(found[2]["return"]) == 2
    assert found[3]["return"] == {"actual": 512 * MIB}
    assert found[4]["return"] == [{"name": "balloon0", "type": "child<virtio-balloon-device>"}]
    assert found[5]["return"]["stats"]["stat-total-memory"] > 0
    assert found[6]["id"] == "x" and found[6]["error"]["class"] == "CommandNotFound"
    assert found[7]["error"]["class"] == "GenericError"


def test_statistics_by_interval(guest):
    box, _ = guest
    path = "/machine/peripheral/balloon0"
    interval = {"path": path, "property": "guest-stats-polling-interval"}
    qmp(box, "watched", {"execute": "qom-set", "arguments": interval | {"value": 1}})
    before = stat(box, "watched", "--no-refresh")["guest-stats"]["updates"]
    wait_until(
        lambda: stat(box, "watched", "--no-refresh")["guest-stats"]["updates"]
        >= before + 3,
        "three updates that nobody asked for",
    )
    lines = qmp(
        box, "watched",
        {"execute": "qom-set", "arguments": interval | {"value": 0}},
        {"execute": "qom-get", "arguments": interval},
        {"execute": "qom-set", "arguments": interval | {"value": -1}},
    )
    assert [line.get("return") for line in answers(lines)[:2]] == [{}, 0]
    assert "error" in answers(lines)[2]


def test_what_is_left_of_root(guest):
    """Every thread: no capability, no way to new ones; no core dump."""
    _, started = guest
    for task in os.listdir(f"/proc/{started.pid}/task"):
        with open(f"/proc/{started.pid}/task/{task}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"):
            assert int(status[caps], 16) == 0, f"{caps} of {status['Name']}"
        assert int(status["NoNewPrivs"]) == 1
    with open(f"/proc/{started.pid}/limits", encoding="ascii") as file:
        assert re.search(r"^Max core file size +0 +0 ", file.read(), re.M)


def test_sockets_are_private(guest):
    box, _ = guest
    assert os.stat(box.runtime).st_mode & 0o777 == 0o700
    assert os.stat(f"{box.runtime}/watched.sock").st_mode & 0o777 == 0o600


@pytest.mark.cross
def test_stop_asks_first(ebb):
    started = ebb.start(IDLE, "--name", "asked")
    started.wait_for("^ready$", LIMIT)
    run(ebb, "stop", "-n", "asked", "--timeout", LIMIT)
    ebb.ended(started, 0)
    assert "ebb-guest: power button" in started.console()


def test_stop_pulls_the_plug(ebb):
    """A guest that does not listen to its power button."""
    started = ebb.start("killall acpid; echo ready; sleep 100000", "--name", "deaf")
    started.wait_for("^ready$", LIMIT)
    assert "force" in run(ebb, "stop", "-n", "deaf", "--timeout", 2)
    ebb.ended(started, 0)


@pytest.mark.parametrize(
    "command, reason, first",
    [("quit", "host-qmp-quit", []), ("system_reset", "host-qmp-system-reset", ["RESET"])],
)
def test_ended_by_qmp(ebb, command, reason, first):
    started = ebb.start(IDLE, "--name", "ended")
    started.wait_for("^ready$", LIMIT)
    lines = qmp(ebb, "ended", {"execute": command})
    assert answers(lines)[0] == {"return": {}}
    assert events(lines) == [*first, "SHUTDOWN"]
    assert lines[-1]["data"] == {"guest": False, "reason": reason}
    ebb.ended(started, 0)


def test_a_name_for_who_has_none(ebb):
    started = ebb.start(IDLE)
    started.wait_for("^ready$", LIMIT)
    assert run(ebb, "list").splitlines()[1].split()[1] == f"guest-{started.pid}"
    run(ebb, "stop", "--force")
    ebb.ended(started, 0)
    assert len(run(ebb, "list").splitlines()) <= 1


def test_killed_guests_are_cleared(ebb):
    started = ebb.start(IDLE, "--name", "killed")
    started.wait_for("^ready$", LIMIT)
    started.kill()
    assert ebb.left()
    run(ebb, "list")
    assert not ebb.left()


def test_vcpus_stay_where_they_are_put(ebb):
    # None of these CPUs exists here.
    ebb.mistake(lib.ebb("true", "--vcpu-affinity", "4000"), "--vcpu-affinity")
    started = ebb.start(IDLE, "--vcpu-affinity", "0", "-c", 2)
    started.wait_for("^ready$", LIMIT)
    found = {}
    for task in os.listdir(f"/proc/{started.pid}/task"):
        with open(f"/proc/{started.pid}/task/{task}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        found[status["Name"]] = status["Cpus_allowed_list"]
    assert found["vcpu0"] == found["vcpu1"] == "0"
