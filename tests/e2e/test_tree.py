# SPDX-License-Identifier: Apache-2.0
# Architectures: arm64 riscv64
"""Guests that are told of their machine by a device tree (arm64, riscv64): what they find, and the tree itself."""

import base64
import re
import struct

import pytest
from conftest import lib

pytestmark = [pytest.mark.linux, pytest.mark.cross, pytest.mark.arch("arm64", "riscv64")]

MIB = lib.MIB
# What is random in a tree, which the kernel wipes when it has read it: kaslr-seed's value, and rng-seed as a whole.
SEEDS = 8 + 12 + 56


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_processors_and_memory(ebb, cpus):
    """All processors come, each works and has its timer; memory is where the tree says."""
    one = "taskset -c $i sleep 0.1 && taskset -c $i awk '{ print $39 }' /proc/self/stat"
    lines = ebb.job(
        f"cat /sys/devices/system/cpu/online; for i in $(seq 0 {cpus - 1}); do {one}; done; "
        "grep MemTotal /proc/meminfo; grep 'System RAM' /proc/iomem",
        "-c", cpus, "--free-page-reporting",
    )
    assert lines[0] == ("0" if cpus == 1 else f"0-{cpus - 1}")
    assert lines[1 : 1 + cpus] == [str(i) for i in range(cpus)]
    total = int(re.match(r"MemTotal: *(\d+) kB", lines[1 + cpus])[1]) * 1024
    assert 0.85 * 256 * MIB < total < 256 * MIB
    ram = [re.match(r"([0-9a-f]+)-([0-9a-f]+) : System RAM", line) for line in lines[2 + cpus :]]
    assert ram and int(ram[0][1], 16) == 0x80000000 and int(ram[-1][2], 16) == 0x80000000 + 256 * MIB - 1


def test_as_the_cover_letter_has_it(ebb):
    """The command line that the RISC-V series of kvmtool was sent with, in ebb's words."""
    params = 'console=ttyS0 earlycon ebb.cmd="cat /proc/cmdline"'
    argv = [lib.EBB, "run", "-m", "128", "-c2", "--console", "serial", "-p", params, "-k", lib.KERNEL, "-n", "none", "--debug"]
    started = lib.Guest([*argv, "-i", lib.PACKED_INITRAMFS], env=ebb.env)
    ebb.guests.append(started)
    ebb.ended(started, 0)
    console = started.console()
    # The kernel talks from its first page on, by the UART that the tree names, and goes on when the driver has come.
    assert re.search(r"^\[ +0\.000000\] (Booting Linux|Linux version)", console, re.M), console
    assert re.search(r"earlycon: (ns16550a?|uart8250)[0-9]* at MMIO", console), console
    assert re.search(r"smp: Brought up 1 node, 2 CPUs", console), console
    assert re.search("ebb-guest: init$", console, re.M) and re.search("^ebb-guest: exit=0$", console, re.M), console
    assert re.search(rf"^console=ttyS0 panic=-1 {re.escape(params)}$", console, re.M), console
    # Reporting is on unasked, and its result is all that ebb itself has to say.
    assert re.fullmatch(r"ebb: free page reporting: \d+ reports, .*, 0 failures", started.stderr())


def test_the_tree_that_is_dumped_is_the_guests(ebb, tmp_path):
    path = tmp_path / "machine.dtb"
    # The kernel of a slow guest may complain of that, in the middle of a line.
    lines = ebb.job("dmesg -n 1; base64 /sys/firmware/fdt", "-c", 3, "--free-page-reporting", "--dump-dtb", path)
    found = base64.b64decode("".join(lines), validate=True)
    dumped = path.read_bytes()
    assert dumped[:4] == b"\xd0\x0d\xfe\xed" and len(dumped) == int.from_bytes(dumped[4:8], "big")
    assert len(found) == len(dumped)
    differing = [at for at in range(len(dumped)) if dumped[at] != found[at]]
    assert len(differing) <= SEEDS, f"{len(differing)} bytes differ"
    for words in (b"virtio,mmio", b"ns16550a", b"gpio-keys", b"console=ttyS0 panic=-1 quiet", b"linux,initrd-start"):
        assert words in dumped, words


@pytest.mark.parametrize("where", ["/", "/nowhere/machine.dtb"])
def test_a_tree_that_cannot_be_written(ebb, where):
    ebb.mistake(lib.ebb("true", "--dump-dtb", where), "cannot write the device tree", where)


def test_complaints(ebb):
    """Not a warning or worse of the kernel's on this hardware, but for those that tell of the host."""
    lines = ebb.job("dmesg -r | grep '^<[0-4]>' | head -n 20", "-c", 2, "--free-page-reporting")
    known = r"hrtimer: interrupt took|clocksource:|Spectre|spectre|kaslr|KASLR"
    assert [line for line in lines if not re.search(known, line)] == []


def test_memory_that_does_not_do(ebb):
    ebb.mistake(lib.ebb("true", memory="8M"), "8M", "too little", "16M")
    ebb.mistake(lib.ebb("true", memory="8192P"), "memory", "address", "-m")


@pytest.mark.parametrize("damage", ["ELF", "other architecture", "cut off", "nothing"])
def test_no_kernel(ebb, tmp_path, damage):
    with open(lib.KERNEL, "rb") as file:
        head = bytearray(file.read(4096))
    other = {"arm64": b"RSC\x05", "riscv64": b"ARM\x64"}[lib.ARCH]
    if damage == "ELF":
        head[:4] = b"\x7fELF"
        head[0x38:0x3C] = bytes(4)
    elif damage == "other architecture":
        head[0x38:0x3C] = other
    elif damage == "cut off":
        del head[40:]
    else:
        head.clear()
    path = tmp_path / "kernel"
    path.write_bytes(head)
    word = {"ELF": "ELF", "other architecture": "kernel for", "cut off": "not a kernel", "nothing": "empty"}[damage]
    ebb.mistake(lib.ebb("true", kernel=str(path)), word, str(path))


# Prints by the UART and powers off by PSCI, wherever it lies; a kernel without a header.
FLAT = struct.pack(
    "<10I",
    0xD2A02001,  # mov x1, #0x1000000
    0x10000122,  # adr x2, text
    0x38401443,  # 1: ldrb w3, [x2], #1
    0x34000063,  # cbz w3, 2f
    0x39000023,  # strb w3, [x1]
    0x17FFFFFD,  # b 1b
    0x52800100,  # 2: mov w0, #8
    0x72B08000,  # movk w0, #0x8400, lsl #16
    0xD4000002,  # hvc #0
    0x14000000,  # b .
) + b"I am flat\n\0"


@pytest.mark.arch("arm64")
@pytest.mark.parametrize("options", [[], ["--irqchip", "gicv3"], ["--pmu"]], ids=["alone", "gicv3", "pmu"])
def test_flat_image(ebb, tmp_path, options):
    """As kvm-unit-tests' are: nothing but code, with arguments that nobody adds to."""
    path, dtb = tmp_path / "flat", tmp_path / "dtb"
    path.write_bytes(FLAT)
    argv = [lib.EBB, "run", "--nodefaults", "-k", path, "-p", "one two", "--dump-dtb", dtb, *options]
    started = lib.Guest(argv, env=ebb.env)
    ebb.guests.append(started)
    ebb.ended(started, 0)
    assert started.console().strip() == "I am flat"
    assert started.stderr() == ""
    assert (b"arm,armv8-pmuv3\0" in dtb.read_bytes()) == ("--pmu" in options)
    assert b"one two\0" in dtb.read_bytes() and b"console=" not in dtb.read_bytes()
    assert b"virtio,mmio" not in dtb.read_bytes()


@pytest.mark.arch("arm64")
def test_flat_image_by_mistake(ebb, tmp_path):
    path = tmp_path / "flat"
    path.write_bytes(FLAT)
    ebb.mistake([lib.EBB, "run", "-n", "none", path], "not a kernel", str(path))


@pytest.mark.arch("arm64")
def test_an_interrupt_controller_that_the_host_has_not(ebb, tmp_path):
    path = tmp_path / "flat"
    path.write_bytes(FLAT)
    ebb.mistake([lib.EBB, "run", "--nodefaults", path, "--irqchip", "gicv2"], "gicv2", "leave --irqchip out")


@pytest.mark.arch("riscv64")
@pytest.mark.parametrize("option", [["--pmu"], ["--irqchip", "gicv3"]], ids=["pmu", "irqchip"])
def test_options_of_arm64(ebb, option):
    ebb.mistake(lib.ebb("true", *option), option[0], "arm64", "riscv64")
