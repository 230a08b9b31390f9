# SPDX-License-Identifier: Apache-2.0
"""All that moves a guest's memory goes on at once, and every page is looked at: none is lost, none keeps old bytes.

Each case is a guest with a kernel, CPUs and parameters of its own. Here are the short ones; `make soak` gives more of
them, and more time (tests/soak).
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest
from conftest import LIMIT, lib, wait_until
from test_keeper import SHORT, Hog
from test_monitor import EBB, run, stat

pytestmark = pytest.mark.linux

# KERNEL:CPUS:PARAMETERS,…:SECONDS; the parameter `keeper` is a keeper beside it
CASES = os.environ.get("EBB_SOAK", "patched:2::25 stock:1:init_on_alloc=1:10").split()
SEED = int(os.environ.get("EBB_SOAK_SEED", "1"))
KERNELS = {"patched": lib.KERNEL} | {
    name: os.path.join(lib.GUEST, name, lib.FORM) for name in ("stock", "debug", "kasan")
}
BALLOON_MOST = 128  # MiB
KINDS = ("default", "thp", "small", "shared", "file", "sparse", "stack", "brk")
# What the guest's loops and its kernel must have counted, or nothing of that kind was tried.
MOVED = (
    "huge", "small", "files", "compact", "drop", "oom", "thp_of_any_size", "thp_fault_alloc", "oom_kill",
    "drop_pagecache", "compact_migrate_scanned", "balloon_inflate", "balloon_deflate",
)


@pytest.mark.cross
def test_memcheck_finds_what_is_wrong(ebb):
    """The control: one bit of one page, in each kind of memory, before either comparison."""
    loop = (
        f"for kind in {' '.join(KINDS)}; do for what in zero pattern; do "
        "memcheck 4M --rounds 2 --kind $kind --break $what; echo $kind $what: $?; "
        "done; memcheck 4M --rounds 2 --kind $kind; echo $kind: $?; done"
    )
    lines = ebb.job(loop, "--free-page-reporting")
    for kind in KINDS:
        assert f"{kind} zero: 1" in lines and f"{kind} pattern: 1" in lines and f"{kind}: 0" in lines, lines
    bad = [re.search(r"BAD page .* kind (\w+) .* 1 of the page's 512 words", line) for line in lines if "BAD" in line]
    assert [match and match[1] for match in bad] == [kind for kind in KINDS for _ in range(2)], lines


def reclaim(box, name):
    """Returns the command's status."""
    words = [EBB, "reclaim", "-n", name]
    return subprocess.run(words, env=box.env, stdout=subprocess.DEVNULL, timeout=LIMIT, check=False).returncode


def seen_by_keeper(box):
    """What a keeper's status says of the only guest; None before it has found it."""
    done = subprocess.run([EBB, "keeper", "status", "--json"], env=box.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=LIMIT, check=False)
    guests = json.loads(done.stdout)["guests"] if done.returncode == 0 else []
    return guests[0] if guests else None


@contextlib.contextmanager
def keeper_beside(box, name):
    """A keeper. Yields a function that makes the host short, but leaves what the guest can still take."""
    hog = Hog()

    def press():
        memory = stat(box, name)["memory"]
        hog.take(max(SHORT, memory["size"] - memory["rss"] + 64 * lib.MIB))

    with subprocess.Popen([EBB, "keeper"], env=box.env, stdin=subprocess.DEVNULL) as keeper:
        try:
            wait_until(lambda: seen_by_keeper(box), "the keeper finds the guest")
            # The control: a host that has plenty.
            assert seen_by_keeper(box)["requests"] == 0
            yield press
            found = seen_by_keeper(box)
            print("keeper:", found)
            assert found["requests"] and found["came"], found
            keeper.send_signal(signal.SIGTERM)
            assert keeper.wait(LIMIT) == 0
        finally:
            hog.end()
            keeper.kill()


def shake(box, name, ours, over, press):
    """The host's part, until over(): the balloon up and down, turned before it is where it should be; reports; press()."""
    chance = random.Random(SEED)
    first = [["--target", "96M"], ["--target", 0]]
    while not over():
        size = chance.randrange(BALLOON_MOST)
        how = first.pop(0) if first else chance.choice([["--target", f"{size}M"], ["-i", 16], ["-d", 16]])
        run(box, "balloon", "-n", name, *how)
        press()
        # A guest as busy as this one may not be ready in time, 3, and may still be at it the next time, 1.
        assert reclaim(box, name) in ((0, 1, 3) if ours else (1,))
        time.sleep(chance.random())
    if ours:
        wait_until(lambda: reclaim(box, name) == 0, "a guest that is quiet reports what it is asked for")
    run(box, "balloon", "-n", name, "--target", 0, f"--wait={int(LIMIT)}")


@pytest.mark.parametrize("case", CASES)
def test_soak_case(ebb, case):
    kernel, cpus, params, seconds = case.split(":")
    assert os.path.exists(KERNELS[kernel]), f"no kernel {KERNELS[kernel]}: guest/build {kernel} makes it"
    # Not "quiet": that hides the kernel's warnings, among them what check_zero finds.
    params = params.split(",")
    keeper = "keeper" in params
    beside = keeper_beside(ebb, "soak") if keeper else contextlib.nullcontext(lambda: None)
    params = ["loglevel=5", *(word for word in params if word != "keeper")]
    params += [] if kernel == "stock" else ["page_reporting.check_zero=1"]
    # KASAN keeps an eighth of all memory for itself, and what was freed for a while; and no report is done in a second.
    memory, within = ("768M", 20000) if kernel == "kasan" else ("512M", "")
    started = ebb.start(
        f"{'KEEPER=1 ' if keeper else ''}soak {seconds} {SEED} {within}", "--free-page-reporting", "--balloon", "--name", "soak",
        "-c", cpus, memory=memory, kernel=KERNELS[kernel], params=" ".join(params),
    )
    started.wait_for("^soak: on", LIMIT)

    # Emulated, beside other work: what takes a second elsewhere took ten.
    end = time.monotonic() + 2 * LIMIT + 12 * float(seconds)

    def over():
        assert time.monotonic() < end, f"the soak comes to no end\n{started.console()}"
        return started.process.poll() is not None or any(text == "soak: over" for _, text in started.lines)

    with beside as press:
        shake(ebb, "soak", kernel != "stock", over, press)
        started.wait_for("^soak: over", LIMIT)
    found = stat(ebb, "soak")
    started.send("\n")
    ebb.ended(started, 0)
    console = started.console()
    wrong = [line for line in console.splitlines() if "BAD" in line or "killed by" in line]
    assert not wrong, f"{wrong}\n{console}"
    assert "ebb-guest: exit=0" in console, console
    assert int(re.search(r"memcheck: ok (\d+) MiB checked", console)[1]) >= 96
    counted = {name: int(n) for name, n in re.findall(r"^soak: (\w+)=(\d+)$", console, re.M)}
    print(case, counted, found["reporting"], found["balloon"])
    moved = [name for name in MOVED if not keeper or "oom" not in name]
    assert not [name for name in moved if not counted.get(name)], f"{counted}\n{console}"
    nodes = re.search(r"numa=fake=(\d+)", case)
    assert not nodes or lib.ARCH != "x86_64" or counted["nodes"] == int(nodes[1]), counted
    # Kernels that have our patches count what these do, and were asked for reports.
    ours = {name: n for name, n in counted.items() if name.startswith("page_report_")}
    assert not ours or (any(ours.values()) and counted.get("report")), counted
    # Where free pages hold zeros or a poison of the guest's own there is no zeroing to be spared.
    spares = kernel != "stock" and not {"page_poison=1", "init_on_free=1"} & set(params)
    assert (ours.get("page_report_zeroed", 0) > 0) == spares, counted
    # Where the guest wants its free pages to hold a poison, they are reported and stay.
    reported = found["reporting"]["held-back" if "page_poison=1" in params else "bytes"]
    assert reported > 0 and found["reporting"]["failures"] == 0 == found["balloon"]["failures"], found


# Each time all that is free is reported before a huge page is taken for one byte: by a group that cannot be charged for
# it, then by one without a limit.
GROUP = (
    "cd /tmp; mkdir group; mount -t cgroup2 none group; echo +memory >group/cgroup.subtree_control; "
    "mkdir group/small group/large; echo 1M >group/small/memory.max; "
    "count() { grep -E '^(thp_fault_fallback_charge|page_report_zeroed) ' /proc/vmstat; }; "
    "take() { (echo 0 >group/$1/cgroup.procs; exec hold 2M --thp --sparse --hold 0); }; "
    "now() { echo now timeout=60000 >/sys/kernel/mm/page_reporting/report_now; }; "
    "for name in small large; do count; for i in 1 2 3 4 5 6 7 8; do now; take $name; done; count; done"
)


@pytest.mark.skipif(not os.path.exists(KERNELS["debug"]), reason="no kernel with memory cgroups: guest/build debug makes it")
def test_a_group_at_its_limit_zeroes_nothing_in_vain(ebb):
    """It takes a huge page, may not have it, gives it back, and takes a small one: nobody needed the huge one to be zero.
    The control: without a limit, each huge page is one that need not be zeroed. Small pages are as many in both.
    """
    lines = ebb.job(GROUP, "--free-page-reporting", memory="1G", kernel=KERNELS["debug"])
    counts = [int(line.split()[1]) for line in lines if line.startswith(("thp_fault", "page_report_zeroed"))]
    print(counts)
    in_vain, zeroed, none_in_vain, all_zeroed = (counts[i + 2] - counts[i] for i in (0, 1, 4, 5))
    assert in_vain >= 8 and none_in_vain == 0, counts
    assert all_zeroed >= 8 * 512 and all_zeroed - zeroed >= 6 * 512, counts
