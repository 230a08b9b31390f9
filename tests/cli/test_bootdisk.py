# SPDX-License-Identifier: Apache-2.0
"""A disk is booted as a distribution made it: what ebb finds in an image, and what it says where it finds nothing."""

import os
import random
import subprocess

import pytest
from conftest import wait

MIB = 1 << 20
SBIN = "/usr/sbin:/sbin:" + os.environ["PATH"]
GRUB = "menuentry 'Debian' {{\n\tlinux\t{0}/vmlinuz-6.1 root=/dev/vda1 ro\n\tinitrd\t{0}/initrd.img-6.1\n}}\n"
# What is found is started: a kernel that is none shows that it was found, without a guest.
FOUND = "is not a kernel"


def tool(*command, **options):
    subprocess.run([str(word) for word in command], check=True, env=os.environ | {"PATH": SBIN}, stdout=subprocess.DEVNULL, **options)


def tree(folder, files):
    for name, content in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


DEBIAN = {
    "/boot/grub/grub.cfg": GRUB.format("/boot"),
    "/boot/vmlinuz-6.1": b"no kernel" * 1000,
    "/boot/initrd.img-6.1": b"no initrd" * 1000,
}


@pytest.fixture
def file_system(tmp_path):
    """Makes an ext4 of a tree of files."""

    def make(files, kind="ext4", name="part.raw"):
        image = tmp_path / name
        tool("truncate", "-s", 8 * MIB, image)
        tool("mke2fs", "-q", "-F", "-t", kind, "-d", tree(tmp_path / (name + ".d"), files), image)
        return image

    return make


@pytest.fixture
def disk(tmp_path, file_system):
    """Makes a disk with partitions, of which the given one has the files."""

    def make(files, label="gpt", number=1, kind="ext4"):
        image = tmp_path / "disk.raw"
        tool("truncate", "-s", 20 * MIB, image)
        lines = ["start=8192,size=16384", "start=2048,size=2048"]
        table = "\n".join([f"label: {label}", *(lines if number == 1 else reversed(lines))])
        tool("sfdisk", "-q", image, input=table.encode())
        with open(image, "r+b") as out:
            out.seek(8192 * 512)
            out.write(file_system(files, kind).read_bytes())
        return image

    return make


def boot(ebb, image, *options):
    return ebb("run", "-m", "128M", "-d", f"{image},ro", *options)


@pytest.mark.parametrize("label, number", [("gpt", 1), ("gpt", 2), ("dos", 1)])
def test_partitions(ebb, disk, label, number):
    image = disk(DEBIAN, label, number)
    # By its name in the image, not by that of ebb's copy.
    boot(ebb, image).failed(2, f"'{image}:/boot/vmlinuz-6.1' {FOUND}")


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_file_systems(ebb, file_system, kind):
    boot(ebb, file_system(DEBIAN, kind)).failed(2, FOUND)


@pytest.mark.parametrize(
    "files",
    [
        # A /boot of its own, as Ubuntu has it.
        {"/grub/grub.cfg": GRUB.format(""), "/vmlinuz-6.1": "no kernel", "/initrd.img-6.1": "none"},
        # Fedora, whose GRUB reads the entries, and has one for emergencies.
        {
            "/loader/entries/aa-0-rescue.conf": "linux /missing\n",
            "/loader/entries/aa-6.9.conf": "linux /missing\n",
            "/loader/entries/aa-6.11.conf": "linux /vmlinuz\n",
            "/grub2/grub.cfg": "blscfg\n",
            "/vmlinuz": "no kernel",
        },
        # GRUB's own default, and the saved one.
        {**DEBIAN, "/boot/grub/grub.cfg": "set default=1\nmenuentry a {\nlinux /missing\n}\n" + GRUB.format("/boot")},
        {
            **DEBIAN,
            "/boot/grub/grub.cfg": 'set default="${saved_entry}"\nmenuentry a {\nlinux /missing\n}\n' + GRUB.format("/boot"),
            "/boot/grub/grubenv": "# GRUB Environment Block\nsaved_entry=Debian\n##",
        },
        # The newest entry counts before GRUB's own.
        {**DEBIAN, "/boot/grub/grub.cfg": "menuentry a {\nlinux /missing\n}\n", "/boot/loader/entries/a.conf": "linux /boot/vmlinuz-6.1\n"},
    ],
)
def test_configurations(ebb, file_system, files):
    boot(ebb, file_system(files)).failed(2, FOUND)


def test_through_links(ebb, file_system, tmp_path):
    root = tree(tmp_path / "part.raw.d", {"/boot/grub/grub.cfg": "menuentry a {\nlinux /vmlinuz\n}\n", "/boot/vmlinuz-6.1": "no kernel"})
    (root / "vmlinuz").symlink_to("boot/vmlinuz-6.1")
    boot(ebb, file_system({})).failed(2, FOUND)


@pytest.mark.parametrize(
    "files, word",
    [
        ({"/etc/hostname": "a"}, "no boot loader's configuration"),
        ({"/boot/grub/grub.cfg": "set timeout=5\n"}, "names no kernel"),
        ({"/boot/grub/grub.cfg": GRUB.format("/boot")}, "'/boot/vmlinuz-6.1', which is not there"),
        ({**DEBIAN, "/boot/grub/grub.cfg": "menuentry a {\nlinux /boot\n}\n"}, "'/boot', which cannot be read"),
        ({**DEBIAN, "/boot/grub/grub.cfg": "menuentry a {\nlinux /boot/vmlinuz-6.1\ninitrd /no\n}\n"}, "'/no', which is not there"),
        # What an image names is printed, but steers no terminal.
        ({"/boot/grub/grub.cfg": "menuentry a {\nlinux /\xe9\n}\n"}, "'/??', which is not there"),
        ({"/boot/grub/grub.cfg": "menuentry a {\nlinux /\x1b[31m\n}\n"}, "names no kernel"),
    ],
)
def test_nothing_to_boot(ebb, file_system, files, word):
    boot(ebb, file_system(files)).failed(2, word, "name a kernel with -k FILE")


def test_no_file_system(ebb, tmp_path):
    image = tmp_path / "zeros.raw"
    tool("truncate", "-s", MIB, image)
    boot(ebb, image).failed(2, "no ext2, ext3 or ext4", "name a kernel with -k FILE")


def test_another_format(ebb, tmp_path):
    image = tmp_path / "debian.qcow2"
    image.write_bytes(b"QFI\xfb\0\0\0\3".ljust(MIB, b"\0"))
    boot(ebb, image).failed(2, "debian.qcow2", "no qcow2 image, or a broken one")
    boot(ebb, f"{image},format=raw").failed(2, "no ext2, ext3 or ext4")
    image = tmp_path / "debian.vmdk"
    image.write_bytes(b"KDMV\1\0\0\0".ljust(MIB, b"\0"))
    boot(ebb, image).failed(2, "debian.vmdk", "only raw and qcow2", "qemu-img convert -O raw")


def found_in(done, name):
    """Where another process serves a disk, a word of the host's huge pages may come first."""
    assert done.status == 2 and done.out == "" and f"'{name}:/boot/vmlinuz-6.1' {FOUND}" in done.err.splitlines()[-1], done.err


def qcow2(image, base, kind):
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", kind, image)
    return image


def test_qcow2(ebb, disk, tmp_path):
    """As cloud images are: the kernel is found in any layer, by the names that the image has."""
    image = tmp_path / "debian.qcow2"
    tool("qemu-img", "convert", "-c", "-O", "qcow2", disk(DEBIAN), image)
    found_in(boot(ebb, image), image)
    top = qcow2(tmp_path / "top.qcow2", image, "qcow2")
    found_in(boot(ebb, top), top)
    empty = tmp_path / "empty.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", empty, "1M")
    boot(ebb, empty).failed(2, "no ext2, ext3 or ext4", "name a kernel with -k FILE")


def test_nbd(ebb, disk, tmp_path):
    socket = tmp_path / "nbd"
    server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "raw", "-k", socket, disk(DEBIAN)])
    try:
        wait(lambda: socket.exists() or server.poll() is not None, "qemu-nbd does not listen")
        assert socket.exists(), "qemu-nbd ended"
        uri = f"nbd+unix:///?socket={socket}"
        found_in(boot(ebb, uri), uri)
    finally:
        server.kill()
        server.wait()
    boot(ebb, uri).failed(2, "qemu-storage-daemon cannot serve the disk", "Connection refused")


def test_no_disk(ebb, tmp_path):
    boot(ebb, tmp_path / "missing.raw").failed(2, "missing.raw", "No such file")
    boot(ebb, "/dev/null").failed(2, "neither a regular file nor a block device")
    boot(ebb, tmp_path).failed(2, f'the folder "{tmp_path}" has no boot loader', "-k FILE")
    ebb("run", "-d", "any", "-i", "any").failed(2, "an initrd is given, but no kernel")


def test_damaged(ebb, file_system, tmp_path):
    """Whatever is wrong with an image, ebb says something, and ends."""
    good = file_system(DEBIAN).read_bytes()
    used = [at for at in range(0, len(good), 1024) if any(good[at:at + 1024])]
    rng = random.Random(1)
    image = tmp_path / "damaged.raw"
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 8, 64, 512])):
            bad[rng.choice(used) + rng.randrange(1024)] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
        image.write_bytes(bad[:rng.choice([len(bad), rng.randrange(len(bad))])])
        done = boot(ebb, image)
        assert done.status == 2 and done.err.count("\n") == 1, (done.status, done.err)


@pytest.mark.parametrize(
    "name, word",
    [("missing", "No such file"), ("/dev/null", "not a regular file"), ("", "file name is empty"), ("large", "1048576 bytes or less")],
)
def test_wrong_user_data(ebb, file_system, tmp_path, monkeypatch, name, word):
    monkeypatch.chdir(tmp_path)
    tool("truncate", "-s", MIB + 1, "large")
    boot(ebb, file_system(DEBIAN), "--user-data", name).failed(2, word)


def test_user_data_without_xorriso(ebb, file_system, tmp_path, monkeypatch):
    (tmp_path / "user-data").write_text("#cloud-config\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    left = set(os.listdir("/tmp"))
    boot(ebb, file_system(DEBIAN), "--user-data", tmp_path / "user-data").failed(2, "xorriso", "install it")
    assert not [name for name in set(os.listdir("/tmp")) - left if name.startswith("ebb-meta-")]
