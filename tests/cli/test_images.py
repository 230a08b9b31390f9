# SPDX-License-Identifier: Apache-2.0
"""ebb setup and ebb images: how mmdebstrap is called, in whose place a script makes a small tree, and what is left."""

import fcntl
import json
import os
import signal
import subprocess
import time

import pytest
from conftest import EBB, LIMIT, wait

MIB = 1 << 20
# Notes how it was called, and makes a tree with a boot loader's entry, as the real one's hook does.
MMDEBSTRAP = r"""#!/bin/bash
set -euo pipefail
state=$(dirname "$0")
printf '%s\0' "$@" >"$state/called"
{ while [ -e "$state/hold" ]; do sleep 0.02; done; } &
trap 'kill $!; exit 9' TERM
wait $!
[ ! -e "$state/fail" ] || { echo "E: no such package" >&2; exit 25; }
words=()
for word; do
	case $word in
	--customize-hook=*) hook=${word#*=} ;;
	--*) ;;
	*) words+=("$word") ;;
	esac
done
tree=$(mktemp -d)
mkdir -p "$tree"/{boot,usr/lib/modules/6.1.0-fake,etc/systemd/network,etc/systemd/system/multi-user.target.wants}
for name in vmlinuz initrd.img; do echo "no $name" >"$tree/boot/$name"; ln -s "boot/$name" "$tree/$name"; done
PATH=$state/chroot:$PATH sh -c "$hook" exec "$tree"
tar -c -C "$tree" -f "${words[1]}" .
rm -r "$tree"
"""
# apt's answer on a machine that is none of Debian's stable alone.
APT = r"""#!/bin/sh
cat <<'END'
'mirror://one.test/debian/dists/bookworm/InRelease' one.test_debian_dists_bookworm_InRelease 0 
'mirror://one.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 
'mirror://one.test/debian/dists/bookworm/main/binary-all/Packages.xz' x 0 
'mirror://one.test/debian/dists/bookworm-backports/main/binary-amd64/Packages.xz' x 0 
'mirror://two.test/security/dists/bookworm-security/main/binary-amd64/Packages.xz' x 0 
'https://else.test/dists/nodistro/main/binary-amd64/Packages.gz' x 0 
END
"""


@pytest.fixture(name="state")
def make_state(tmp_path, monkeypatch):
    """The folder of the programs, and of what they are told to do."""
    for name, text in {"mmdebstrap": MMDEBSTRAP, "apt-get": APT, "chroot/chroot": "#!/bin/sh\n"}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "bin"


@pytest.fixture(name="folder")
def make_folder(tmp_path):
    """Where images are."""
    return tmp_path / "data" / "ebb"


def called(state):
    return (state / "called").read_text().split("\0")[:-1]


def left(folder):
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def begin(*words, **popen):
    """One that goes on meanwhile."""
    return subprocess.Popen([EBB, "setup", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def holding(state, *words):
    """One whose mmdebstrap waits until `hold` is removed."""
    (state / "hold").touch()
    started = begin(*words)
    wait(lambda: (state / "called").exists() or started.poll() is not None, "mmdebstrap is not called")
    return started


def test_setup(ebb, state, folder):
    before = time.time()
    done = ebb("setup")
    assert done.status == 0 and done.out == "" and done.err.splitlines()[-1] == 'ebb: the image "default" is made: "ebb run" boots it', done.err
    words = called(state)
    assert words[-4:-2] == ["bookworm", str(folder / ".default.new" / "root.tar")]
    lines = [" ".join(word for word in line.split() if not word.startswith("[")) for line in words[-2:]]
    assert lines == ["deb mirror://one.test/debian bookworm main", "deb mirror://two.test/security bookworm-security main"], "not the backports"
    assert left(folder) == ["default"] and left(folder / "default") == ["disk.img", "image.json"]

    (image,) = ebb("images", "--json").json()
    assert image["name"] == "default" and image["suite"] == "bookworm" and image["kernel"] == "6.1.0-fake" and image["size"] == 8192 * MIB
    assert 0 < image["allocated"] < 300 * MIB and before - 1 <= image["made"] <= time.time()
    assert ebb("images").out.splitlines()[1].split()[:2] == ["default", "bookworm"]
    assert ebb("list", "--rootfs").out == ebb("images").out

    # The boot loader's entry that the hook wrote names what is in the image: nothing else is to be said.
    done = ebb("run", "-m", "128M")
    assert done.status == 2 and "'" + str(folder / "default" / "disk.img") + ":/vmlinuz' is not a kernel" in done.err, done.err
    assert "the image \"default\" of Debian's bookworm, made with Linux 6.1.0-fake" in done.err.splitlines()[0]


def test_suite_and_packages(ebb, state, folder):
    assert ebb("setup", "next", "--suite", "trixie", "--include=tcc,g++", "--size", "1G").status == 0
    words = called(state)
    assert words[-4] == "trixie" and words[-2].endswith(" mirror://one.test/debian trixie main") and words[-1].endswith(" trixie-security main")
    assert [word for word in words if word.startswith("--include=")][0].endswith(",tcc,g++")
    assert (folder / "next" / "disk.img").stat().st_size == 1024 * MIB
    done = ebb("run", "--image", "next", "-m", "128M")
    assert done.status == 2 and "next/disk.img:/vmlinuz' is not a kernel" in done.err, done.err
    # What rolls has no updates beside it.
    assert ebb("setup", "rolls", "--suite", "sid").status == 0
    assert called(state)[-1].endswith(" mirror://one.test/debian sid main")


def test_no_security_updates(ebb, state):
    """On a machine of sid, apt has none: an image of another suite says so."""
    (state / "apt-get").write_text(APT.replace("bookworm-security", "else").replace("bookworm", "sid"))
    assert "no security updates of bookworm" in ebb("setup", "a", "--suite", "bookworm").err
    # The control: sid itself has none.
    assert "security" not in ebb("setup", "b").err


@pytest.mark.parametrize("words, said", [
    (["a/b"], "letters, digits"), ([".a"], "begins with a dot"), ([""], "is empty"), (["x" * 65], "too long"), (["a", "b"], "two names"),
    (["--suite", "trixi"], "bookworm, trixie, forky"), (["--suite", "bookworm-security"], "cannot be of the suite"),
    (["--include", "a b"], "list of packages"), (["--include", "a,-b"], "list of packages"), (["--size", "3M"], "too small"), (["--size", "99T"], "too large"),
])
def test_mistakes(ebb, state, folder, words, said):
    ebb("setup", *words).failed(2, said)
    assert left(folder) == [] and not (state / "called").exists()


def test_no_mmdebstrap(ebb, state, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(state / "chroot"))
    ebb("setup").failed(2, "the program mmdebstrap", "install the package")
    assert left(folder) == []


def test_no_suite(ebb, state, folder):
    (state / "apt-get").write_text(APT.replace("bookworm", "noble"))
    ebb("setup").failed(2, "apt on this machine has no suite of Debian")
    assert left(folder) == []


def test_there_already(ebb, state, folder):
    assert ebb("setup", "a").status == 0
    disk = (folder / "a" / "disk.img").stat()
    (state / "called").unlink()
    ebb("setup", "a").failed(2, 'there is an image "a" already', "ebb images --remove a")
    assert (folder / "a" / "disk.img").stat() == disk and left(folder) == ["a"] and not (state / "called").exists()


# Some that start ebb ignore SIGCHLD, and would leave it no status of its programs.
@pytest.mark.parametrize("how", [{}, {"preexec_fn": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)}], ids=["", "ignored"])
def test_failure_leaves_nothing(state, folder, how):
    (state / "fail").touch()
    failing = begin("a", **how)
    said = failing.communicate(timeout=LIMIT)[1]
    assert failing.returncode == 1 and "E: no such package" in said and "mmdebstrap failed with status 25" in said.splitlines()[-1]
    assert left(folder) == []


def put(state, name, script):
    """A program in place of the machine's."""
    (state / name).write_text("#!/bin/sh\nstate=$(dirname \"$0\")\n" + script)
    (state / name).chmod(0o755)


@pytest.mark.parametrize("name, script, status", [
    ("mke2fs", 'echo "it does not fit" >&2; exit 3', 3), ("tar", '[ "$1" != -x ] || exit 4; exec /bin/tar "$@"', 4),
], ids=["mke2fs", "tar"])
def test_no_file_system(state, folder, name, script, status):
    put(state, name, script)
    failing = begin("a")
    said = failing.communicate(timeout=LIMIT)[1]
    assert failing.returncode == 1 and f"making the file system failed with status {status}" in said.splitlines()[-1], said
    assert left(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_nothing(state, folder, number):
    started = holding(state, "a")
    assert left(folder) == [".a.new"]
    started.send_signal(number)
    said = started.communicate(timeout=LIMIT)[1]
    assert started.returncode == 1 and "nothing is left of it" in said.splitlines()[-1], said
    assert left(folder) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_end_while_the_disk_is_made(ebb, state, folder, number):
    """A signal ends mke2fs, too; after a SIGKILL it goes on, and what it has made is the next one's to remove."""
    put(state, "mke2fs", 'touch "$state/reached"; while [ ! -e "$state/go" ]; do sleep 0.02; done; exec /sbin/mke2fs "$@"')
    started = begin("a")
    wait(lambda: (state / "reached").exists() or started.poll() is not None, "mke2fs is not called")
    assert (folder / ".a.new" / "root" / "etc").is_dir()
    started.send_signal(number)
    said = started.communicate(timeout=LIMIT)[1] if number == signal.SIGTERM else ""
    started.wait(LIMIT)
    assert ("nothing is left of it" in said) == (number == signal.SIGTERM) and left(folder) == ([] if said else [".a.new"])
    (state / "go").touch()
    wait(lambda: ebb("setup", "a").status == 0, "the next does not take over")
    assert left(folder) == ["a"] and left(folder / "a") == ["disk.img", "image.json"]


def test_two_at_once(ebb, state, folder):
    first = holding(state, "a")
    ebb("setup", "a").failed(1, 'another "ebb setup" is making the image "a"')
    # The control: another name is free.
    (state / "hold").unlink()
    assert ebb("setup", "b").status == 0
    assert first.communicate(timeout=LIMIT)[1].endswith("boots it\n") and first.returncode == 0
    assert left(folder) == ["a", "b"]


def test_killed(ebb, state, folder):
    """The folder of one that was killed belongs to its programs until they have ended, and then to the next."""
    first = holding(state, "a")
    first.kill()
    first.wait(LIMIT)
    first.stderr.close()
    ebb("setup", "a").failed(1, 'another "ebb setup" is making the image "a"')
    (state / "hold").unlink()
    (folder / ".a.new" / "more").mkdir()
    wait(lambda: ebb("setup", "a").status == 0, "the next does not take over")
    assert left(folder) == ["a"] and left(folder / "a") == ["disk.img", "image.json"]


def test_remove(ebb, state, folder):
    ebb("setup", "a")
    ebb("images", "--remove", "b").failed(2, 'there is no image "b"')
    ebb("images", "--remove", "a/../a").failed(2, "letters, digits")
    with open(folder / "a" / "disk.img", "r+b") as disk:
        # As a guest does: see vmm/lib/image_lock.h.
        for byte in (101, 201):
            fcntl.lockf(disk, fcntl.LOCK_SH, 1, byte)
        ebb("images", "--remove", "a").failed(2, 'a guest uses the image "a"')
        assert left(folder / "a") == ["disk.img", "image.json"]
    done = ebb("images", "--remove", "a")
    assert (done.status, done.out, done.err) == (0, "", "") and left(folder) == []


@pytest.mark.parametrize("rest", [[], ["image.json"]], ids=["empty", "a file"])
def test_remove_the_rest(ebb, state, folder, rest):
    """What one left that was killed while it removed an image."""
    assert ebb("setup", "a").status == 0
    for name in {"disk.img", "image.json"} - set(rest):
        (folder / "a" / name).unlink()
    ebb("setup", "a").failed(2, "ebb images --remove a")
    done = ebb("images", "--remove", "a")
    assert (done.status, done.out, done.err) == (0, "", "") and left(folder) == []
    assert ebb("setup", "a").status == 0


def test_failures_are_no_mistakes(ebb, state, folder, monkeypatch):
    """What the command line has no part in ends with 1."""
    (folder / "a" / "disk.img").mkdir(parents=True)
    ebb("images", "--remove", "a").failed(1, 'cannot remove the image "a"')
    assert left(folder / "a") == ["disk.img"]
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/nonesuch")
    ebb("setup", "a").failed(1, "cannot make the folder /proc/nonesuch")
    assert not (state / "called").exists()


def test_foreign_files(ebb, state, folder):
    """What is no image is not listed; one that does not tell of itself is."""
    for name in ("empty", ".hidden", "wrong", "silent"):
        (folder / name).mkdir(parents=True)
    (folder / "file").touch()
    for name in (".hidden", "wrong", "silent"):
        (folder / name / "disk.img").write_bytes(bytes(MIB))
    (folder / "wrong" / "image.json").write_text(json.dumps({"suite": "\x1b[2J", "kernel": 3, "made": "then"}))
    out = ebb("images").out.splitlines()
    assert [line.split()[0] for line in out] == ["NAME", "silent", "wrong"]
    assert "\\x1b" in out[2]
    assert ebb("run", "--image", "silent", "-m", "128M").status == 2


def test_no_image(ebb, state):
    ebb("run").failed(2, "no kernel given", 'no image "default"', "-k FILE", "-d FILE", "ebb setup")
    ebb("run", "--image", "a").failed(2, 'there is no image "a"', "ebb setup a")
    ebb("run", "--image", "a/../a").failed(2, "letters, digits")
    ebb("run", "--image", "").failed(2, "file name is empty")
    # The control: with a kernel, nothing else is looked for.
    ebb("run", "-k", "/nonesuch").failed(2, "/nonesuch")


def test_no_home(ebb, state, monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("HOME")
    ebb("images").failed(1, "neither XDG_DATA_HOME nor HOME")
    ebb("images", "--remove", "a").failed(2, "neither XDG_DATA_HOME nor HOME")
