# SPDX-License-Identifier: Apache-2.0
"""ebb snapshot and ebb run --restore with Linux: it goes on with its memory, processors, timers, disk and console, as often
as it is restored, and gives memory back as before. tests/payload/test_snapshot.py has damage, mistakes and killed clients.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from conftest import GATEWAY, HOST, LIMIT, ip, lib, serving, wait_until
from test_backings import lowest
from test_balloon import balloon, lease
from test_kernels import EMULATED, made, with_modules
from test_monitor import run, stat
from test_network import answered, free_port, passts
from test_vsock import connect, echoing

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]

MIB = lib.MIB
MEMORY = "512M"
PATTERN = 4
TAKE = 96
RETURNING = 120
# Commands come on the console; beside them something counts, and checks what it has.
JOB = (f"head -c {PATTERN * MIB} /dev/urandom >/tmp/pattern; md5sum /tmp/pattern >/tmp/sum; "
       "(n=0; while md5sum -c -s /tmp/sum; do n=$((n + 1)); echo count $n; sleep 1; done; echo BAD) & "
       "while read line; do eval $line; done")


def counts(guest, number, start=0):
    """The next numbers; the first line may have begun before the snapshot."""
    seen = []
    while len(seen) < number:
        start, match = guest.wait_for(r"count (\d+)$|BAD", LIMIT, start)
        assert match[1], guest.console()
        seen.append(int(match[1]))
        start += 1
    return seen


def counts_said(guest):
    """The last number that it said."""
    return max(int(number) for number in re.findall(r"count (\d+)$", guest.console(), re.M))


def answer(guest, command, pattern):
    start = len(guest.lines)
    guest.send(command + "\n")
    return guest.wait_for(pattern, LIMIT, start)[1]


def restore(box, folder, *options, way="--restore", network=False):
    argv = [lib.EBB, "run", way, str(folder), "-m", MEMORY, *([] if network else ["-n", "none"]), *map(str, options)]
    guest = lib.Guest(argv, env=box.env)
    box.guests.append(guest)
    return guest


def take_and_free(guest):
    """Returns the bytes that the host held for it in between."""
    answer(guest, f"hold {TAKE}M --no-thp --wait", "^hold: taken")
    taken = guest.rss()
    answer(guest, "", "^hold: done")
    return taken


def comes_back(guest):
    """Waits until 80 % of what it takes and frees are the host's again. Returns the seconds that took."""
    taken = take_and_free(guest)
    return wait_until(lambda: guest.rss() < taken - TAKE * 0.8 * MIB, "80 % of the memory come back", RETURNING)


def saved_bytes(ebb, folder):
    run(ebb, "snapshot", "-n", "saved", str(folder))
    return os.stat(folder / "snapshot").st_blocks * 512


def test_the_balloon_is_left_out(ebb, tmp_path):
    """What the guest has freed and nobody was told of is saved, which is the control; once it is in the balloon it is not."""
    options = ("--free-page-reporting=off", "--name", "saved")
    guest = ebb.start(JOB, *options, memory=MEMORY)
    counts(guest, 1)
    answer(guest, f"hold {TAKE}M --hold 0", "^hold: done")
    full = saved_bytes(ebb, tmp_path / "full")
    assert full > TAKE * MIB, full
    free = int(answer(guest, "grep MemFree /proc/meminfo", r"^MemFree: +(\d+) kB")[1]) // 1024
    run(ebb, "balloon", "-n", "saved", "--target", f"{free - 24}M", f"--wait={int(LIMIT)}")
    size = saved_bytes(ebb, tmp_path / "there")
    assert size < full - (TAKE - 32) * MIB, (size, full)
    guest.kill()
    # It is as large in one that goes on, which has all it had, and gets the memory back.
    one = restore(ebb, tmp_path / "there", *options)
    counts(one, 1)
    assert stat(ebb, "saved")["balloon"]["actual"] == (free - 24) * MIB
    run(ebb, "balloon", "-n", "saved", "--target", "0", f"--wait={int(LIMIT)}")
    assert answer(one, f"memcheck {TAKE}M --rounds 1", "^memcheck: (ok|BAD)")[1] == "ok"
    assert "BAD" not in one.console()


def test_it_goes_on(ebb, tmp_path):
    disk, folder = tmp_path / "disk.img", tmp_path / "snapshot"
    with open(disk, "wb") as file:
        file.truncate(16 * MIB)
    options = ("-c", 2, "--rng")
    guest = ebb.start(JOB, *options, "-d", disk, "--name", "saved", memory=MEMORY)
    counts(guest, 2)
    answer(guest, "dd if=/tmp/pattern of=/dev/vda bs=1M conv=fsync && echo written", "^written$")
    # What it has freed is not in the snapshot; and the disk is read while it is saved.
    answer(guest, f"hold {TAKE}M --hold 0", "^hold: done")
    answer(guest, "(while :; do dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null; sleep 0.5; done) & echo reads", "^reads$")
    free = int(answer(guest, "grep MemFree /proc/meminfo", r"^MemFree: +(\d+) kB")[1]) << 10
    before = counts(guest, 1, len(guest.lines))[0]
    run(ebb, "snapshot", "-n", "saved", str(folder))
    assert counts(guest, 1, len(guest.lines))
    assert os.listdir(folder) == ["snapshot"]
    size = os.stat(folder / "snapshot").st_blocks * 512
    assert PATTERN * MIB < size <= 1.1 * (512 * MIB - free), (size, free)
    guest.kill()
    last = counts_said(guest)

    ones = []
    for number in range(2):
        shutil.copy(disk, tmp_path / f"{number}.img")
        ones.append(restore(ebb, folder, *options, "-d", tmp_path / f"{number}.img", "--name", f"restored{number}"))
    first = [counts(one, 3) for one in ones]
    assert first[0][:2] == first[1][:2] and before <= first[0][0] <= last
    assert first[0] == list(range(first[0][0], first[0][0] + 3))
    for one in ones:
        assert answer(one, f"dd if=/dev/vda bs=1M count={PATTERN} 2>/dev/null | cmp - /tmp/pattern && echo same", "^same$|differ|EOF")[0] == "same"
        assert answer(one, "grep -c processor /proc/cpuinfo", r"^(\d+)$")[1] == "2"
    # What they have not written is the file's, and theirs together.
    found = [stat(ebb, f"restored{number}")["memory"] for number in range(2)]
    for one in found:
        assert one["rss"] - one["own"] > 8 * MIB and one["pss"] < one["rss"] - 4 * MIB, found
    # What comes back of one is zero there, and as it was in the other; both have what they check.
    ones[1].send("memcheck 32M --rounds 2\n")
    comes_back(ones[0])
    assert ones[1].wait_for("^memcheck: (ok|BAD)", LIMIT)[1][1] == "ok"
    assert answer(ones[0], "memcheck 32M --rounds 2", "^memcheck: (ok|BAD)")[1] == "ok"
    wait_until(lambda: stat(ebb, "restored0")["memory"]["own"] < found[0]["own"] + 0.4 * TAKE * MIB, "what it freed comes back", RETURNING)
    assert stat(ebb, "restored0")["memory"]["zeroed"] == 0
    # The host may still ask it for memory, in both ways, and it still powers off.
    run(ebb, "reclaim", "-n", "restored0")
    run(ebb, "balloon", "-n", "restored1", "--target", "128M", f"--wait={int(LIMIT)}")
    for one in ones:
        assert counts(one, 1, len(one.lines))
    run(ebb, "stop", "-a", "--timeout", str(LIMIT))
    for one in ones:
        assert one.wait(LIMIT) == 0, one.stderr()
        assert "BAD" not in one.console()
        assert not one.stderr()


def test_the_clocks(ebb, tmp_path):
    """A restored guest's clock chip shows the host's time at once; its system's clock goes on where it stopped. With Debian's
    kernel, which has a driver for the chip."""

    def clocks(guest):
        before = int(time.time())
        match = answer(guest, "echo clocks $(cat /sys/class/rtc/rtc0/since_epoch) $(date +%s)", r"^clocks (\d+) (\d+)$")
        return before, *map(int, match.groups()), int(time.time())

    kernel = made("kernel", lib.ARCH, "bookworm", "cloud")
    guest = ebb.start("while read line; do eval $line; done", "--name", "saved", kernel=f"{kernel}/kernel",
                      initrd=with_modules(kernel, tmp_path), params="quiet" + EMULATED, memory=MEMORY)
    before, chip, system, after = clocks(guest)
    assert before <= chip <= after and before <= system <= after + 1
    run(ebb, "snapshot", "-n", "saved", str(tmp_path / "snapshot"))
    saved = time.time()
    guest.kill()
    wait_until(lambda: time.time() > saved + 3, "the host's clock goes on")
    before, chip, system, after = clocks(restore(ebb, tmp_path / "snapshot", "--name", "restored"))
    assert before <= chip <= after and system < before, (before, chip, system, after)


def test_it_is_moved(ebb):
    """Through a pipe, and without a file: it counts on, and what it gives back is the host's."""
    options = ("-c", "2", "--rng", "-m", MEMORY, "-n", "none")
    guest = ebb.start(JOB, *options[:3], "--name", "saved", memory=MEMORY)
    before = counts(guest, 2)[-1]
    with subprocess.Popen([lib.EBB, "snapshot", "-n", "saved", "-"], env=ebb.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
        done = subprocess.run([lib.EBB, "run", "--restore", "-", *options, "--name", "moved", "--detach"], env=ebb.env, stdin=sender.stdout,
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, done
        assert "moved" in done.stdout and "it stood still for" in sender.communicate(timeout=LIMIT)[1]
    guest.kill()
    last = counts_said(guest)
    with lib.Guest([lib.EBB, "console", "moved"], env=ebb.env) as moved:
        first = counts(moved, 2)
        assert before <= first[0] <= last + 2 and first[1] == first[0] + 1
        resident = answer(moved, f"hold {TAKE}M --no-thp --wait", "^hold: taken") and stat(ebb, "moved")["memory"]["rss"]
        answer(moved, "", "^hold: done")
        wait_until(lambda: stat(ebb, "moved")["memory"]["rss"] < resident - TAKE * 0.8 * MIB, "80 % of the memory come back", RETURNING)
        assert "BAD" not in moved.console()
    run(ebb, "stop", "-n", "moved", "--force")


def test_without_reporting_nothing_comes_back(ebb, tmp_path):
    """The control: the same of a guest whose device is not asked to discard. And what it freed is saved, too."""
    off = "--free-page-reporting=off"
    guest = ebb.start(JOB, off, "--deflate-on-oom", "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    # What somebody has leased for a while only is not saved: nobody would end it.
    assert lease(ebb, "saved", 16 * MIB, 3600)["return"]["leased"] == 16 * MIB
    answer(guest, f"hold {TAKE}M --hold 0", "^hold: done")
    run(ebb, "snapshot", "-n", "saved", str(tmp_path / "there"))
    assert os.stat(tmp_path / "there" / "snapshot").st_size > (TAKE // 2 + PATTERN) * MIB
    guest.kill()
    restored = restore(ebb, tmp_path / "there", off, "--deflate-on-oom", "--name", "restored")
    counts(restored, 2)
    found = balloon(ebb, "restored")
    assert (found["target"], found["leased"]) == (0, 0)
    # As long as it takes one with reporting, and longer.
    usual = ebb.start(JOB, memory=MEMORY)
    counts(usual, 1)
    seconds = comes_back(usual)
    usual.kill()
    taken = take_and_free(restored)
    assert taken - lowest(restored.rss, 2 * seconds + 5) < 50 * MIB


def chain(box, tmp_path, *options):
    """A guest, saved; then twice what a clone of the last one has made of it. Returns the folders, and the last number."""
    guest = box.start(JOB, *options, "--name", "saved", memory=MEMORY)
    last = counts(guest, 2)[-1]
    folders = [tmp_path / "whole"]
    run(box, "snapshot", "-n", "saved", str(folders[0]))
    guest.kill()
    for number in range(2):
        one = restore(box, folders[-1], *options, "--name", f"clone{number}")
        assert counts(one, 1)[0] >= last
        answer(one, f"head -c {8 * MIB} /dev/urandom >/tmp/more{number}; md5sum /tmp/more{number} >/tmp/sum{number}; echo more", "^more$")
        answer(one, f"hold {TAKE}M --hold 0", "^hold: done")
        last = counts(one, 1, len(one.lines))[0]
        folders.append(tmp_path / str(number))
        run(box, "snapshot", "-n", f"clone{number}", "--base", str(folders[-2]), str(folders[-1]))
        assert counts(one, 1, len(one.lines))
        one.kill()
    return folders, last


def test_increments(ebb, tmp_path):
    """Each has what was written since, without what came back; from the last one, and from one made of all, the guest has
    all it had, and gives memory back."""
    folders, last = chain(ebb, tmp_path)
    size = [os.stat(folder / "snapshot").st_blocks * 512 for folder in folders]
    print("whole, and increments:", *(f"{bytes / MIB:.1f} MiB" for bytes in size))
    for part in size[1:]:
        assert 8 * MIB < part < 8 * MIB + TAKE * MIB / 2, size
    for folder in folders[:-1]:
        shutil.rmtree(folder)
    run(ebb, "snapshot", "merge", str(folders[-1]), str(tmp_path / "merged"))
    assert os.listdir(tmp_path / "merged") == ["snapshot"]
    for folder, way in ((folders[-1], "--restore"), (tmp_path / "merged", "--restore"), (folders[-1], "--restore-all")):
        one = restore(ebb, folder, way=way)
        assert counts(one, 2)[0] >= last
        for number in range(2):
            assert answer(one, f"md5sum -c /tmp/sum{number}", r"^/tmp/more\d: (OK|FAILED)")[1] == "OK"
        comes_back(one)
        assert answer(one, "memcheck 32M --rounds 2", "^memcheck: (ok|BAD)")[1] == "ok"
        assert "BAD" not in one.console() and not one.stderr(), one.stderr()
        one.kill()


def test_increments_without_reporting(ebb, tmp_path):
    """The control: they have what was freed, too, and nothing comes back."""
    off = "--free-page-reporting=off"
    folders, _ = chain(ebb, tmp_path, off)
    assert os.stat(folders[1] / "snapshot").st_blocks * 512 > 8 * MIB + TAKE * MIB / 2
    usual = ebb.start(JOB, memory=MEMORY)
    counts(usual, 1)
    seconds = comes_back(usual)
    usual.kill()
    one = restore(ebb, folders[-1], off)
    counts(one, 1)
    assert take_and_free(one) - lowest(one.rss, 2 * seconds + 5) < 50 * MIB


def talk(stream, text):
    stream.sendall(text)
    return stream.recv(len(text), socket.MSG_WAITALL)


def ssh(box, name):
    """What `ebb ssh` says of a guest where nobody answers on its port."""
    done = subprocess.run([lib.EBB, "ssh", name, "--timeout", "5", "true"], env=box.env, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 255, done
    return done.stderr


@pytest.mark.parametrize("way", ["--restore", "--restore-all"])
def test_sockets_begin_anew(ebb, tmp_path, way):
    """A clone has its own socket and CID, and its programs find their connections reset; those of the saved guest stay."""
    paths = [tmp_path / name for name in ("saved", "clone", "another")]
    guest = ebb.start(JOB, "--vsock", f"{paths[0]},cid=7", "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    answer(guest, "vsockio echo 5000 &", "^vsockio: listens$")
    with connect(paths[0], 5000) as old, contextlib.ExitStack() as stack:
        for path in paths:
            stack.enter_context(echoing(f"{path}_5001"))
        assert talk(old, b"before") == b"before"
        # A program of the guest's waits for what the host's never sends.
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{paths[0]}_5002")
            server.listen(1)
            server.settimeout(LIMIT)
            answer(guest, "(vsockio connect 5002 1K 1; echo waited=$?) & echo asks", "^asks$")
            silent, _ = server.accept()
            run(ebb, "snapshot", "-n", "saved", str(tmp_path / "there"))
            clones = [restore(ebb, tmp_path / "there", "--vsock", f"{path},cid={7 + n}", "--name", path.name, way=way)
                      for n, path in enumerate(paths[1:], 1)]
            for clone, path in zip(clones, paths[1:]):
                wait_until(lambda path=path: lib.listens(path), "the clone's socket is there")
                # At once: it is held back until the guest knows that it is another's.
                with connect(path, 5000) as new:
                    assert talk(new, b"after") == b"after"
                assert clone.wait_for(r"^waited=(\d+)$", LIMIT)[1][1] == "1"
                assert answer(clone, "vsockio connect 5001 64K 3", "^vsockio: (65536 bytes|.*: )")[1] == "65536 bytes"
                assert "nothing listens on vsock port 22" in ssh(ebb, path.name)
            # The control: where nothing was restored nothing was reset.
            assert talk(old, b"still") == b"still"
            assert "waited=1" not in guest.console()
            silent.close()
            guest.wait_for("^waited=1$", LIMIT)
    for one in (guest, *clones):
        assert "BAD" not in one.console() and not one.stderr(), one.stderr()


@pytest.mark.usefixtures("route")
def test_a_network_begins_anew(ebb, tmp_path):
    """Each clone has a passt of its own, at once, and its guest sees the link go down and up; the saved one goes on."""
    ports = [free_port() for _ in range(3)]
    networks = [f"user,hostfwd=tcp:127.0.0.1:{port}-:80" for port in ports]
    downs = "cat /sys/class/net/eth0/carrier_down_count"
    guest = ebb.start("udhcpc -q -n -i eth0 >/dev/null 2>&1; nc -ll -p 80 -e busybox cat & " + JOB, "-n", networks[0], "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    wait_until(lambda: answered(ports[0]), "the guest's server answers")
    before = int(answer(guest, downs, r"^(\d+)$")[1])
    run(ebb, "snapshot", "-n", "saved", str(tmp_path / "there"))
    clones = [restore(ebb, tmp_path / "there", "-n", network, "--name", f"clone{n}", network=True) for n, network in enumerate(networks[1:])]
    for clone in clones:
        counts(clone, 1)
    address = [stat(ebb, name)["networks"][0]["mac"] for name in ("saved", "clone0", "clone1")]
    assert len(set(address)) == 1, address
    (tmp_path / "file").write_text("f00d\n")
    with serving(tmp_path) as port:
        for clone, forwarded in zip(clones, ports[1:]):
            wait_until(lambda clone=clone: int(answer(clone, downs, r"^(\d+)$")[1]) == before + 1, "the link went down")
            wait_until(lambda clone=clone: answer(clone, "cat /sys/class/net/eth0/carrier", r"^(\d)$")[1] == "1", "the link is up again")
            assert answer(clone, "udhcpc -q -n -i eth0 2>&1", r"lease of ([\d.]+) obtained|no lease")[1] == HOST
            answer(clone, f"until timeout 40 busybox wget -q -O /tmp/f http://{GATEWAY}:{port}/file; do sleep 1; done; cat /tmp/f", "^f00d$")
            wait_until(lambda forwarded=forwarded: answered(forwarded), "the clone's server answers")
    assert len(passts()) == 3
    # The control: the saved one has the passt and the link that it had.
    assert answered(ports[0]) and int(answer(guest, downs, r"^(\d+)$")[1]) == before
    for one in (guest, *clones):
        assert "BAD" not in one.console() and not one.stderr(), one.stderr()


def test_a_tap_is_not_saved(ebb, tmp_path):
    """In words, before the guest stops: another guest may have the interface when it is restored."""
    ip("tuntap", "add", "t9", "mode", "tap")
    try:
        guest = ebb.start(JOB, "-n", "tap,tapif=t9", "--name", "saved", memory=MEMORY)
        counts(guest, 1)
        done = subprocess.run([lib.EBB, "snapshot", "-n", "saved", str(tmp_path / "there")], env=ebb.env, timeout=LIMIT, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 1 and '"network 0" cannot be saved yet: one by passt can (-n user)' in done.stderr, done
        assert not (tmp_path / "there").exists()
        counts(guest, 1, len(guest.lines))
        guest.kill()
    finally:
        ip("link", "del", "t9")


FORKED = "crng reseeded due to virtual machine fork"


@pytest.mark.parametrize("knows", [True, False], ids=["vmgenid", "without"])
def test_each_clone_draws_its_own_random_numbers(ebb, tmp_path, knows):
    """Their kernels take new entropy at once, and say so. The control is one without the driver; it may draw other numbers,
    too: soon after its start a kernel takes new entropy every few seconds."""
    guest = ebb.start("while read line; do eval $line; done", "--name", "saved", memory=MEMORY,
                      params="quiet" if knows else "quiet initcall_blacklist=vmgenid_plaform_driver_init")
    answer(guest, "echo up", "^up$")
    run(ebb, "snapshot", "-n", "saved", str(tmp_path / "there"))
    clones = [restore(ebb, tmp_path / "there", "--name", f"clone{n}") for n in range(2)]
    drawn = [answer(clone, "head -c 16 /dev/urandom | md5sum", "^([0-9a-f]{32})  -$")[1] for clone in clones]
    told = [int(answer(one, f"dmesg | grep -c '{FORKED}'", r"^(\d+)$")[1]) for one in (guest, *clones)]
    assert told == ([0, 1, 1] if knows else [0, 0, 0])
    assert drawn[0] != drawn[1] or not knows, drawn


def clone(box, *words):
    """The names of clones, whose consoles are in the logs beside the runtime directory."""
    done = subprocess.run([lib.EBB, "clone", *map(str, words)], env=box.env, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.split()


def typed(box, name, command, log, pattern):
    """Types a command on a clone's console. Returns what its answer matches."""
    start = log.stat().st_size
    with subprocess.Popen([lib.EBB, "console", "-n", name], env=box.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as console:
        console.stdin.write(command.encode() + b"\n")
        console.stdin.flush()

        def found():
            return re.search(pattern, log.read_bytes()[start:].decode(errors="replace").replace("\r", ""), re.M)

        try:
            wait_until(found, f"{name} says {pattern}")
        finally:
            console.terminate()
    return found()


@pytest.fixture
def cloned(ebb):
    """Ends all guests that nobody waits for."""
    yield
    subprocess.run([lib.EBB, "stop", "-a", "--force"], env=ebb.env, timeout=LIMIT, stdout=subprocess.DEVNULL, check=False)


@pytest.mark.usefixtures("cloned")
@pytest.mark.parametrize("reporting", ["on", "off"])
def test_clones_of_one_command(ebb, tmp_path, reporting):
    """They share what they have not written; what one frees comes back, and not without reporting, which is the control."""
    guest = ebb.start(JOB, f"--free-page-reporting={reporting}", "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    more = [] if reporting == "on" else ["--free-page-reporting=off"]
    names = clone(ebb, "-n", "saved", "-c", 3, "--", "--log", tmp_path / "log-%", *more)
    assert names == ["saved-1", "saved-2", "saved-3"]
    counts(guest, 1, len(guest.lines))
    logs = {name: tmp_path / f"log-{number}" for number, name in enumerate(names, 1)}
    for name, log in logs.items():
        wait_until(lambda log=log: len(re.findall(r"^count \d+", log.read_text(), re.M)) > 2, f"{name} goes on")
    rest = {name: stat(ebb, name)["memory"] for name in names}
    for name in names:
        assert rest[name]["rss"] - rest[name]["own"] > 8 * MIB, rest
        # What it checks is read, not written.
        assert rest[name]["own"] < 16 * MIB, rest
    typed(ebb, names[0], f"hold {TAKE}M --no-thp --wait", logs[names[0]], "^hold: taken")
    taken = stat(ebb, names[0])["memory"]["own"]
    assert taken > rest[names[0]]["own"] + 0.9 * TAKE * MIB
    typed(ebb, names[0], "", logs[names[0]], "^hold: done")

    def own():
        return stat(ebb, names[0])["memory"]["own"]

    if reporting == "on":
        wait_until(lambda: own() < taken - 0.8 * TAKE * MIB, "80 % of what it freed come back", RETURNING)
    else:
        assert taken - lowest(own, 20) < 0.5 * TAKE * MIB
    # In the others nothing has changed.
    assert stat(ebb, names[1])["memory"]["own"] < rest[names[1]]["own"] + 16 * MIB
    for log in logs.values():
        assert "BAD" not in log.read_text()


@pytest.mark.usefixtures("cloned", "route")
def test_clones_have_their_own_ways_in(ebb, tmp_path):
    """A network and sockets each, without an option for it; the forwarded ports are given by the clone's number."""
    path = tmp_path / "saved.sock"
    # In place of a client that asks anew when the link was down: a clone's passt has to hear of its guest.
    guest = ebb.start("(while :; do udhcpc -q -n -i eth0; sleep 1; done) >/dev/null 2>&1 & nc -ll -p 80 -e busybox cat & vsockio echo 22 & " + JOB,
                      "-n", "user", "--vsock", path, "--name", "saved", memory=MEMORY)
    counts(guest, 1)
    names = clone(ebb, "-n", "saved", "-c", 2, "--", "-n", "user,hostfwd=tcp:127.0.0.1:2808%-:80")
    assert len(passts()) == 3
    for number, name in enumerate(names, 1):
        assert os.path.exists(os.path.join(ebb.runtime, f"{name}.vsck"))
        with connect(os.path.join(ebb.runtime, f"{name}.vsck"), 22) as stream:
            assert talk(stream, b"own") == b"own"
        wait_until(lambda number=number: answered(28080 + number), f"the server of {name} answers")
    counts(guest, 1, len(guest.lines))
