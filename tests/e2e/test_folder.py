# SPDX-License-Identifier: Apache-2.0
"""Folders of the host under Linux's driver: read, written, refused; and what their server's end means."""

import hashlib
import os
import shutil
import signal

import pytest
from conftest import LIMIT, lib, wait_until
from test_kernels import made, with_modules

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
PLACES = "coldplug; mkdir -p /m /r; mount -t virtiofs fs0 /m; "
# Does what it reads, as asked() has it; set -f, since a command line of the kernel's has no quotes for eval's word.
SHELL = "stty -echo; set -f; echo ready; while read -r c; do eval $c; echo status=$?; done"


def debians(tmp_path):
    """For lib.ebb(): Debian's own kernel, which has its drivers as modules."""
    path = made("kernel", lib.ARCH, "bookworm", "cloud")
    return {"kernel": f"{path}/kernel", "initrd": with_modules(path, tmp_path),
            "params": "quiet cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1"}


@pytest.fixture
def debian(tmp_path):
    return debians(tmp_path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder, shared"
    path.mkdir()
    (path / "data").write_bytes(os.urandom(4 * MIB))
    return path


def option(path, *more):
    return ["--fs", ",".join([str(path).replace(",", ",,"), *more])]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def processes(name):
    """[(pid, command line)] of this host whose name is `name`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm, open(f"/proc/{pid}/cmdline", "rb") as line:
                if comm.read().strip() == name:
                    found.append((int(pid), line.read().decode()))
        except OSError:
            pass
    return found


def servers(path):
    """The virtiofsd of a folder: the process that waits, and the one that serves."""
    names = (str(path), str(path).replace(",", "\\,"))  # the C one needs the backslash
    return [pid for pid, line in processes("virtiofsd") if any(name in line for name in names)]


def gone(*names):
    """Waits for the end of all processes of these names. One that is only waited for has no command line any more."""
    wait_until(lambda: not [line for name in names for _, line in processes(name) if line], f"{names} are gone")


def nothing_left():
    gone("virtiofsd", "fs-keeper")
    assert not [name for name in os.listdir("/tmp") if name.startswith("ebb-fs-")]


def asked(started, command, limit=LIMIT):
    """The status of a command in a guest whose job is SHELL, and what it printed."""
    mark = len(started.lines)
    started.send(f"{command}\n")
    at, found = started.wait_for(r"^status=(\d+)$", limit, mark)
    return int(found[1]), "\n".join(text for _, text in started.lines[mark:at] if not text.startswith("status="))


def test_files(ebb, debian, folder, tmp_path):
    """Two folders, one of them read-only; then the server of one is killed, and comes back."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").write_text("unchanged\n")
    started = ebb.start(PLACES + "mount -t virtiofs docs /r; " + SHELL, *option(folder), *option(other, "tag=docs", "ro"),
                        **debian)
    started.wait_for("^ready$", 3 * LIMIT)

    assert digest(folder / "data") in asked(started, "sha256sum /m/data")[1]
    assert asked(started, "head -c 3000000 /dev/urandom >/m/new && mkdir /m/d && mv /m/new /m/d/new && sync")[0] == 0
    assert digest(folder / "d" / "new") in asked(started, "sha256sum /m/d/new")[1]
    assert asked(started, "rm -r /m/d")[0] == 0 and os.listdir(folder) == ["data"]

    assert asked(started, "cat /r/data")[1] == "unchanged"
    for change in ("touch /r/new", "rm /r/data", "echo x >/r/data"):
        status, text = asked(started, f"( {change} ) 2>&1")
        assert status != 0 and "Read-only file system" in text
    assert os.listdir(other) == ["data"] and (other / "data").read_text() == "unchanged\n"

    # Open files fail, too, and what waits for the server at that moment does not wait for ever.
    assert asked(started, "exec 3</m/data; (while cat /m/data >/dev/null 2>&1; do :; done; echo over) &")[0] == 0
    before = servers(folder)
    assert len(before) == 2
    os.kill(max(before), signal.SIGKILL)
    started.wait_for("^over$", LIMIT)
    status, text = asked(started, "( cat <&3 ) 2>&1; ( ls /m/x ) 2>&1")
    assert status != 0 and text.count("not connected") == 2, text
    assert asked(started, "cat /r/data")[1] == "unchanged"
    wait_until(lambda: len(servers(folder)) == 2 and not set(before) & set(servers(folder)), "virtiofsd runs again")
    assert asked(started, "exec 3<&-; umount /m; mount -t virtiofs fs0 /m")[0] == 0
    assert digest(folder / "data") in asked(started, "sha256sum /m/data")[1]

    # A driver that goes and comes finds its devices again.
    bind = "for v in $(ls | grep ^virtio); do echo $v >unbind && echo $v >bind; done"
    assert asked(started, f"umount /m /r; cd /sys/bus/virtio/drivers/virtiofs; {bind}; cd /; mount -t virtiofs fs0 /m")[0] == 0
    assert digest(folder / "data") in asked(started, "sha256sum /m/data")[1]

    started.send("exit\n")
    ebb.ended(started, 0)
    said = started.stderr()
    # Why it ended, each virtiofsd says in its own way.
    assert said.count("is lost: it has ended") == 1 and said.count('virtiofsd of folder "fs0" has ended: ') == 1, said
    nothing_left()


def test_vanished(ebb, debian, folder, tmp_path):
    """A folder is removed while a guest has it: the guest gets errors, and goes on, also with its other folder. One that is
    made again in its place is served once virtiofsd begins anew."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").write_text("unchanged\n")
    started = ebb.start(PLACES + "mount -t virtiofs docs /r; " + SHELL, *option(folder), *option(other, "tag=docs"), **debian)
    started.wait_for("^ready$", 3 * LIMIT)
    uses = ("cat /m/data >/dev/null", "echo x >/m/new", "mkdir /m/d")
    assert all(asked(started, use)[0] == 0 for use in uses)

    shutil.rmtree(folder)
    for use in uses[1:]:
        status, text = asked(started, f"( {use}2 ) 2>&1")
        assert status != 0 and ("No such file" in text or "nonexistent directory" in text), text
    assert asked(started, f"n=0; while {uses[0]} 2>&1 && [ $n -lt {LIMIT:.0f} ]; do sleep 1; n=$((n+1)); done; cat /m/data")[0] != 0
    assert asked(started, "cat /r/data; echo more >/r/more")[1] == "unchanged"
    assert (other / "more").read_text() == "more\n" and not folder.exists()

    # Now it cannot be served at all.
    os.kill(max(servers(folder)), signal.SIGKILL)
    started.wait_for_error("is lost", LIMIT)
    assert asked(started, "( ls /m/x ) 2>&1")[0] != 0
    assert asked(started, "cat /r/data")[1] == "unchanged"
    folder.mkdir()
    (folder / "data").write_text("another\n")
    wait_until(lambda: len(servers(folder)) == 2, "virtiofsd runs again")
    assert asked(started, f"umount /m; n=0; until mount -t virtiofs fs0 /m || [ $n -ge {LIMIT:.0f} ]; do sleep 1; n=$((n+1)); done")[0] == 0
    assert asked(started, "cat /m/data")[1] == "another"
    started.send("exit\n")
    ebb.ended(started, 0)
    nothing_left()


def test_two_guests(ebb, debian, folder):
    """Each sees what the other writes."""
    guests = [ebb.start(PLACES + SHELL, *option(folder), **debian) for _ in range(2)]
    for started in guests:
        started.wait_for("^ready$", 3 * LIMIT)
    for number, started in enumerate(guests):
        assert asked(started, f"echo of {number} >/m/{number}; sync")[0] == 0
    for number, started in enumerate(guests):
        assert asked(started, f"cat /m/{1 - number}")[1] == f"of {1 - number}"
        started.send("exit\n")
        assert started.wait(LIMIT) == 0
    nothing_left()


def test_not_installed(ebb, folder):
    hide = "for dir in /usr/lib/qemu /usr/libexec; do [ ! -e $dir/virtiofsd ] || mount -t tmpfs none $dir || exit; done; exec \"$@\""
    hidden = ["unshare", "--mount", "sh", "-c", hide, "sh"]
    ebb.mistake([*hidden, *lib.ebb("", *option(folder))], "cannot start virtiofsd", "it is not installed")
    nothing_left()
