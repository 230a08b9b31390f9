# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernels, as they are: each finds its devices without a word on the command line, has a network, gives memory
back, ends.

EBB_KERNELS names them: "SUITE FLAVOUR INITRD WAY, …", the first two as guest/distribution has them; tests/kernels/run has the
whole matrix. INITRD is the tool that made it of that kernel's modules: initramfs-tools or dracut, which start a Debian from
its disk, or ours, which is the guests' initramfs with the modules before it. Each kernel has two guests: one that reports
and powers off, and the control, which does not report, and reboots with the parameter reboot=WAY.

"like NAME" is a kernel of ours with those options of another distribution's that decide how its devices are found.
"""

import os
import time

import pytest
from conftest import LIMIT, ip, lib, wait_until
from test_monitor import run as command

pytestmark = [pytest.mark.linux, pytest.mark.cross]

MIB = lib.MIB
TAKE = 128
GATE = {"x86_64": "bookworm cloud ours k", "arm64": "bookworm generic ours cold", "riscv64": "trixie generic ours cold"}
KERNELS = [tuple(row.split()) for row in os.environ.get("EBB_KERNELS", GATE[lib.ARCH]).split(",")]

CLOCK = {"x86_64": "rtc_cmos", "arm64": "rtc-pl031", "riscv64": "goldfish_rtc"}[lib.ARCH]
FOUND_BY = "LNRO0005:" if lib.ARCH == "x86_64" else ".virtio_mmio"

# On an emulated host a guest's processor takes minutes to test the kernel's ciphers, and stalls meanwhile.
EMULATED = " cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1" if os.environ.get("EBB_HOST") else ""

# A line for each driver: its name, and where its devices are. Then the clock's, and the job of memory.
JOB = ("cd /sys/bus/virtio/drivers; "
       "for d in virtio_*; do for v in $d/virtio[0-9]*; do [ -e $v ] && echo found $d $(readlink $v); done; done; "
       "echo devices $(ls /sys/bus/virtio/devices | wc -l); echo clock $(cat /sys/class/rtc/rtc0/name); echo kernel $(uname -r); "
       f"hold {TAKE}M --wait; while read word && [ $word ]; do echo epoch $(cat /sys/class/rtc/rtc0/since_epoch); done")


def made(*words):
    """What guest/distribution has made."""
    path = os.path.join(lib.BUILD, "guest", "kernels", "-".join(words).removeprefix("kernel-"))
    if not os.path.isdir(path):
        pytest.fail(f"there is no {path}: guest/distribution {' '.join(words)} makes it")
    return path


# Of virtio_mmio and the balloon, what is a module there. It knows virtio_mmio's parameter, which is not given.
LIKE = {"fedora": {"virtio_mmio", "virtio_balloon"}}
SHOW = "echo modules $(cut -d ' ' -f 1 /proc/modules); echo knows $(ls /sys/module/virtio_mmio/parameters); "


def like(name):
    """The folder of such a kernel of ours, and the kernel's file in it."""
    path = os.path.join(lib.BUILD, "guest", name)
    if not os.path.isdir(path):
        pytest.fail(f"there is no {path}: guest/build {name} makes it")
    return path, "bzImage"


def with_modules(path, tmp_path):
    """Our initramfs behind the modules of the kernel at `path`."""
    initrd = tmp_path / "initrd"
    with open(initrd, "wb") as out:
        for part in (f"{path}/modules.cpio", lib.PACKED_INITRAMFS):
            with open(part, "rb") as file:
                out.write(file.read())
    return str(initrd)


def machine(row, tmp_path):
    """This kernel's disks, and what is for lib.ebb()."""
    suite, flavour, tool, _ = row
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    if tool != "ours":
        path = made("system", lib.ARCH, suite, flavour)
        return [f"{path}/root.img,ro", disk], {"kernel": f"{path}/kernel", "initrd": f"{path}/{tool}.img",
                                               "params": "quiet root=/dev/vda ro init=/sbin/ebb-init"}
    path, file = like(flavour) if suite == "like" else (made("kernel", lib.ARCH, suite, flavour), "kernel")
    return [disk], {"kernel": f"{path}/{file}", "initrd": with_modules(path, tmp_path), "params": "quiet"}


# An address of the host that is not the guest's, too: passt gives the guest that of the interface with the route.
OTHER = "10.9.1.1"
PING = ("i=$(ls /sys/class/net | grep ^e); udhcpc -q -n -i $i >/dev/null 2>&1; "
        f"ping -c 1 -W 60 {OTHER} >/dev/null && echo pinged $i; ")


@pytest.fixture
def network(request):
    """The options for a user's network, where the host is the test's own, and may be told to let all users ping. A kernel of
    ours, which can be the host's for pages of 64 KiB, does not have the namespaces that passt wants.
    """
    if not EMULATED or not os.path.exists("/proc/self/ns/user"):
        yield []
        return
    request.getfixturevalue("route")
    with open("/proc/sys/net/ipv4/ping_group_range", "w", encoding="ascii") as file:
        file.write("0 2147483647")
    ip("addr", "add", f"{OTHER}/32", "dev", "lo")
    yield ["-n", "user"]
    ip("addr", "del", f"{OTHER}/32", "dev", "lo")


class Run:
    """A guest up to where it has freed its memory."""

    def __init__(self, ebb, row, tmp_path, end, *more):
        disks, keys = machine(row, tmp_path)
        keys["params"] += f" ebb.exit={end}{EMULATED}"
        self.drivers = {"virtio_balloon": 1, "virtio_blk": len(disks), "virtio_rng": 1, "virtio_net": more.count("-n")}
        options = ["--rng", "--name", "kernel", *more, *(word for disk in disks for word in ("-d", disk))]
        job = "coldplug; " + (SHOW if row[0] == "like" else "") + (PING if "-n" in more else "") + JOB
        self.guest = ebb.start(job, *options, memory="512M", **keys)
        self.guest.wait_for("^hold: taken", 3 * LIMIT)
        self.taken = self.guest.rss()
        assert self.taken >= TAKE * MIB
        self.guest.send("\n")
        self.guest.wait_for("^hold: done", LIMIT)

    def back(self):
        """MiB that the host has again, once that is most of what was freed."""
        return (self.taken - self.guest.rss()) // MIB

    def said(self, word):
        return [text.split()[1:] for _, text in self.guest.lines if text.startswith(word + " ")]

    def clock(self):
        """The seconds that its clock chip shows, and the host's before and after."""
        before, start = time.time(), len(self.guest.lines)
        self.guest.send("clock\n")
        _, match = self.guest.wait_for(r"^epoch (\d+)$", LIMIT, start)
        return int(before), int(match[1]), int(time.time())

    def end(self, ebb):
        self.guest.send("\n")
        ebb.ended(self.guest, 0)
        assert self.guest.stderr() == ""


def paused_clock(ebb, run):
    """What its clock chip shows before and after a pause of more than a second: one that stood still would show too little."""
    before = run.clock()
    command(ebb, "pause", "-n", "kernel")
    wait_until(lambda: int(time.time()) > before[2] + 1, "the host's clock goes on")
    command(ebb, "resume", "-n", "kernel")
    return before, run.clock()


def ids(row):
    return "-".join(row)


def column(row):
    """What the table says of a kernel besides its version."""
    return " ".join(row[:2]) if row[0] == "like" else row[2]


@pytest.mark.parametrize("row", KERNELS, ids=ids)
def test_kernel(ebb, tmp_path, row, network, tell):
    run = Run(ebb, row, tmp_path, "poweroff", "--free-page-reporting", *network)
    found = run.said("found")
    drivers = [driver for driver, _ in found]
    assert {driver: drivers.count(driver) for driver in run.drivers} == run.drivers, found
    assert all(FOUND_BY in place for _, place in found), found
    (devices,), (clock,), (kernel,) = (run.said(word) for word in ("devices", "clock", "kernel"))
    assert int(devices[0]) == len(found), "a device has no driver"
    if row[0] == "like":
        (modules,), knows = run.said("modules"), run.said("knows")
        assert LIKE[row[1]] == {"virtio_mmio", "virtio_balloon"} & set(modules) and knows == [["device"]], (modules, knows)
    assert clock[0].startswith(CLOCK)
    assert len(run.said("pinged")) == bool(network), run.guest.console()
    run.guest.wait_for_rss(lambda rss: rss < run.taken - 0.75 * TAKE * MIB, LIMIT)
    back = run.back()
    shown = paused_clock(ebb, run)
    assert shown[0][0] <= shown[0][1] <= shown[0][2] < shown[1][0] <= shown[1][1] <= shown[1][2], shown
    run.end(ebb)
    tell(f"{kernel[0]:32} {column(row):16} {' '.join(driver.removeprefix('virtio_') for driver in drivers)} {clock[0]}; "
         f"{'pinged; ' if network else ''}{back} of {TAKE} MiB back; powered off")


@pytest.mark.parametrize("row", KERNELS, ids=ids)
def test_without_reporting(ebb, tmp_path, row, tell):
    """The control, for as long as the other takes at most: five of the kernel's passes of two seconds."""
    run = Run(ebb, row, tmp_path, f"reboot reboot={row[3]}", "--free-page-reporting=off")
    with pytest.raises(lib.GuestError, match="stays there"):
        run.guest.wait_for_rss(lambda rss: rss < run.taken - 0.75 * TAKE * MIB, 10)
    back = run.back()
    run.end(ebb)
    tell(f"{run.said('kernel')[0][0]:32} {column(row):16} control: {back} of {TAKE} MiB back without reporting; reboot={row[3]}")


@pytest.fixture
def tell(request):
    """Writes a line of the table."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    return lambda line: reporter.write_line(f"\nkernel: {lib.ARCH:8} {line}")
