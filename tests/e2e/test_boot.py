# SPDX-License-Identifier: Apache-2.0
"""What a guest finds when it has come up: kernel formats, processors, memory, command line, clock."""

import os
import re
import shlex
import shutil
import struct
import subprocess
import time

import pytest
from conftest import LIMIT, host_memory, lib
from test_monitor import stat

pytestmark = pytest.mark.linux

CPUS = (
    "cat /sys/devices/system/cpu/online /proc/sys/kernel/bootloader_type; "
    "grep -E '^(processor|apicid|physical id|core id|siblings|cpu cores)' /proc/cpuinfo"
)

FILE = {"vmlinux": lib.VMLINUX, "bzImage": lib.BZIMAGE}

# What /proc/sys/kernel/bootloader_type says of each entry: PVH's own number, or the one that ebb writes.
LOADER = {"vmlinux": "176", "bzImage": "255", "elf64": "255"}


def processors(lines):
    """/proc/cpuinfo as a list of dictionaries."""
    found = []
    for line in lines:
        if ":" not in line:
            continue
        key, value = (part.strip() for part in line.split(":", 1))
        if key == "processor":
            found.append({})
        found[-1][key] = int(value)
    return found


@pytest.mark.parametrize(
    "kernel, cpus", [("vmlinux", 1), ("vmlinux", 2), ("vmlinux", 4), ("bzImage", 2), ("elf64", 2)]
)
def test_processors(ebb, request, kernel, cpus):
    file = FILE.get(kernel) or request.getfixturevalue(kernel)
    online, loader, *lines = ebb.job(CPUS, "-c", cpus, kernel=file)

    assert loader == LOADER[kernel], "the guest came in by another entry"
    assert online == ("0" if cpus == 1 else f"0-{cpus - 1}")
    found = processors(lines)
    assert [each["processor"] for each in found] == list(range(cpus))
    assert len({each["apicid"] for each in found}) == cpus, "APIC ids are not distinct"
    # One package with a core for each CPU, no threads.
    assert {each["physical id"] for each in found} == {0}
    assert len({each["core id"] for each in found}) == cpus
    assert {each["siblings"] for each in found} == {cpus}
    assert {each["cpu cores"] for each in found} == {cpus}


def test_processors_all_work(ebb):
    """Each of four CPUs takes a job that is tied to it, and its timer ticks."""
    one = "taskset -c $i sleep 0.1 && taskset -c $i awk '{ print $39 }' /proc/self/stat"
    lines = ebb.job(f"for i in 0 1 2 3; do {one}; done", "-c", 4)
    assert lines == ["0", "1", "2", "3"]


MEMORY = "grep MemTotal /proc/meminfo; dmesg | grep -o 'BIOS-e82[0]:.*usable'"


def memory(lines):
    """MemTotal in bytes, and the sum of the memory map's usable entries."""
    total = int(re.match(r"MemTotal: *(\d+) kB", lines[0])[1]) * 1024
    usable = 0
    for line in lines[1:]:
        match = re.search(r"\[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\] usable", line)
        usable += int(match[2], 16) + 1 - int(match[1], 16)
    return total, usable


@pytest.mark.parametrize("mib, kernel", [(64, "vmlinux"), (256, "vmlinux"), (64, "bzImage")])
def test_memory_size(ebb, mib, kernel):
    lines = ebb.job(MEMORY, memory=f"{mib}M", kernel=FILE[kernel])
    total, usable = memory(lines)
    # The map leaves out 384 KiB under 1 MiB; the kernel keeps its own text, data and page structures.
    assert mib * lib.MIB - 512 * 1024 <= usable <= mib * lib.MIB
    assert (mib - 24) * lib.MIB * 0.97 < total < usable


@pytest.mark.parametrize("kernel", ["vmlinux", "bzImage"])
def test_memory_across_the_hole(ebb, kernel):
    """5 GiB: a part lies above 4 GiB, is really used, and holds what is written."""
    zone = "grep -A1 'zone *Normal' /proc/zoneinfo | tail -n 1"
    lines = ebb.job(
        f"{MEMORY}; echo --; {zone}; mkfifo /tmp/go; (hold 300M --wait </tmp/go | tee /tmp/said) & exec 3>/tmp/go; "
        f"until grep -q taken /tmp/said; do sleep 0.1; done; {zone}; echo >&3; wait; memcheck 200M --rounds 1",
        "--free-page-reporting=off",  # a page that is with the device is not counted as free
        memory="5G",
        kernel=FILE[kernel],
    )
    at = lines.index("--")
    total, usable = memory(lines[:at])
    assert 5 * 1024 * lib.MIB - 512 * 1024 <= usable <= 5 * 1024 * lib.MIB
    assert 4.8 * 1024 * lib.MIB < total < usable
    assert any("0x0000000100000000-" in line for line in lines[:at]), "nothing at 4 GiB"

    free = [int(line.split()[-1]) * 4096 for line in lines[at:] if "pages free" in line]
    assert len(free) == 2
    assert free[0] - free[1] > 250 * lib.MIB, "300 MiB were taken, but not above 4 GiB"
    assert any(re.match(r"memcheck: ok \d+ MiB checked", line) for line in lines)


def test_larger_than_the_host(ebb):
    """Is a warning, and works."""
    mib = host_memory() // lib.MIB + 512
    started = ebb.start("true", memory=f"{mib}M")
    ebb.ended(started, 0)
    assert re.fullmatch(rf"ebb: warning: the guest has {mib} MiB, the host \d+: .*", started.stderr())


def test_command_line(ebb):
    """-p comes last and unchanged, spaces and quotes in it too."""
    params = "quiet ebb.test='single' two  spaces ebb.cmd=\"cat /proc/cmdline\" ebb.last"
    started = ebb.start(None, params=params)
    ebb.ended(started, 0)
    line = next(text for _, text in started.lines if text.startswith("console="))
    assert line.endswith(" " + params)


def test_kernel_as_bare_argument(ebb):
    argv = [lib.EBB, "run", lib.BZIMAGE, "-m128", "-nnone", "--initrd=" + lib.PACKED_INITRAMFS, "--params", 'quiet ebb.cmd="echo I am up"']
    started = lib.Guest(argv, env=ebb.env)
    ebb.guests.append(started)
    ebb.ended(started, 0)
    assert "I am up" in started.console()


def test_without_params_and_size(ebb):
    """The fewest words that start a guest: kvmtool's default of 64 MiB for each CPU and three more."""
    started = lib.Guest([lib.EBB, "run", lib.VMLINUX, "-i", lib.INITRAMFS, "-n", "none"], env=ebb.env)
    ebb.guests.append(started)
    started.wait_for("ebb-guest: init", LIMIT)
    started.send("grep MemTotal /proc/meminfo; poweroff -f\n")
    _, match = started.wait_for(r"^MemTotal: *(\d+) kB", LIMIT)
    assert 220 * 1024 < int(match[1]) < 256 * 1024
    ebb.ended(started, 0)


@pytest.fixture
def kernel_up_to_the_hole(tmp_path):
    """The guest's vmlinux, with so much memory of its own that an initrd finds no room below 4 GiB."""
    with open(lib.VMLINUX, "rb") as file:
        kernel = bytearray(file.read())
    headers, size, count = struct.unpack_from("<Q14xHH", kernel, 32)
    loads = [at for at in range(headers, headers + size * count, size) if struct.unpack_from("<I", kernel, at)[0] == 1]
    last = max(loads, key=lambda at: struct.unpack_from("<Q", kernel, at + 24)[0])
    address = struct.unpack_from("<Q", kernel, last + 24)[0]
    struct.pack_into("<Q", kernel, last + 40, 0xC0000000 - 4096 - address)
    path = tmp_path / "vmlinux"
    path.write_bytes(kernel)
    return str(path)


@pytest.mark.arch("x86_64")
def test_initrd_above_4_gib(ebb, kernel_up_to_the_hole):
    lines = ebb.job("dmesg | grep RAMDISK; cat /proc/sys/kernel/bootloader_type", memory="4G", kernel=kernel_up_to_the_hole)
    assert any(re.search(r"RAMDISK: \[mem 0x1000[0-9a-f]{5}-", line) for line in lines), lines
    assert lines[-1] == "255", "not by the entry that takes 64 bits of its address"


@pytest.mark.cross
def test_from_pipes(ebb):
    """Unpacked on the way, as a shell does it."""
    def cat(path):
        return f"<({'gzip -dc' if path.endswith('.gz') else 'cat'} {path})"
    argv = lib.ebb("echo here", kernel="KERNEL", initrd="INITRD")
    words = " ".join(shlex.quote(str(word)) for word in argv)
    words = words.replace("KERNEL", cat(lib.PACKED_KERNEL)).replace("INITRD", cat(lib.PACKED_INITRAMFS))
    started = lib.Guest(["bash", "-c", f"exec {words}"], env=ebb.env)
    ebb.guests.append(started)
    ebb.ended(started, 0)
    assert "\nhere\n" in started.console()


@pytest.mark.cross
@pytest.mark.parametrize("params", ["quiet", "quiet no-kvmclock"] if lib.ARCH == "x86_64" else ["quiet"])
def test_date(ebb, params):
    """From kvm-clock, or from the machine's real-time clock."""
    before = time.time()
    lines = ebb.job("date +%s", params=params)
    assert before - 2 <= int(lines[0]) <= time.time() + 2


def test_clock(ebb):
    """kvm-clock drives the guest, and its date is the host's."""
    clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    before = time.time()
    lines = ebb.job(f"cat {clocksource}; date +%s")
    assert lines[0] == "kvm-clock"
    assert int(before) <= int(lines[1]) <= time.time() + 1


def test_kernel_has_no_complaint(ebb):
    """Not a warning or worse of the kernel's on this hardware, but for those that tell of the host."""
    lines = ebb.job("dmesg -r | grep '^<[0-4]>' | head -n 20", "-c", 2, "--free-page-reporting")
    # An emulated host is slow, and its processor an odd one; there is no PCI bus, as -p pci=off would tell the guest.
    known = r"hrtimer: interrupt took|Long readout|TSC .*unstable|clocksource:|Spectre|PCI: (Fatal: No config space|System does not)"
    assert [line for line in lines if not re.search(known, line)] == []


def of_iso(image, name):
    """A file of an ISO 9660 file system."""
    out = image.with_suffix(f".{name}")
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", image, "-extract", f"/{name}", out], check=True, capture_output=True)
    return out.read_text("utf-8")


def test_from_a_disk(ebb, tmp_path):
    """Without a kernel of its own ebb boots what the disk's boot loader would; -p comes after the disk's parameters."""
    root = tmp_path / "root"
    (root / "boot/grub").mkdir(parents=True)
    shutil.copy(lib.BZIMAGE, root / "boot/vmlinuz-6.12")
    shutil.copy(lib.PACKED_INITRAMFS, root / "boot/initrd.img-6.12")
    (root / "boot/grub/grub.cfg").write_text(
        "menuentry 'Debian' {\n\tlinux /boot/vmlinuz-6.12 console=ttyS0 ebb.disk=$root ebb.test=1\n"
        "\tinitrd /boot/initrd.img-6.12\n}\n"
    )
    image = tmp_path / "disk.raw"
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", root, image], check=True)
    user_data = tmp_path / "a\\=b"  # which xorriso would take for a=b
    user_data.write_text("#cloud-config\nusers: [{name: j\u00fcrgen}]\n", "utf-8")
    seen = tmp_path / "seen.iso"
    subprocess.run(["truncate", "-s", "4M", seen], check=True)
    job = ("cat /proc/cmdline; cat /sys/block/vdc/ro; dd if=/dev/vdc of=/dev/vdb bs=64k conv=fsync 2>/dev/null; "
           "dd if=/dev/vdc bs=1 skip=32808 count=6 2>/dev/null; echo; read line")
    argv = [lib.EBB, "run", "-m256M", "-n", "none", "--name", "disk", "-d", f"{image},ro", "-d", seen, "--user-data", user_data,
            "-p", f'quiet ebb.test=2 ebb.cmd="{job}"']
    started = lib.Guest(argv, env=ebb.env)
    ebb.guests.append(started)
    started.wait_for("^cidata$", LIMIT)
    assert [disk["file"] for disk in stat(ebb, "disk")["disks"]] == [str(image), str(seen), str(user_data)]
    started.send("\n")
    ebb.ended(started, 0)
    lines = [text for _, text in started.lines]
    assert any(re.search(r"console=ttyS0 ebb.test=1 quiet ebb.test=2", line) for line in lines), started.console()
    # The label of an ISO 9660 file system, on a disk that cannot be written.
    assert "cidata" in lines and lines[lines.index("cidata") - 1] == "1", started.console()
    # What cloud-init finds in it, by the two names that NoCloud has.
    assert of_iso(seen, "user-data") == user_data.read_text("utf-8")
    assert re.fullmatch(r"instance-id: ebb-[0-9a-f]{16}\nlocal-hostname: disk\n", of_iso(seen, "meta-data"))


def test_distribution_kernel(ebb, distro_kernel):
    """A stock kernel boots at the first try, with two CPUs, as far as it can without its own initramfs."""
    started = ebb.start(None, "-c", 2, kernel=distro_kernel, memory="512M", params="loglevel=7")
    started.wait_for(r"smp: Brought up 1 node, 2 CPUs", 2 * LIMIT)
    started.wait_for(r"Run /init as init process", 2 * LIMIT)
    started.wait_for("ebb-guest: init", LIMIT)
    started.send("cat /sys/devices/system/cpu/online\n")
    started.wait_for("^0-1$", LIMIT)
    started.send("echo b >/proc/sysrq-trigger\n")
    ebb.ended(started, 0)


# Each virtio device, by the parent that it was found by.
FOUND = "cd /sys/bus/virtio/devices; for d in *; do readlink $d | sed s,.*devices/,,; done; grep -c virtio_mmi[o] /proc/cmdline; reboot -f"


@pytest.mark.arch("x86_64")
def test_each_device_is_named_once(ebb, tmp_path):
    """By ACPI, in their order, although this kernel would find them on the command line, too."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    started = ebb.start(FOUND, "--balloon", "-d", f"{disk},ro", "--rng")
    ebb.ended(started, 0)
    lines = [text for _, text in started.lines]
    found = lines[lines.index("ebb-guest: init") + 1 :][:4]
    assert found == ["platform/LNRO0005:00/virtio0", "platform/LNRO0005:01/virtio1", "platform/LNRO0005:02/virtio2", "0"]


@pytest.mark.emulated
@pytest.mark.arch("x86_64")
def test_a_suspended_host_is_told_to_its_guests():
    """To the tiny guest of tests/payload, whose test has the control."""
    run = os.path.join(lib.TREE, "tests", "payload", "run")
    done = subprocess.run([run, "test_stopped.py", "-k", "suspend"], stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
    assert done.stdout.endswith("\n2 passed, 0 failed, 0 skipped\n"), done.stdout
