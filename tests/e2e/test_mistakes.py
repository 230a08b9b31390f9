# SPDX-License-Identifier: Apache-2.0
"""Every mistake gets one line that says what is wrong, status 2, and nothing left behind.

None of these needs a guest that runs, most need a /dev/kvm that opens: they run on this machine as it is.
"""

import bz2
import lzma
import os
import pty
import signal
import struct
import subprocess
import termios

import pytest
from conftest import LIMIT, host_memory, lib

RUN = [lib.EBB, "run", "-n", "none"]
KERNEL = ["-k", lib.VMLINUX]


# --- the command line --------------------------------------------------------------------------

WORDS = [
    # arguments, what the line says of them
    ([], ["no kernel", "-k"]),
    (["-k", ""], ["kernel", "empty"]),
    ([*KERNEL, "other"], ["two kernels"]),
    ([*KERNEL, "-m", "0"], ['"0"', "too little", "16M"]),
    ([*KERNEL, "-m", "-1"], ['"-1"', "not a size"]),
    ([*KERNEL, "-m", "15M"], ['"15M"', "too little"]),
    ([*KERNEL, "-m", "12X"], ['"12X"', "not a size"]),
    ([*KERNEL, "-m", "1.5G"], ['"1.5G"', "not a size"]),
    ([*KERNEL, "-m", "512MB"], ['"512MB"', "not a size"]),
    ([*KERNEL, "-m", ""], ['""', "not a size"]),
    ([*KERNEL, "-m", "20000000000G"], ["20000000000G", "too large"]),
    ([*KERNEL, "-m"], ["-m needs a value"]),
    ([*KERNEL, "-c", "0"], ['"0"', "number of CPUs"]),
    ([*KERNEL, "-c", "-2"], ['"-2"', "number of CPUs"]),
    ([*KERNEL, "-c", "two"], ['"two"', "number of CPUs"]),
    ([*KERNEL, "-c", "2x"], ['"2x"', "number of CPUs"]),
    ([*KERNEL, "-c", "100000"], ["100000", "too many"]),
    ([*KERNEL, "--memroy", "1G"], ["unknown option --memroy", "--mem"]),
    ([*KERNEL, "--free-page-report"], ["unknown option --free-page-report", "--free-page-reporting"]),
    (["--kernal", "x"], ["unknown option --kernal", "--kernel"]),
    ([*KERNEL, "--baloon"], ["unknown option --baloon", "--balloon"]),
    ([*KERNEL, "-z"], ["unknown option -z", "--help"]),
    ([*KERNEL, "--zzzzzz"], ["unknown option --zzzzzz", "--help"]),
    ([*KERNEL, "--debug=1"], ["--debug", "no value"]),
    ([*KERNEL, "--console", "vga"], ['"vga"', "serial"]),
    ([*KERNEL, "-d", ""], ["disk", "empty"]),
    ([*KERNEL, "-d", "x.img,rw"], ['"x.img,rw"', "the keys are ro, format=raw"]),
    ([*KERNEL, "-d", "/a,b.img"], ['"/a,b.img"', "a comma in a name is written twice"]),
    ([*KERNEL, "-d", "x.img,format=vmdk"], ['"vmdk"', "raw or qcow2", "qemu-img convert"]),
    ([*KERNEL, "-i", "a", "-i", "b"], ["--initrd is given twice", "give it once"]),
    ([*KERNEL, "-m", "1G", "-m", "2G"], ["--mem is given twice", "give it once"]),
    ([*KERNEL, *["-d", "x"] * 17], ["too many", "16"]),
    ([*KERNEL, "--name", "a/b"], ['"a/b"', "slash"]),
    ([*KERNEL, "--name", "../a"], ['"../a"', "slash"]),
    ([*KERNEL, "--name", ".."], ['".."']),
    ([*KERNEL, "--name", ""], ["name", "empty"]),
    ([*KERNEL, "--name", "n" * 300], ["name", "too long"]),
    ([*KERNEL, "--two\nlines"], ["unknown option --two\\x0alines"]),
]


@pytest.mark.parametrize("arguments, words", WORDS, ids=lambda value: " ".join(value)[:40].replace("\n", " "))
def test_words(ebb, arguments, words):
    ebb.mistake(RUN + arguments, *words)


def test_unknown_command(ebb):
    ebb.mistake([lib.EBB, "rum"], "'rum'", "ebb help")


# --- this host's KVM ---------------------------------------------------------------------------


def namespace(script, *argv):
    """`argv` with mounts of its own, which `script` changes first. For whom unshare(1) works."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = ["unshare", *user, "--mount", "--propagation", "private"]
    tried = subprocess.run([*unshare, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")
    return [*unshare, "sh", "-ec", script + '\nexec "$@"', "sh", *argv]


def test_no_kvm(ebb):
    ebb.mistake(namespace("mount -t tmpfs none /dev", *RUN, *KERNEL), "there is no KVM here", "/dev/kvm", "No such file")


def test_kvm_without_driver(ebb):
    """A device node whose module is not loaded."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a device node")
    script = "mount -t tmpfs none /dev; mknod /dev/kvm c 10 250"
    ebb.mistake(namespace(script, *RUN, *KERNEL), "there is no KVM here", "No such device")


@pytest.mark.root
def test_no_permission(ebb, tmp_path):
    """As another user, where /dev/kvm is root's alone."""
    # Where that user can come to: the tree itself may be in somebody's home directory.
    script = """
        mount -t tmpfs none /dev
        mknod -m 600 /dev/kvm c 10 232
        mount -t tmpfs -o mode=755 none /mnt
        cp "$1" /mnt/ebb
        mkdir -m 700 /mnt/runtime
        chown 65534 /mnt/runtime
        shift
        export EBB_RUNTIME_DIR=/mnt/runtime
    """
    # What is left there would be seen: a directory of its own is removed only when it is empty.
    inner = 'status=0; setpriv --reuid 65534 --regid 65534 --clear-groups "$@" || status=$?; rmdir /mnt/runtime; exit $status'
    argv = namespace(script, "sh", "-c", inner, "sh", "/mnt/ebb", "run", "-n", "none", "-k", "/vmlinux")
    argv.insert(argv.index("sh", argv.index("-ec")) + 1, lib.EBB)
    ebb.mistake(argv, "no permission", "/dev/kvm", "group")


@pytest.mark.kvm
def test_no_permission_for_devices(ebb):
    """In a container whose /dev allows no devices: the same errno as for a user without rights, and no root needed."""
    script = "mount --bind /dev/kvm /dev/kvm; mount -o remount,bind,nodev /dev/kvm"
    ebb.mistake(namespace(script, *RUN, *KERNEL), "no permission", "/dev/kvm")


@pytest.mark.parametrize("other", ["touch /dev/kvm", "cp -a /mnt/null /dev/kvm"], ids=["file", "null"])
def test_kvm_is_something_else(ebb, other):
    """As in a container that has /dev/null in its place, which opens as KVM does."""
    script = "mount -t tmpfs none /mnt; cp -a /dev/null /mnt/null; mount -t tmpfs none /dev; " + other
    ebb.mistake(namespace(script, *RUN, *KERNEL), "/dev/kvm is not KVM's device", "10, 232")
    doctor = subprocess.run(namespace(script, lib.EBB, "doctor"), stdout=subprocess.PIPE, text=True, check=False)
    assert doctor.returncode == 1
    assert "FAIL  /dev/kvm           is not KVM's device" in doctor.stdout and "KVM's API" not in doctor.stdout


SHIM = """
/* SPDX-License-Identifier: Apache-2.0 */
/* KVM as an older kernel would have it: without the capability number EBB_TEST_LACKS, or with API version EBB_TEST_API. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, long);
	va_list args;
	va_start(args, request);
	long argument = va_arg(args, long);
	va_end(args);
	if (!real)
		real = dlsym(RTLD_NEXT, "ioctl");
	const char *lacks = getenv("EBB_TEST_LACKS"), *api = getenv("EBB_TEST_API");
	if (request == KVM_CHECK_EXTENSION && lacks && argument == atol(lacks))
		return 0;
	if (request == KVM_GET_API_VERSION && api)
		return atoi(api);
	return real(fd, request, argument);
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library that stands between ebb and KVM."""
    where = tmp_path_factory.mktemp("shim")
    (where / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", where / "shim.so", where / "shim.c"], check=True, timeout=LIMIT)
    return str(where / "shim.so")


@pytest.mark.kvm
def test_kvm_too_old(ebb, shim):
    env = ebb.env | {"LD_PRELOAD": shim, "EBB_TEST_API": "11"}
    ebb.mistake(RUN + KERNEL, "API version 12", "11", "newer", env=env)


@pytest.mark.kvm
@pytest.mark.parametrize(
    "number, name",
    [(0, "KVM_CAP_IRQCHIP"), (16, "KVM_CAP_SYNC_MMU"), (32, "KVM_CAP_IRQFD"), (36, "KVM_CAP_IOEVENTFD")],
)
def test_kvm_lacks_a_capability(ebb, shim, number, name):
    env = ebb.env | {"LD_PRELOAD": shim, "EBB_TEST_LACKS": str(number)}
    ebb.mistake(RUN + KERNEL, "lacks " + name, "newer kernel", env=env)


@pytest.mark.kvm
@pytest.mark.parametrize("option", [["--pmu"], ["--irqchip", "gicv3"]], ids=["pmu", "irqchip"])
def test_options_of_arm64(ebb, option):
    ebb.mistake([*RUN, *KERNEL, *option], option[0], "arm64", "x86_64")


@pytest.mark.kvm
def test_too_many_cpus(ebb):
    ebb.mistake([*RUN, *KERNEL, "-c", "1000"], "1000 CPUs are too many", "allow")


# --- memory ------------------------------------------------------------------------------------


@pytest.mark.kvm
@pytest.mark.parametrize("kernel", [lib.VMLINUX, lib.BZIMAGE], ids=os.path.basename)
def test_memory_too_small_for_the_kernel(ebb, kernel):
    ebb.mistake([*RUN, "-k", kernel, "-m", "16M"], "16 MiB", "too small for the kernel", "needs", "-m")


@pytest.mark.kvm
def test_memory_beyond_the_processor(ebb):
    ebb.mistake([*RUN, *KERNEL, "-m", "8192P"], "memory", "address", "-m")


@pytest.mark.kvm
def test_address_space_limit(ebb):
    argv = ["sh", "-c", 'ulimit -v 200000; exec "$@"', "sh", *RUN, *KERNEL, "-m", "512M"]
    ebb.mistake(argv, "512 MiB", "RLIMIT_AS", "ulimit -v")


@pytest.fixture
def no_overcommit():
    path = "/proc/sys/vm/overcommit_memory"
    with open(path, encoding="ascii") as file:
        before = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write("2")
    yield
    with open(path, "w", encoding="ascii") as file:
        file.write(before)


@pytest.mark.kvm
@pytest.mark.emulated
def test_overcommit_forbidden(ebb, no_overcommit):
    mib = host_memory() // lib.MIB
    ebb.mistake([*RUN, *KERNEL, "-m", f"{mib}M"], f"{mib} MiB", "vm.overcommit_memory", "0 or 1")


@pytest.mark.kvm
def test_larger_than_the_host_is_no_mistake(ebb):
    """A warning, that is: what then stops ebb here is the kernel."""
    mib = host_memory() // lib.MIB + 512
    done = subprocess.run(
        [*RUN, "-k", "/dev/null", "-m", f"{mib}M"], env=ebb.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False, timeout=LIMIT,
    )
    warning, error = done.stderr.splitlines()
    assert warning.startswith(f"ebb: warning: the guest has {mib} MiB, the host ")
    assert "/dev/null" in error and "neither a regular file nor a pipe" in error


# --- the kernel --------------------------------------------------------------------------------


def elf(machine=62, bits=64, big_endian=False, kind=2):
    """An ELF header without anything behind it but zeros."""
    order = ">" if big_endian else "<"
    ident = b"\x7fELF" + bytes([bits // 32, 2 if big_endian else 1, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    rest = struct.pack(f"{order}HHI{word}{word}{word}IHHHHHH", kind, machine, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return (ident + rest).ljust(8192, b"\0")


def image(magic):
    """The header of an arm64 or riscv Image: its magic is at 0x38."""
    return bytes(0x38) + magic + bytes(8192)


def bzimage(**fields):
    """The guest's own with a field of its setup header changed: name → (offset, bytes)."""
    with open(lib.BZIMAGE, "rb") as file:
        data = bytearray(file.read())
    for offset, value in fields.values():
        data[offset : offset + len(value)] = value
    return bytes(data)


def start_of(path, size):
    with open(path, "rb") as file:
        return file.read(size)


# what the file has in it, what the line says of it
FILES = {
    "empty": (lambda: b"", ["is empty"]),
    "one byte": (lambda: b"x", ["not a kernel"]),
    "text": (lambda: b"#!/bin/sh\necho hello\n" * 1000, ["not a kernel"]),
    "zeros": (lambda: bytes(1 << 20), ["not a kernel"]),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(5000), ["gzip -dc"]),
    "xz": (lambda: lzma.compress(bytes(5000)), ["xz -dc"]),
    "lzma": (lambda: lzma.compress(bytes(5000), lzma.FORMAT_ALONE), ["xz -dc"]),
    "bzip2": (lambda: bz2.compress(bytes(5000)), ["bzip2 -dc"]),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(5000), ["zstd -dc"]),
    "initramfs": (lambda: start_of(lib.PACKED_INITRAMFS, 1 << 20), ["gzip"]),
    "program": (lambda: start_of("/bin/sh", 1 << 24), ["is a program, not a kernel"]),
    "ELF header cut off": (lambda: start_of(lib.VMLINUX, 40), ["truncated"]),
    "ELF program headers cut off": (lambda: start_of(lib.VMLINUX, 80), ["truncated"]),
    "ELF cut off": (lambda: start_of(lib.VMLINUX, 5 << 20), ["truncated"]),
    "bzImage header cut off": (lambda: start_of(lib.BZIMAGE, 0x210), ["truncated"]),
    "bzImage cut off": (lambda: start_of(lib.BZIMAGE, 1 << 20), ["truncated"]),
    "ELF object": (lambda: elf(kind=1), ["not an executable"]),
    "arm64 ELF": (lambda: elf(machine=183), ["arm64", "x86_64"]),
    "riscv ELF": (lambda: elf(machine=243), ["riscv", "x86_64"]),
    "s390 ELF": (lambda: elf(machine=22, big_endian=True), ["another processor", "x86_64"]),
    "i386 ELF": (lambda: elf(machine=3, bits=32), ["32-bit"]),
    "arm64 Image": (lambda: image(b"ARM\x64"), ["arm64", "x86_64"]),
    "riscv Image": (lambda: image(b"RSC\x05"), ["riscv", "x86_64"]),
    "old bzImage": (lambda: bzimage(version=(0x206, b"\x0b\x02")), ["too old"]),
    "32-bit bzImage": (lambda: bzimage(xloadflags=(0x236, b"\0\0")), ["32-bit"]),
}


@pytest.mark.kvm
@pytest.mark.parametrize("what", FILES)
def test_kernel(ebb, tmp_path, what):
    contents, words = FILES[what]
    kernel = tmp_path / "kernel"
    kernel.write_bytes(contents())
    ebb.mistake([*RUN, "-k", kernel], f"the kernel '{kernel}'", *words)


@pytest.mark.kvm
def test_kernel_missing(ebb, tmp_path):
    ebb.mistake([*RUN, tmp_path / "nothing"], "cannot open the kernel", "nothing", "No such file")


@pytest.mark.kvm
def test_kernel_is_a_directory(ebb, tmp_path):
    ebb.mistake([*RUN, tmp_path], "kernel", str(tmp_path), "neither a regular file nor a pipe")


@pytest.mark.kvm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kernel_is_a_pipe_that_nobody_writes_to(ebb, tmp_path, number):
    """It is waited for, until a signal comes."""
    os.mkfifo(tmp_path / "pipe")
    started = subprocess.Popen([*RUN, tmp_path / "pipe"], env=ebb.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)  # returns when ebb has opened it
    started.send_signal(number)
    _, error = started.communicate(timeout=LIMIT)
    os.close(writer)
    assert started.returncode == 2
    assert "a signal came while the kernel" in error and error.count("\n") == 1
    assert not ebb.left()


@pytest.mark.kvm
def test_kernel_is_a_pipe_with_something_else(ebb):
    shell = f"exec {' '.join(RUN)} <(yes | head -c 100000)"
    ebb.mistake(["bash", "-c", shell], "the kernel '/dev/fd/", "not a kernel")


# --- the initrd --------------------------------------------------------------------------------


@pytest.mark.kvm
def test_initrd_missing(ebb, tmp_path):
    ebb.mistake([*RUN, *KERNEL, "-i", tmp_path / "nothing"], "cannot open the initrd", "nothing", "No such file")


@pytest.mark.kvm
def test_initrd_empty(ebb):
    ebb.mistake([*RUN, *KERNEL, "-i", "/dev/null"], "initrd", "/dev/null", "neither a regular file nor a pipe")


@pytest.mark.kvm
def test_initrd_of_no_bytes(ebb, tmp_path):
    (tmp_path / "empty").touch()
    ebb.mistake([*RUN, *KERNEL, "-i", tmp_path / "empty"], "initrd", "is empty")


@pytest.mark.kvm
@pytest.mark.parametrize("kernel", [lib.VMLINUX, lib.BZIMAGE], ids=os.path.basename)
def test_initrd_does_not_fit(ebb, tmp_path, kernel):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(64 << 20)
    argv = [*RUN, "-k", kernel, "-m", "64M", "-i", tmp_path / "large"]
    ebb.mistake(argv, "initrd", "(64 MiB) does not fit", "-m")


# --- disks -------------------------------------------------------------------------------------


def a_file(size):
    def make(path):
        with open(path, "wb") as file:
            file.truncate(size)

    return make


def begins(start, size=1 << 20):
    def make(path):
        path.write_bytes(start.ljust(size, b"\0"))

    return make


def ends(end):
    def make(path):
        path.write_bytes(end.ljust(512, b"\0").rjust(1 << 20, b"\0"))

    return make


BROKEN = ["qemu-img check", "FILE,format=raw"]
RAW = ["supports only raw and qcow2 disks", "qemu-img convert -O raw", "FILE,format=raw"]

# what is there, what the line says of it
DISKS = {
    "qcow2": (begins(b"QFI\xfb\0\0\0\3"), ["qcow2", *BROKEN]),
    "qcow2 of an odd size": (begins(b"QFI\xfb\0\0\0\3", 196616), ["qcow2", *BROKEN]),
    "VMDK": (begins(b"KDMV"), ["VMDK", *RAW]),
    "VMDK's descriptor": (begins(b"# Disk DescriptorFile\n", 300), ["VMDK", *RAW]),
    "VHDX": (begins(b"vhdxfile"), ["VHDX", *RAW]),
    "VHD": (begins(b"conectix"), ["VHD", *RAW]),
    "VHD of a fixed size": (ends(b"conectix"), ["VHD", *RAW]),
    "VDI": (begins(b"<<< disk >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe"), ["VDI", *RAW]),
    "missing": (lambda path: None, ["cannot open", "No such file"]),
    "a pipe": (os.mkfifo, ["neither a regular file nor a block device"]),
    "empty": (a_file(0), ["is empty", "truncate -s"]),
    "odd": (a_file(1000), ["1000 bytes", "not a multiple of 512", "truncate -s %512"]),
}


@pytest.mark.kvm
@pytest.mark.parametrize("what", DISKS)
def test_disk(ebb, tmp_path, what):
    make, words = DISKS[what]
    make(tmp_path / "disk")
    ebb.mistake([*RUN, *KERNEL, "-d", tmp_path / "disk"], str(tmp_path / "disk"), *words, limit=30)


@pytest.mark.kvm
def test_disk_twice(ebb, tmp_path):
    a_file(1 << 20)(tmp_path / "disk")
    ebb.mistake([*RUN, *KERNEL, "-d", tmp_path / "disk", "-d", f"{tmp_path}/disk,ro"], "disk", "in use already", "FILE,ro")


@pytest.mark.emulated
def test_disk_on_a_read_only_file_system(ebb):
    """The emulated host's view of the outer machine is read-only."""
    ebb.mistake([*RUN, *KERNEL, "-d", lib.BZIMAGE], "Read-only file system", "FILE,ro")


# --- the guest's command line ------------------------------------------------------------------


@pytest.mark.kvm
@pytest.mark.parametrize("kernel", [lib.VMLINUX, lib.BZIMAGE], ids=os.path.basename)
def test_command_line_too_long(ebb, kernel):
    argv = [*RUN, "-k", kernel, "-m", "128M", "-p", "x" * 2048]
    ebb.mistake(argv, "command line is too long", "2048")


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    return ["-d", f"{path},ro"]


@pytest.mark.kvm
def test_device_that_only_acpi_can_name(ebb, disk):
    argv = [*RUN, *KERNEL, "-m", "128M", *disk * 8, "--rng", "-p", "acpi=off"]
    ebb.mistake(argv, "acpi=off", "interrupt line")


@pytest.mark.kvm
def test_more_devices_than_lines(ebb, disk):
    argv = [*RUN, *KERNEL, "-m", "128M", *disk * 16, "--rng"]
    ebb.mistake(argv, "too many devices", "17", "leave some out")


# --- the name ----------------------------------------------------------------------------------


@pytest.mark.linux
def test_name_in_use(ebb):
    """Two guests with one name: the first goes on."""
    first = ebb.start("echo ready; read line; echo still here", "--name", "twin")
    first.wait_for("^ready$", LIMIT)
    second = subprocess.run(
        [*RUN, *KERNEL, "--name", "twin"], env=ebb.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, check=False, timeout=LIMIT,
    )
    assert second.returncode == 2 and second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert second.stderr.startswith('ebb: the name "twin" is in use')
    assert str(first.pid) in second.stderr
    first.send("\n")
    ebb.ended(first, 0)
    assert "still here" in first.console()


def test_runtime_directory_open_to_others(ebb):
    ebb.runtime.mkdir(mode=0o777)
    ebb.runtime.chmod(0o777)
    ebb.mistake(RUN + KERNEL, str(ebb.runtime), "open to other users", "EBB_RUNTIME_DIR")


def test_runtime_directory_is_a_file(ebb):
    ebb.runtime.touch()
    ebb.mistake(RUN + KERNEL, str(ebb.runtime), "EBB_RUNTIME_DIR")


# --- what is left ------------------------------------------------------------------------------


@pytest.mark.kvm
def test_terminal_is_as_it_was(ebb):
    """By the time that the vCPUs' threads are started, the terminal has been raw."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    done = subprocess.run(
        [*RUN, *KERNEL, "--vcpu-affinity", "1023"], env=ebb.env, stdin=slave, stdout=slave, stderr=subprocess.PIPE, check=False,
        timeout=LIMIT, start_new_session=True,
    )
    assert done.returncode == 2
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
