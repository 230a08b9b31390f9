# SPDX-License-Identifier: Apache-2.0
"""The balloon under Linux's own driver: it goes where it is sent, and back, whatever happens meanwhile."""

import os
import re

import pytest
from conftest import LIMIT, lib, wait_until
from test_monitor import answers, events, qmp, qmp_until, run, stat
from test_reporting import counters

pytestmark = pytest.mark.linux

MIB = lib.MIB
IDLE = "echo ready; sleep 100000"
# Firecracker's figures: what may be missing after the second time, and what a page table costs.
AGAIN = 20000 * 1024
INTERVAL = {"path": "/machine/peripheral/balloon0", "property": "guest-stats-polling-interval"}
DRIVER = "/sys/bus/virtio/drivers/virtio_balloon"


def balloon(box, name):
    return stat(box, name)["balloon"]


def send_to(box, name, mib):
    """The balloon's target, reached."""
    run(box, "balloon", "-n", name, "--target", f"{mib}M", f"--wait={int(LIMIT)}")
    assert balloon(box, name)["actual"] == mib * MIB


def test_inflate_and_deflate(ebb):
    """What the guest once used and gives up goes to the host, with no reporting; twice, and as much each time."""
    job = "echo ready; while read line; do hold 256M --hold 0; done"
    started = ebb.start(job, "--free-page-reporting=off", "--name", "b", memory="512M")
    started.wait_for("^ready$", LIMIT)
    at, kept = 0, []
    for _ in range(2):
        started.send("\n")
        at = started.wait_for("^hold: done", LIMIT, at)[0] + 1
        used = started.rss()
        assert used >= 256 * MIB
        # The control: without the balloon the host gets nothing.
        assert used - started.stable_rss(LIMIT) < 8 * MIB
        send_to(ebb, "b", 320)
        kept.append(started.stable_rss(LIMIT))
        assert kept[-1] < used - 200 * MIB
        send_to(ebb, "b", 0)
        assert started.stable_rss(LIMIT) - kept[-1] < AGAIN, "deflating alone takes nothing"
    assert kept[1] - kept[0] < AGAIN
    found = balloon(ebb, "b")
    assert found["inflated"] == found["deflated"] == 640 * MIB
    # All that went in was discarded: pages of 4 KiB. Of a host's larger page it may not be all that went in.
    whole = os.sysconf("SC_PAGE_SIZE") == 4096
    assert found["discarded"] == 640 * MIB if whole else 600 * MIB < found["discarded"] <= 640 * MIB
    assert found["failures"] == 0


def test_from_the_start(ebb):
    started = ebb.start(IDLE, "--balloon=96M", "--free-page-reporting=off", "--name", "b", memory="256M")
    started.wait_for("^ready$", LIMIT)
    wait_until(lambda: balloon(ebb, "b")["actual"] == 96 * MIB, "the balloon of the command line is full")
    found = stat(ebb, "b")["guest-stats"]["stats"]
    assert found["stat-free-memory"] < 160 * MIB
    # kvmtool's way: so many MiB more, or less.
    run(ebb, "balloon", "-n", "b", "-i", 16, "--wait")
    assert balloon(ebb, "b")["actual"] == 112 * MIB
    run(ebb, "balloon", "-n", "b", "-d", 32, "--wait")
    assert balloon(ebb, "b")["actual"] == 80 * MIB
    # QEMU's way: what is left to the guest; and each change is told, the last one last.
    lines = qmp_until(
        ebb, "b", {"execute": "balloon", "arguments": {"value": 240 * MIB}},
        condition=lambda line: line.get("data") == {"actual": 240 * MIB},
    )
    assert set(events(lines)) == {"BALLOON_CHANGE"}
    assert balloon(ebb, "b")["actual"] == 16 * MIB


def test_stuck_is_said(module_ebb):
    """More than the guest can give: it goes as far as it can, and that is told from one that is on its way."""
    # Whoever wants a page then may have somebody killed for it: somebody that is not missed.
    victims = "for i in $(seq 30); do (echo 1000 >/proc/self/oom_score_adj; sleep 100000) & done; sleep 1; "
    # And nobody starts a program once it is ready: a shell that waits for a line needs no page for it.
    started = module_ebb.start(victims + "echo ready; read line", "--free-page-reporting=off", "--name", "stuck", memory="256M")
    started.wait_for("^ready$", LIMIT)
    # It has some 225 MiB for itself, of which its programs use a few.
    run(module_ebb, "balloon", "-n", "stuck", "--target", "236M", "--wait=60", status=3)
    wait_until(lambda: balloon(module_ebb, "stuck")["state"] == "stuck", "it is told to be stuck")
    found = balloon(module_ebb, "stuck")
    assert 150 * MIB < found["actual"] < found["target"] == 236 * MIB
    send_to(module_ebb, "stuck", 0)
    started.kill()


def lease(box, name, extra, seconds):
    """Its answer. Events may come before and behind it."""
    return answers(qmp(box, name, {"execute": "x-ebb-balloon", "arguments": {"extra": extra, "lease": seconds}}))[0]


def updates(box, name):
    """How often its statistics came."""
    return stat(box, name, "--no-refresh")["guest-stats"]["updates"]


def leases_end(box, name):
    """A balloon of 128 MiB gets 16 more for a while. Ends with 112, without a lease."""
    assert lease(box, name, 16 * MIB, 600)["return"] == {"target": 144 * MIB, "leased": 16 * MIB}
    wait_until(lambda: balloon(box, name)["actual"] == 144 * MIB, "the lease is in the balloon")
    # Renewed for a shorter time, and not again: all by itself.
    assert lease(box, name, 8 * MIB, 1)["return"] == {"target": 136 * MIB, "leased": 8 * MIB}
    wait_until(lambda: balloon(box, name)["actual"] == 128 * MIB, "the lease has come back")
    assert balloon(box, name)["leased"] == 0
    # Given back before its end.
    assert lease(box, name, 16 * MIB, 600)["return"]["leased"] == 16 * MIB
    assert lease(box, name, 0, 600)["return"] == {"target": 128 * MIB, "leased": 0}
    # What a user sets ends the lease.
    assert lease(box, name, 16 * MIB, 600)["return"]["leased"] == 16 * MIB
    run(box, "balloon", "-n", name, "--deflate", 8)
    found = balloon(box, name)
    assert (found["target"], found["leased"]) == (120 * MIB, 0)
    # And it stays, also when the time of the lease is over: a timer that was set later, for longer, has run out twice.
    before = updates(box, name)
    said = answers(qmp(
        box, name,
        {"execute": "x-ebb-balloon", "arguments": {"extra": 16 * MIB, "lease": 1}},
        {"execute": "balloon", "arguments": {"value": 144 * MIB}},
        {"execute": "qom-set", "arguments": INTERVAL | {"value": 2}},
    ))
    assert [line.get("return") for line in said] == [{"target": 136 * MIB, "leased": 16 * MIB}, {}, {}]
    wait_until(lambda: updates(box, name) >= before + 2, "statistics twice")
    qmp(box, name, {"execute": "qom-set", "arguments": INTERVAL | {"value": 0}})
    found = balloon(box, name)
    assert (found["target"], found["leased"]) == (112 * MIB, 0)
    for extra, seconds in ((-1, 5), (MIB, 0), (MIB, 3601), ("1", 5), (MIB, None)):
        assert lease(box, name, extra, seconds)["error"]["class"] == "GenericError"


@pytest.mark.parametrize("option", ["--deflate-on-oom", "--debug"])
def test_deflate_on_oom(module_ebb, option):
    """Only where it was asked for does the guest take back what it needs, rather than kill."""
    job = "echo ready; read line; hold 160M --hold 0; echo ended=$?; sleep 100000"
    started = module_ebb.start(job, "--balloon=128M", "--free-page-reporting=off", option, "--name", "oom", memory="256M")
    started.wait_for("^ready$", LIMIT)
    wait_until(lambda: balloon(module_ebb, "oom")["actual"] == 128 * MIB, "the balloon is full")
    if option == "--deflate-on-oom":
        leases_end(module_ebb, "oom")
        send_to(module_ebb, "oom", 128)
    else:
        assert lease(module_ebb, "oom", 16 * MIB, 600)["error"]["class"] == "GuestUnsupported"
        assert balloon(module_ebb, "oom")["target"] == 128 * MIB
    started.send("\n")
    ended = int(started.wait_for("^ended=(\\d+)", LIMIT)[1][1])
    found = balloon(module_ebb, "oom")
    if option == "--deflate-on-oom":
        assert ended == 0
        assert found["actual"] < 128 * MIB
    else:
        assert ended == 128 + 9, started.console()
        # Some pages may have been deflated: the guest's compaction moves pages of the balloon, which inflates others for them.
        assert found["actual"] == 128 * MIB
        assert stat(module_ebb, "oom")["guest-stats"]["stats"]["stat-oom-kills"] == 1
    started.kill()


def test_no_driver(ebb):
    started = ebb.start(f"echo virtio0 >{DRIVER}/unbind; {IDLE}", "--name", "b")
    started.wait_for("^ready$", LIMIT)
    assert balloon(ebb, "b")["state"] == "no-driver"


def test_the_driver_comes_and_goes(ebb):
    """A thousand times, with memory taken and freed, and so reported, all the while."""
    job = (
        "(while hold 64M --hold 0; do :; done) >/dev/null & "
        f"cd {DRIVER}; i=0; while [ $i -lt 1000 ]; do echo virtio0 >unbind; echo virtio0 >bind; i=$((i+1)); done; "
        "memcheck 64M --rounds 1"
    )
    started = ebb.start(job, "--free-page-reporting", "--debug", memory="256M")
    ebb.ended(started, 0, 4 * LIMIT)
    assert re.search("^memcheck: ok", started.console(), re.M), started.console()
    assert "BAD" not in started.console()
    assert counters(started).failures == 0


def test_a_full_balloon_fills_again(ebb):
    """Without its driver the guest has its memory; with it the balloon is full again."""
    job = (
        f"cd {DRIVER}; echo ready; while read line; do "
        "echo virtio0 >unbind; echo unbound; read line; echo virtio0 >bind; echo bound; done"
    )
    started = ebb.start(job, "--balloon=32M", "--free-page-reporting=off", "--name", "b")
    started.wait_for("^ready$", LIMIT)
    at = 0
    for _ in range(5):
        wait_until(lambda: balloon(ebb, "b")["actual"] == 32 * MIB, "the balloon is full")
        started.send("\n")
        at = started.wait_for("^unbound", LIMIT, at)[0] + 1
        found = balloon(ebb, "b")
        assert found["state"] == "no-driver"
        assert found["inflated"] == found["deflated"]
        started.send("\n")
        at = started.wait_for("^bound", LIMIT, at)[0] + 1


@pytest.mark.parametrize("param", ["init_on_free=1", "page_poison=1"])
def test_a_guest_that_fills_what_it_frees(ebb, param):
    """It goes on reporting. Zeros are what the host gives back; where it wants something else, nothing is taken."""
    job = "echo ready; read line; hold 192M --hold 0; read line; memcheck 128M --seconds 5"
    started = ebb.start(
        job, "--free-page-reporting", "--name", "b", memory="384M", params=f"quiet {param}",
    )
    started.wait_for("^ready$", LIMIT)
    reporting = stat(ebb, "b")["reporting"]
    assert reporting["negotiated"] and reporting["poison"]
    started.send("\n")
    started.wait_for("^hold: done", LIMIT)
    if param == "init_on_free=1":
        wait_until(lambda: started.rss() < 128 * MIB, "the memory comes back")
        assert stat(ebb, "b")["reporting"]["held-back"] == 0
    else:
        wait_until(lambda: stat(ebb, "b")["reporting"]["held-back"] > 192 * MIB * 0.8, "it is held back")
        assert started.rss() >= 192 * MIB
        assert stat(ebb, "b")["reporting"]["bytes"] == 0
    started.send("\n")
    started.wait_for("^memcheck: ok", LIMIT)
    ebb.ended(started, 0)
    assert "BAD" not in started.console() and "corruption" not in started.console()


def test_statistics_stop_with_the_driver(ebb):
    """What a guest no longer says is not shown as if it did."""
    started = ebb.start(f"echo ready; read line; echo virtio0 >{DRIVER}/unbind; {IDLE}", "--name", "b")
    started.wait_for("^ready$", LIMIT)
    assert stat(ebb, "b")["guest-stats"]["stats"]
    at = len(started.lines)
    started.send("\n")
    started.wait_for("^ready$", LIMIT, at)
    assert os.path.exists(f"{ebb.runtime}/b.sock")
    assert stat(ebb, "b")["guest-stats"]["stats"] == {}
