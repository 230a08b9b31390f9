# SPDX-License-Identifier: Apache-2.0
"""What guest RAM is made of, and that the host gets each kind of it back in its own accounting.

Each with its control, which is the same guest without reporting. Anonymous memory is counted as RSS of the process,
memfd's as the host's Shmem, huge pages as those missing from the host's pool.
"""

import json
import os
import re
import socket
import subprocess
import time

import pytest
from conftest import LIMIT, lib, wait_until, write
from test_reporting import counters

pytestmark = [pytest.mark.linux, pytest.mark.root]

MIB = lib.MIB
GUEST = 512 * MIB
TAKE = 256 * MIB
UNCHANGED = 50 * MIB
HUGE = 2 * MIB


# --- the host's own accounting -----------------------------------------------------------------


def meminfo(name):
    """A figure of /proc/meminfo: bytes, or a number of huge pages."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(rf"^{name}: +(\d+)( kB)?$", file.read(), re.M)
    return int(found[1]) * (1024 if found[2] else 1)


def hugepages_in_use():
    return (meminfo("HugePages_Total") - meminfo("HugePages_Free")) * HUGE


def hugepages_for_others():
    """Bytes that another process could have now."""
    return (meminfo("HugePages_Free") - meminfo("HugePages_Rsvd")) * HUGE


HELD = {
    "anon": lambda started: started.rss(),
    "memfd": lambda started: meminfo("Shmem"),
    "hugetlbfs": lambda started: hugepages_in_use(),
}


def lowest(figure, seconds):
    """The least that figure() was in that time."""
    end = time.monotonic() + seconds
    least = figure()
    while time.monotonic() < end:
        least = min(least, figure())
        time.sleep(0.1)
    return least


def rollup(started, name):
    """Bytes of the whole process, by a line of smaps."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into ebb, which is closed to others of its user")
    with open(f"/proc/{started.pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(rf"^{name}: +(\d+) kB$", file.read(), re.M)[1]) * 1024


# --- settings of the host, put back as they were ----------------------------------------------
# Tests name `ebb` behind these: what was made last ends first, and guests are to end before their settings.


@pytest.fixture
def pool(setting):
    """pool(pages): the host has so many huge pages, and none in use."""

    def fill(pages):
        if meminfo("Hugepagesize") != HUGE:
            pytest.skip("the host's huge pages are not of 2 MiB")
        # Other files of tests may have had this host before.
        write("/proc/sys/vm/drop_caches", "3")
        write("/proc/sys/vm/compact_memory", "1")
        setting("/proc/sys/vm/nr_hugepages", pages)
        if hugepages_for_others() < pages * HUGE:
            pytest.skip(f"the host cannot make {pages} huge pages: {hugepages_for_others() // HUGE} are free")

    return fill


@pytest.fixture
def hugetlbfs(tmp_path):
    path = tmp_path / "huge"
    path.mkdir()
    subprocess.run(["mount", "-t", "hugetlbfs", "none", str(path)], check=True)
    yield str(path)
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def cgroup():
    """A cgroup of its own: (the words to start a command in it by, its folder)."""
    if not os.path.exists("/sys/fs/cgroup/cgroup.subtree_control"):
        pytest.skip("no cgroup2 on /sys/fs/cgroup")
    write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
    folder = f"/sys/fs/cgroup/ebb-test-{os.getpid()}"
    os.mkdir(folder)
    if not os.path.exists(folder + "/memory.reclaim"):
        os.rmdir(folder)
        pytest.skip("this host's kernel has no memory.reclaim (Linux 5.19)")
    yield ["sh", "-c", f'echo $$ >{folder}/cgroup.procs && exec "$@"', "sh"], folder
    wait_until(lambda: not open(folder + "/cgroup.procs", encoding="ascii").read(), "the cgroup is empty")
    os.rmdir(folder)


# --- a guest that takes memory and frees it ---------------------------------------------------


class Turn:
    def __init__(self, box, held, *options, reporting=True, then="sleep 100000", **machine):
        job = f"echo ready; read line; hold {TAKE // MIB}M --wait; {then}"
        state = {True: ["--free-page-reporting", "--debug"], False: ["--free-page-reporting=off"], None: []}
        self.held = lambda: held(self.guest)
        self.guest = box.start(job, *options, *state[reporting], memory=f"{GUEST // MIB}M", **machine)
        self.guest.wait_for("^ready$", LIMIT)

    def take(self):
        self.guest.send("\n")
        self.guest.wait_for("^hold: taken", LIMIT)
        self.taken = self.held()
        assert self.taken >= TAKE

    def free(self):
        self.guest.send("\n")
        self.guest.wait_for("^hold: freed", LIMIT)

    def comes_back(self):
        """Waits until 80 % of it are the host's again. Returns the seconds that took."""
        self.free()
        return wait_until(lambda: self.held() < self.taken - TAKE * 0.8, "80 % of the memory come back")

    def stays(self, seconds):
        self.free()
        return self.taken - lowest(self.held, seconds) <= UNCHANGED


@pytest.mark.parametrize("backing", ["anon", "memfd"])
def test_it_comes_back(ebb, backing):
    options = ["--mem-backing", backing]
    at_rest = HELD[backing](None) if backing != "anon" else 0
    turn = Turn(ebb, lambda started: HELD[backing](started) - at_rest, *options)
    turn.take()
    seconds = turn.comes_back()
    turn.guest.process.terminate()
    ebb.ended(turn.guest, 0)
    assert counters(turn.guest).failures == 0
    if backing == "memfd":
        wait_until(lambda: meminfo("Shmem") - at_rest < 16 * MIB, "memfd's memory goes with its guest")
        at_rest = meminfo("Shmem")

    control = Turn(ebb, lambda started: HELD[backing](started) - at_rest, *options, reporting=False)
    control.take()
    assert control.stays(2 * seconds + 5)


@pytest.mark.emulated
@pytest.mark.parametrize("mounted", [False, True], ids=["no-path", "path"])
def test_huge_pages_come_back(pool, hugetlbfs, ebb, mounted):
    """To the pool, for others to take: what is free there and not reserved."""
    pool(GUEST // HUGE)
    options = ["--mem-backing", f"hugetlbfs:{hugetlbfs}" if mounted else "hugetlbfs"]
    turn = Turn(ebb, HELD["hugetlbfs"], *options)
    # Of what it reported without having touched it, nothing is reserved for it any more.
    wait_until(lambda: hugepages_for_others() > GUEST / 2, "untouched memory is for others")
    turn.take()
    before = hugepages_for_others()
    seconds = turn.comes_back()
    wait_until(lambda: hugepages_for_others() > before + TAKE * 0.8, "others can have it")
    assert not os.listdir(hugetlbfs)
    turn.guest.process.terminate()
    ebb.ended(turn.guest, 0)
    assert counters(turn.guest).failures == 0
    assert hugepages_in_use() == 0 and meminfo("HugePages_Rsvd") == 0

    # The control, by default: of a pool without a page to spare nothing is given back, and that is said.
    control = Turn(ebb, HELD["hugetlbfs"], *options, reporting=None)
    control.guest.wait_for_error("free page reporting is off: the host has no huge page to spare", LIMIT)
    assert hugepages_for_others() == 0
    control.take()
    assert control.stays(2 * seconds + 5)
    assert hugepages_for_others() == 0


@pytest.mark.emulated
@pytest.mark.arch("x86_64")
def test_a_huge_page_that_was_given_back_is_wanted_and_taken(pool):
    """By a device, whose ring is in it: the guest is the tiny one of tests/payload, whose tests have the control."""
    pool(16)
    run = os.path.join(lib.TREE, "tests", "payload", "run")
    done = subprocess.run([run, "test_taken.py"], stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
    assert done.stdout.endswith("\n2 passed, 0 failed, 0 skipped\n"), done.stdout


def test_preallocated_comes_back(ebb):
    """All of it is there before the guest is; what it reports goes all the same."""
    started = ebb.start("echo ready; sleep 100000", "--mem-prealloc", "--free-page-reporting=off", memory="256M")
    started.wait_for("ready", LIMIT)
    assert rollup(started, "Rss") >= 256 * MIB
    started.kill()
    turn = Turn(ebb, HELD["anon"], "--mem-prealloc")
    wait_until(lambda: turn.held() < GUEST / 2, "a guest at rest keeps less than half of its memory")
    turn.take()
    turn.comes_back()


# --- lazily -------------------------------------------------------------------------------------


def reclaim(folder, size):
    """The host wants memory back from that cgroup; what it does not find it goes without."""
    try:
        write(folder + "/memory.reclaim", str(size))
    except OSError:
        pass


def test_lazily_it_goes_when_it_is_wanted(cgroup, ebb):
    wrapper, folder = cgroup
    if meminfo("SwapTotal"):
        pytest.skip("this host has swap: what was freed could not be told from what was swapped out")
    turn = Turn(ebb, HELD["anon"], "--discard", "free", wrapper=wrapper)
    turn.take()
    turn.free()
    wait_until(lambda: rollup(turn.guest, "LazyFree") > TAKE * 0.8, "the guest's free memory is let go of")
    # Nobody wanted it yet.
    assert turn.held() > turn.taken - UNCHANGED
    reclaim(folder, TAKE)
    wait_until(lambda: turn.held() < turn.taken - TAKE * 0.8, "memory that was let go of is taken")
    turn.guest.process.terminate()
    ebb.ended(turn.guest, 0)
    assert counters(turn.guest).failures == 0

    control = Turn(ebb, HELD["anon"], "--discard", "free", reporting=False, wrapper=wrapper)
    control.take()
    control.free()
    reclaim(folder, TAKE)
    assert control.taken - lowest(control.held, 5) <= UNCHANGED
    assert rollup(control.guest, "LazyFree") == 0


def test_lazily_nothing_is_lost(cgroup, ebb):
    """Pages that the guest takes again before the host has taken them, or just then."""
    wrapper, folder = cgroup
    started = ebb.start(
        "(while hold 96M --hold 0; do :; done) >/dev/null & memcheck 192M --seconds 30",
        "--discard", "free", "--free-page-reporting", memory="448M", wrapper=wrapper,
    )
    while started.process.poll() is None:
        reclaim(folder, 64 * MIB)
        time.sleep(0.2)
    ebb.ended(started, 0)
    # Fresh memory reads as zero too: the guest's kernel clears it, having no promise from ebb.
    assert "BAD" not in started.console() and "memcheck: ok" in started.console(), started.console()


# --- locked -------------------------------------------------------------------------------------


def stat(box, name):
    """What `x-ebb-stat` answers on a guest's control socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(os.path.join(box.runtime, name + ".sock"))
        stream = client.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(stream.readline())
        for command in ("qmp_capabilities", "x-ebb-stat"):
            stream.write(json.dumps({"execute": command, "id": command}) + "\n")
            stream.flush()
            answer = {}
            while answer.get("id") != command:  # events may come between
                answer = json.loads(stream.readline())
        return answer["return"]


def test_locked_memory_stays(ebb):
    then = "echo checking; memcheck 192M --rounds 2; sleep 100000"
    turn = Turn(ebb, HELD["anon"], "--mem-lock", "--name", "locked", then=then)
    turn.take()
    assert rollup(turn.guest, "Locked") >= TAKE
    before = stat(ebb, "locked")["reporting"]["held-back"]
    turn.free()
    wait_until(
        lambda: stat(ebb, "locked")["reporting"]["held-back"] > before + TAKE * 0.8,
        "what the guest reports is held back",
    )
    found = stat(ebb, "locked")
    assert found["memory"]["inhibits"] == 1
    assert found["memory"]["locked"] >= TAKE
    assert found["reporting"]["bytes"] == 0 and found["reporting"]["failures"] == 0
    assert turn.taken - turn.held() <= UNCHANGED
    turn.guest.wait_for("^memcheck: ok", LIMIT)
    assert "BAD" not in turn.guest.console()


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        (["--mem-backing", "memfd", "--discard", "free"], ["--mem-backing anon only"]),
        (["--mem-backing", "hugetlbfs:/no/such"], ["/no/such", "hugetlbfs"]),
        (["--mem-backing", "hugetlbfs:/proc"], ["/proc is not in a hugetlbfs"]),
        (["--numa-node", "1023"], ["node 1023"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_mistakes(ebb, options, words):
    ebb.mistake(lib.ebb("true", *options), *words)


@pytest.mark.emulated
def test_mistakes_with_huge_pages(pool, ebb):
    pool(16)
    line = ebb.mistake(lib.ebb("true", "--mem-backing", "hugetlbfs", memory="64M"), "32 huge pages of 2M")
    assert "16 are free" in line and "vm.nr_hugepages" in line
    ebb.mistake(
        lib.ebb("true", "--mem-backing", "hugetlbfs", memory="65M"), "-m must be a multiple of 2M"
    )
    assert meminfo("HugePages_Rsvd") == 0


@pytest.mark.emulated
def test_shared_memory_without_overcommit(setting, ebb):
    """A host that promises all memory makes no promise for a file's: it must be taken, then, at the start."""
    setting("/proc/sys/vm/overcommit_memory", 2)
    ebb.mistake(lib.ebb("true", "--mem-backing", "memfd"), "vm.overcommit_memory is 2", "--mem-prealloc")
