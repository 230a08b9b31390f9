# SPDX-License-Identifier: Apache-2.0
"""ebb keeper, on a host that is as short as each test wants, with guests of all kinds."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import LIMIT, TREE, wait
from fake import MIB, Fake, Refusal
from keepers import SHORT, aged, bad, full, last, leases, requests, stock

sys.path.insert(0, os.path.join(TREE, "tests", "lib"))

import guest as lib  # noqa: E402


# --- the host decides ---------------------------------------------------------------------------


def test_plenty_asks_nobody(fake, keeper):
    guest = full(fake, "a")
    kept = keeper()
    kept.looked_at("a")
    assert requests(guest) == [] and not kept.status()["host"]["short"]


def test_short_asks_for_what_is_held_and_then_for_cache(fake, host, keeper):
    guest = full(fake, "a")
    kept = keeper()
    kept.looked_at("a")
    host.available(900)
    wait(lambda: len(requests(guest)) >= 2, kept.log)
    first, second = requests(guest)[:2]
    assert first == {"cache": 0, "compact": False, "timeout": 2.0}
    # Half of what is spare.
    assert 0 < second["cache"] <= 100 * MIB
    kept.until("the host is short of memory: 900.0 MiB are available; asking guests until it has 2048.0 MiB")
    kept.until('guest "a": asked to report what it holds free, 300.0 MiB; it is')
    kept.until('guest "a": 300.0 MiB came in 0.13 s')
    host.available(3000)
    kept.until("the host has enough memory again: 3000.0 MiB are available")

    def counted():
        """The last request, or its answer, may be on its way."""
        status, asked = kept.guests()["a"], len(requests(guest))
        return (status["requests"], status["answered"], status["came"]) == (asked, asked, guest.given)

    wait(counted, kept.guests)


def test_what_clones_share_is_nothing_to_ask_for(fake, host, keeper):
    """One of whose memory all is shared with others has none that would come back; the control has its own."""
    shares, owns = full(fake, "shares"), full(fake, "owns")
    shares.stat["memory"]["own"] = 0
    kept = keeper()
    kept.looked_at("shares")
    kept.looked_at("owns")
    host.available(900)
    wait(lambda: len(requests(owns)) >= 2, kept.log)
    assert requests(shares) == []
    assert kept.guests()["shares"]["resident"] == kept.guests()["shares"]["held"] == 0


def test_its_own_cgroup_counts(fake, host, keeper):
    guest = full(fake, "a")
    host.write("self/cgroup", "4:memory:/old\n0::/user/session\n")
    host.write("user/session/memory.max", "max\n")
    host.write("user/memory.max", f"{4096 * MIB}\n")
    host.write("user/memory.current", f"{4000 * MIB}\n")
    host.write("user/memory.stat", f"anon 1\ninactive_file {100 * MIB}\nactive_file {50 * MIB}\n")
    kept = keeper()
    wait(lambda: requests(guest), kept.log)
    got = kept.status()["host"]
    assert (got["total"], got["available"]) == (4096 * MIB, 246 * MIB)


GONE = "a cgroup that the keeper was started in is gone, and with it its limits"


@pytest.mark.parametrize("gone", [True, False])
def test_a_cgroup_that_goes(fake, host, keeper, gone):
    """Its files then stay open, and cannot be read: as a folder. This is said once."""
    full(fake, "a")
    host.write("self/cgroup", "0::/user\n")
    if gone:
        os.makedirs(os.path.join(host.folder, "user", "memory.max"))
    else:
        host.write("user/memory.max", "max\n")
    host.available(900)
    kept = keeper()
    kept.until("asked to drop page cache")
    assert kept.log().count(GONE) == gone


@pytest.mark.parametrize("levels", [16, 17])
def test_cgroups_without_end(host, keeper, levels):
    host.write("self/cgroup", "0::" + levels * "/a" + "\n")
    assert ("the keeper's cgroup is more than 16 levels deep" in keeper().log()) == (levels > 16)


def test_stalls_count(fake, host, keeper):
    """Programs wait for memory, though not so little is available."""
    guest = full(fake, "a")
    host.available(1500)
    host.write("pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=0\n")
    kept = keeper()
    kept.looked_at("a")
    assert requests(guest) == []
    host.write("pressure/memory", "some avg10=9.00 avg60=0.00 avg300=0.00 total=900000\nfull avg10=0.00 total=0\n")
    wait(lambda: requests(guest), kept.log)
    kept.until("and programs wait for memory")


def test_pressure_brings_the_round_at_once(host, keeper, trigger):
    """This keeper looks at the host once, and then never by itself: what it knows of it comes by the trigger."""
    kept = keeper(trigger=trigger)
    wait(lambda: kept.status()["host"]["total"], "the first look")
    for available, says in ((900, "the host is short of memory: 900.0 MiB are available"),
                            (3000, "the host has enough memory again: 3000.0 MiB are available")):
        before = kept.status()["host"]["available"]
        host.available(available)
        # The control: nobody has told the keeper.
        for _ in range(5):
            assert kept.status()["host"]["available"] == before and says not in kept.log()
        trigger.pull()
        kept.until(says)
        trigger.let_go()
        kept.status()  # behind the last round that this brought


def test_without_its_sandbox(fake, host, keeper):
    """The same by the same guests: what it gives up it does not need."""
    guest = full(fake, "a")
    host.available(900)
    kept = keeper("--sandbox=off")
    wait(lambda: len(requests(guest)) >= 2, kept.log)
    assert kept.end() == 0


@pytest.mark.parametrize("wrapper", [(), lib.NO_NAMESPACES], ids=["all", "less"])
@pytest.mark.parametrize("by", ["EBB_RUNTIME_DIR", "XDG_RUNTIME_DIR"])
def test_names_by_each_variable(host, keeper, runtime, wrapper, by):
    """It finds guests again where the host permits namespaces, and where not."""
    folder = os.path.join(runtime, "ebb" if by == "XDG_RUNTIME_DIR" else "")
    os.makedirs(folder, 0o700, exist_ok=True)
    guest = full(lambda name: Fake(folder, name), "a")
    host.available(900)
    kept = keeper(env={"EBB_RUNTIME_DIR": "", by: runtime}, wrapper=wrapper)
    wait(lambda: len(requests(guest)) >= 2, kept.log)
    assert ("permits no namespaces" in kept.log()) == bool(wrapper or not lib.namespaces())
    assert kept.end() == 0
    guest.end()


def test_dry_run_asks_nobody(ebb, fake, host, keeper):
    guest = full(fake, "a")
    host.available(900)
    kept = keeper("--dry-run")
    kept.until('guest "a": would be asked to report what it holds free, 300.0 MiB')
    assert requests(guest) == [] and kept.status()["dry-run"] is True
    # Nothing was asked, so that nothing is waited for.
    assert kept.guests()["a"]["last"] is None and "LAST ASKED" not in ebb("keeper", "status").out
    assert kept.end() == 0


# --- the balloon --------------------------------------------------------------------------------


def test_old_caches_go_and_those_in_use_stay(fake, host, keeper):
    old, used = aged(fake, "old", 120, 100), aged(fake, "used", 0, 0)
    host.available(900)
    kept = keeper()
    wait(lambda: requests(old), kept.log)
    kept.until('guest "old": asked to drop page cache, 100.0 MiB; it is ')
    kept.until(", and has not used it for an hour")
    # The control: the same guest once its caches are old.
    assert requests(used) == []
    used.stat["guest-stats"]["stats"]["stat-ebb-file-10s"] = used.stat["guest-stats"]["stats"]["stat-ebb-file-1min"] = 90 * MIB
    wait(lambda: requests(used), kept.log)
    assert requests(used)[0]["cache"] == 90 * MIB


@pytest.mark.parametrize("wrapper", [(), lib.NO_NAMESPACES], ids=["all", "less"])
def test_messages_name_the_directory(fake, keeper, runtime, wrapper):
    """As users know it: in the keeper's own tree it has another name."""
    kept = keeper(wrapper=wrapper)
    os.chmod(runtime, 0o755)
    fake("a")
    kept.until(f"{runtime} is open to other users; chmod 700 it")
    assert "/names" not in kept.log()
    os.chmod(runtime, 0o700)


@pytest.mark.parametrize("lie", [-1, (1 << 63) - 1])
def test_ages_and_costs_that_lie(fake, host, keeper, lie):
    names = ("file-10s", "file-1min", "file-10min", "file-1h", "refault-file", "refault-anon", "stall-some")
    guest = full(fake, "a", **{f"stat-ebb-{name}": lie for name in names})
    kept = keeper()
    kept.looked_at("a")
    host.available(900)
    wait(lambda: len(requests(guest)) >= 2, kept.log)
    assert all(request["cache"] <= 200 * MIB for request in requests(guest))


def test_weights_count(fake, host, keeper):
    guest, heavy = stock(fake, "a"), stock(fake, "b")
    heavy.stat["weight"] = 200
    host.available(900)
    kept = keeper()
    wait(lambda: leases(guest) and leases(heavy), kept.log)
    assert leases(guest)[0]["extra"] == 172 * MIB and leases(heavy)[0]["extra"] == 86 * MIB


def test_a_stock_kernel_lends_memory(fake, host, keeper):
    guest, other = stock(fake, "a"), stock(fake, "b", deflates=False)
    host.available(900)
    kept = keeper()
    wait(lambda: leases(guest), kept.log)
    assert leases(guest)[0] == {"extra": 172 * MIB, "lease": 60}
    kept.until('guest "a": asked to lend memory by its balloon, 172.0 MiB; it is idle')
    wait(lambda: kept.guests()["a"]["lent"] >= 172 * MIB, kept.guests)
    kept.until('guest "a": its lease is larger by 172.0 MiB: 172.0 MiB')
    assert (last(kept)["means"], last(kept)["came"]) == ("lend", last(kept)["asked"])
    # It needs it back: its statistics say so.
    guest.stat["guest-stats"]["stats"]["stat-available-memory"] = 60 * MIB
    wait(lambda: leases(guest)[-1]["extra"] == 0, kept.log)
    kept.until('guest "a": given back by its balloon, ')
    kept.until('guest "a": its lease is smaller by ')
    wait(lambda: (last(kept)["means"], last(kept)["why"]) == ("give back", "it needs it"), kept.guests)
    assert kept.log().count("; it needs it") == 1
    assert requests(guest) == requests(other) == leases(other) == []
    assert kept.guests()["b"]["state"] == "cannot be asked"
    assert "LENT" in subprocess.run([SHORT, "keeper", "status"], env=kept.env, stdout=subprocess.PIPE, timeout=LIMIT, check=True,
                                    text=True).stdout


def test_plenty_gives_back_what_another_keeper_took(fake, host, keeper):
    guest = stock(fake, "a")
    guest.do_x_ebb_balloon({"extra": 6 * MIB})
    host.available(7000)
    kept = keeper()
    wait(lambda: leases(guest), kept.log)
    # At once, since nobody knows when it was taken; half of it would be a piece too small.
    assert leases(guest)[-1] == {"extra": 0, "lease": 60}
    kept.until('guest "a": given back by its balloon, 6.0 MiB; the host has plenty')
    wait(lambda: kept.guests()["a"]["lent"] == 0, kept.guests)


def test_wrong_answers_about_a_lease(fake, host, keeper):
    good = full(fake, "good")
    guests = []
    for answer in ([], {"target": 1}, {"target": 1, "leased": -1}, {"target": 1, "leased": "1"}):
        guests.append(stock(fake, f"wrong{len(guests)}"))
        guests[-1].hooks["x-ebb-balloon"] = lambda _arguments, answer=answer: answer
    host.available(900)
    kept = keeper()
    wait(lambda: all(leases(guest) for guest in guests) and requests(good), kept.log)
    for guest in guests:
        kept.until(f'guest "{guest.name}" does not answer the keeper')
    assert kept.end() == 0


# --- admission ----------------------------------------------------------------------------------


def run(ebb, *words):
    """ebb run of a kernel that is not there: as far as that. Returns what it said of the memory."""
    done = ebb("run", "-k", "/no/kernel", "-n", "none", *words)
    assert done.status == 2 and done.out == ""
    *said, last = done.err.splitlines()
    # What it says of this machine's own memory is none of the keeper's.
    said = [line for line in said if "this works as long as" not in line]
    return said, "/no/kernel" in last, last


def test_admission(ebb, fake, host, keeper):
    # Without a keeper nobody is asked.
    assert run(ebb, "-m", "100G", "--admit=strict")[:2] == ([], True)
    full(fake, "a")
    host.available(3000)
    kept = keeper()
    kept.looked_at("a")
    # The low mark is 1024 MiB; 500 are held and caches.
    said, started, last = run(ebb, "-m", "1900M")
    assert said == [] and started
    said, started, last = run(ebb, "-m", "2300M")
    assert said == ["ebb: warning: the host could hold the guest's 2300.0 MiB, if it used all of it, only once other guests gave memory "
                    "back: 3000.0 MiB are available"] and started
    said, started, last = run(ebb, "-m", "2300M", "--admit=strict")
    assert len(said) == 1 and started
    said, started, last = run(ebb, "-m", "2900M")
    assert said == ["ebb: warning: the host could not hold the guest's 2900.0 MiB if it used all of it: 3000.0 MiB are available, "
                    "and other guests could give back 500.0 MiB"] and started
    said, started, last = run(ebb, "-m", "2900M", "--admit=strict")
    assert said == [] and not started and "would not fit" in last
    # What is in the balloon is not the guest's.
    assert run(ebb, "-m", "2900M", "--admit=strict", "--balloon=1G")[:2] == ([], True)
    assert run(ebb, "-m", "2900M", "--admit=off")[:2] == ([], True)
    assert "warn, strict or off" in run(ebb, "--admit=no")[2]


def test_admission_by_a_stuck_keeper(ebb, host, keeper):
    kept = keeper()
    os.kill(kept.process.pid, signal.SIGSTOP)
    said, started, _ = run(ebb, "-m", "100G", "--admit=strict")
    assert said == ["ebb: warning: the keeper does not say whether the guest fits: Connection timed out"] and started
    os.kill(kept.process.pid, signal.SIGCONT)


# --- guests come and go -------------------------------------------------------------------------


def test_guests_come_and_go(fake, host, keeper):
    kept = keeper()
    assert kept.guests() == {}
    host.available(900)
    guest = full(fake, "late")
    wait(lambda: requests(guest), kept.log)
    guest.end()
    wait(lambda: kept.guests() == {}, "the guest is forgotten")
    guest = full(fake, "late")
    wait(lambda: requests(guest), "a new guest of the same name is found")


def test_many(fake, host, keeper):
    guests = [full(fake, f"g{i}") for i in range(40)]
    kept = keeper()
    wait(lambda: len(kept.guests()) == 40, kept.guests)
    host.available(100)
    wait(lambda: sum(guest.given for guest in guests) > 1900 * MIB, kept.log)


# --- guests that do not behave ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mute ebb", "mute guest", "never answers", "liar", "garbage", "wrong figures", "vanishes",
                                  "no statistics", "stock kernel", "paused"])
def test_bad_guests_cost_nobody_anything(fake, host, keeper, kind):
    wrong, good = bad(fake, kind), full(fake, "good")
    host.available(900)
    kept = keeper()
    wait(lambda: requests(good), kept.log)
    if kind in ("no statistics", "stock kernel", "paused", "wrong figures", "mute ebb"):
        assert requests(wrong) == []
    states = {"stock kernel": "cannot be asked", "paused": "not running", "no statistics": "mute"}
    if kind in states:
        kept.looked_at("bad")
        assert kept.guests()["bad"]["state"] == states[kind]
    assert kept.end() == 0
    assert "\x1b" not in kept.log()


def test_mute_guest_is_not_asked_again(fake, host, keeper):
    """Before it sends statistics; the good one is asked all the while."""
    wrong, good = bad(fake, "mute guest"), full(fake, "good")

    def turn_mute(_arguments):
        wrong.fresh = False
        raise Refusal("the guest did not answer within 7.0 s", "GuestTimeout")

    wrong.hooks["x-ebb-reclaim"] = turn_mute
    host.available(900)
    kept = keeper()
    wait(lambda: requests(wrong) and len(requests(good)) >= 3, kept.log)
    assert len(requests(wrong)) == 1
    wait(lambda: kept.guests()["bad"]["state"] == "mute", kept.guests)


# --- itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_cleanly(fake, keeper, runtime, number):
    full(fake, "a")
    kept = keeper()
    assert kept.end(number) == 0
    assert sorted(os.listdir(runtime)) == ["a.lock", "a.sock"]


def test_ignored_signals_stay_ignored(keeper):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        kept = keeper()
    finally:
        signal.signal(signal.SIGHUP, before)
    kept.process.send_signal(signal.SIGHUP)
    assert kept.guests() == {} and kept.status()["pid"] == kept.process.pid
    assert kept.end() == 0


def test_one_per_user(ebb, keeper):
    kept = keeper()
    ebb("keeper").failed(1, f"a keeper of this user runs already: process {kept.process.pid}")
    kept.end(signal.SIGKILL)
    ebb("keeper", "status").failed(2, "no keeper of this user runs")


def test_killed_leaves_nothing_in_the_way(ebb, fake, keeper):
    guest = full(fake, "a")
    kept = keeper()
    kept.end(signal.SIGKILL)
    assert [row["name"] for row in ebb("list", "--json").json()] == ["a"]
    kept = keeper()
    kept.looked_at("a")
    assert not guest.ended.is_set()


def test_directory_removed(keeper, runtime):
    kept = keeper()
    for name in os.listdir(runtime):
        os.unlink(os.path.join(runtime, name))
    os.rmdir(runtime)
    try:
        kept.until("the directory of the guests' names was removed: the keeper ends")
        assert kept.process.wait(LIMIT) == 1
    finally:
        os.mkdir(runtime)


@pytest.mark.parametrize("words, says", [
    (["statu"], "is not \"status\""), (["status", "--dry-run"], "--dry-run is for a keeper that starts"),
    (["status", "--sandbox=off"], "--sandbox is for a keeper that starts"), (["--sandbox=no"], "on, require or off, not \"no\""),
    (["--json"], "--json is for"), (["--dry"], "--dry-run"),
])
def test_mistakes(ebb, words, says):
    ebb("keeper", *words).failed(2, says)
