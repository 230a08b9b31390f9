# SPDX-License-Identifier: Apache-2.0
"""ebb keeper, on a host that is as short as each test wants, with guests of all kinds."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import EBB, LIMIT, TREE, wait
from fake import MIB, RECLAIM, Fake, Refusal, Silence

sys.path.insert(0, os.path.join(TREE, "tests", "lib"))

import guest as lib  # noqa: E402

SHORT = os.path.join(os.path.dirname(EBB), "tests", "short")
# What a guest has, of 1 GiB: all is resident, 300 MiB are free, 200 are caches.
STATS = {"stat-free-memory": 300 * MIB, "stat-total-memory": 1000 * MIB, "stat-available-memory": 600 * MIB,
         "stat-disk-caches": 200 * MIB, "stat-minor-faults": 1, "stat-major-faults": 1, "stat-swap-in": 0, "stat-oom-kills": 0}


def full(fake, name, **changes):
    """A guest that holds all of its memory, and gives back what it is asked for."""
    guest = fake(name)
    guest.stat["memory"]["rss"] = 1024 * MIB
    del guest.stat["memory"]["own"]
    guest.stat["balloon"]["actual"] = guest.stat["balloon"]["target"] = 0
    guest.stat["guest-stats"]["stats"] = STATS | changes
    guest.given = 0

    def give(arguments):
        before = guest.stat["memory"]["rss"]
        guest.stat["memory"]["rss"] = before - (300 * MIB if not guest.given else 0) - arguments["cache"]
        guest.stat["guest-stats"]["stats"]["stat-disk-caches"] -= arguments["cache"]
        guest.given += before - guest.stat["memory"]["rss"]
        return copy.deepcopy(RECLAIM) | {"rss-before": before, "rss-after": guest.stat["memory"]["rss"]}

    guest.hooks["x-ebb-reclaim"] = give
    return guest


def requests(guest):
    return [arguments for command, arguments in guest.asked if command == "x-ebb-reclaim"]


class Host:
    """What /proc says of it: 8 GiB, of which so much is available; it is short below one."""

    def __init__(self, folder):
        self.folder = str(folder)
        os.mkdir(folder / "self")
        self.available(8000)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # In place, since the keeper keeps it open, and by one call, with no end of a longer text left.
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, text.ljust(512, "\n").encode())
        os.close(file)

    def available(self, mib):
        self.write("meminfo", f"MemTotal:     {8 << 20} kB\nMemFree: 1 kB\nMemAvailable:   {mib << 10} kB\n")


class Trigger:
    """A descriptor that becomes urgent (POLLPRI), as PSI's does: a connection with a byte out of band."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.writer = socket.create_connection(server.getsockname())
            self.reader, _ = server.accept()
        self.fd = self.reader.fileno()

    def pull(self):
        self.writer.send(b"!", socket.MSG_OOB)

    def let_go(self):
        self.reader.recv(1, socket.MSG_OOB)

    def close(self):
        self.writer.close()
        self.reader.close()


class Keeper:
    def __init__(self, host, env, *words, wrapper=(), trigger=None):
        self.path = os.path.join(host.folder, "log")
        self.env = os.environ | env | {"EBB_TEST_HOST": host.folder}
        here = self.env | ({"EBB_TEST_TRIGGER": str(trigger.fd)} if trigger else {})
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen([*wrapper, SHORT, "keeper", *words], env=here, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log, pass_fds=[trigger.fd] if trigger else [])
        self.until("looking after the guests")

    def log(self):
        with open(self.path, encoding="utf-8") as log:
            return log.read()

    def until(self, text):
        wait(lambda: text in self.log() or self.process.poll() is not None, f"no {text!r} in {self.log()}")
        assert text in self.log()

    def status(self):
        done = subprocess.run([SHORT, "keeper", "status", "--json"], env=self.env, stdout=subprocess.PIPE,
                              timeout=LIMIT, check=True)
        return json.loads(done.stdout)

    def guests(self):
        return {guest["name"]: guest for guest in self.status()["guests"]}

    def looked_at(self, name):
        wait(lambda: self.guests().get(name, {}).get("state", "new") != "new", f"the keeper looks at {name}")

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.fixture
def keeper(host, runtime):
    keepers = []

    def start(*words, env=None, **how):
        keepers.append(Keeper(host, env or {"EBB_RUNTIME_DIR": runtime}, *words, **how))
        return keepers[-1]

    yield start
    for one in keepers:
        one.end(signal.SIGKILL)


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


@pytest.fixture
def trigger():
    one = Trigger()
    yield one
    one.close()


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


def test_dry_run_asks_nobody(fake, host, keeper):
    guest = full(fake, "a")
    host.available(900)
    kept = keeper("--dry-run")
    kept.until('guest "a": would be asked to report what it holds free, 300.0 MiB')
    assert requests(guest) == [] and kept.status()["dry-run"] is True
    assert kept.end() == 0


# --- what it says of itself -------------------------------------------------------------------


def last(kept, name="a"):
    return kept.guests()[name]["last"] or {}


def tell(guest, **figures):
    guest.stat["guest-stats"]["stats"] |= {name.replace("_", "-"): value for name, value in figures.items()}


def test_status_tells_of_the_last_request(ebb, fake, host, keeper):
    """When, what, why; what came and what it cost. The control is the guest that misses nothing."""
    guest, other = aged(fake, "a", 120, 100), aged(fake, "b", 120, 100)

    def once(one, give):
        """What it has left is young."""
        def answer(arguments):
            tell(one, **dict.fromkeys(("stat_ebb_file_10s", "stat_ebb_file_1min", "stat_ebb_file_10min", "stat_ebb_file_1h"), 0))
            return give(arguments)
        return answer

    for one in (guest, other):
        one.hooks["x-ebb-reclaim"] = once(one, one.hooks["x-ebb-reclaim"])
    kept = keeper()
    kept.looked_at("a")
    assert last(kept) == {} and "LAST ASKED" not in ebb("keeper", "status").out
    host.available(900)
    wait(lambda: last(kept).get("answer") == "done" and last(kept, "b").get("answer") == "done", kept.guests)
    told = last(kept)
    assert (told["means"], told["asked"], told["came"], told["back"]) == ("cache", 100 * MIB, 100 * MIB, 0)
    assert told["why"] in ("it is idle, and has not used it for an hour", "it is at work, and has not used it for an hour")
    assert 0 <= told["took"] <= told["ago"] and told["cost"] == "none"
    # 40 of these are needed again.
    tell(guest, stat_ebb_refault_file=40 * MIB)
    kept.until('guest "a": wants back what it gave: not asked for that for 4 s')
    told = last(kept)
    assert (told["came"], told["back"], told["cost"]) == (100 * MIB, 40 * MIB, "too much") and 0 < told["pause"] <= 4
    told = last(kept, "b")
    assert (told["back"], told["cost"]) == (0, "none") and 'guest "b": wants back' not in kept.log()
    row = next(line for line in ebb("keeper", "status").out.split("LAST ASKED")[1].splitlines() if line.startswith("a "))
    assert " s ago " in row and "  cache  " in row and "100.0 MiB  100.0 MiB     40.0 MiB  too much  it is " in row


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


@pytest.mark.parametrize("kind, answer", [("mute guest", "none"), ("refuses", "refused"), ("liar", "done")])
def test_status_tells_who_gave_nothing(fake, host, keeper, kind, answer):
    wrong = bad(fake, kind)
    if kind == "refuses":
        def refuse(_arguments):
            raise Refusal("the guest is paused")
        wrong.hooks["x-ebb-reclaim"] = refuse
    host.available(900)
    kept = keeper()
    wait(lambda: last(kept, "bad").get("answer", "not yet") != "not yet", kept.guests)
    told = last(kept, "bad")
    assert (told["answer"], told["came"], told["cost"]) == (answer, 0, "none") and told["pause"] > 0


# --- the balloon --------------------------------------------------------------------------------


def leases(guest):
    return [arguments for command, arguments in guest.asked if command == "x-ebb-balloon"]


def stock(fake, name, deflates=True):
    """A guest with --deflate-on-oom whose kernel cannot be asked. It needs 424 MiB: of 600, half of what is beyond four times
    64 can be lent."""
    guest = full(fake, name)
    guest.stat["reclaim"]["negotiated"] = False
    guest.stat["balloon"] |= {"deflate-on-oom": True, "deflates": deflates}
    return guest


def aged(fake, name, minute, hour):
    """A guest that holds nothing free, and of whose caches so many MiB were not used for a minute, for an hour."""
    guest = full(fake, name, **{"stat-ebb-file-10s": minute * MIB, "stat-ebb-file-1min": minute * MIB, "stat-ebb-file-10min": hour * MIB,
                                "stat-ebb-file-1h": hour * MIB, "stat-ebb-refault-file": 0})
    guest.given = 1
    guest.stat["memory"]["rss"] = 724 * MIB
    return guest


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


def bad(fake, kind):
    """Each holds more than the good one, and comes first."""
    guest = full(fake, "bad", **{"stat-free-memory": 600 * MIB})

    def silent(_arguments):
        raise Silence

    def refuse(_arguments):
        raise Refusal("the guest did not answer within 7.0 s", "GuestTimeout")

    if kind == "mute ebb":
        guest.hooks["x-ebb-stat"] = silent
    elif kind == "mute guest":
        guest.hooks["x-ebb-reclaim"] = refuse
    elif kind == "never answers":
        guest.hooks["x-ebb-reclaim"] = silent
    elif kind == "liar":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: copy.deepcopy(RECLAIM) | {"rss-before": 1024 * MIB,
                                                                                    "rss-after": 1024 * MIB}
    elif kind == "garbage":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: ["\x1b[2J"]
    elif kind == "wrong figures":
        guest.stat["memory"]["rss"] = -1
    elif kind == "vanishes":
        guest.hooks["x-ebb-reclaim"] = lambda _arguments: guest.end(leave=True) or RECLAIM
    elif kind == "no statistics":
        guest.stat["guest-stats"] = None
        guest.hooks["x-ebb-stats-request"] = refuse
    elif kind == "stock kernel":
        guest.stat["reclaim"]["negotiated"] = False
    elif kind == "paused":
        guest.stat["status"] = "paused"
    return guest


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
