# SPDX-License-Identifier: Apache-2.0
"""A command in a guest of its own: what it sees, what comes of it, and how it ends."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time

import pytest
from conftest import LIMIT, lib, wait_until
from test_backings import lowest
from test_folder import debians, gone
from test_monitor import run as ebb_run

pytestmark = [pytest.mark.linux, pytest.mark.emulated, pytest.mark.root, pytest.mark.arch("x86_64")]

MIB = lib.MIB
MUCH = 8 * MIB
HOLD = 128
# On an emulated host a guest takes a hundred times as long to start, and there is one processor for all: 50 are for `make
# check-all`.
MANY = int(os.environ.get("EBB_E2E_SANDBOXES", "10" if os.environ.get("EBB_HOST") else "50"))

SMALL = """build/%: guest/workloads/%.c
	@mkdir -p build
	@echo '  CC    $<'
	@$(CC) -o $@ $<
"""


@pytest.fixture
def sandbox(ebb, folder):
    """Runs a command there. Nothing of it is left when it has ended."""
    def argv(*words, options=(), memory="256M"):
        return [lib.EBB, "sandbox", "-m", memory, "-c", "1", *map(str, options), "--", *map(str, words)]

    def run(*words, options=(), memory="256M", **popen):
        popen = {"stdin": subprocess.DEVNULL, "timeout": LIMIT, "cwd": folder} | popen
        if "input" in popen:
            del popen["stdin"]
        return subprocess.run(argv(*words, options=options, memory=memory), env=ebb.env, capture_output=True, check=False, **popen)

    run.argv, run.env = argv, ebb.env
    yield run
    end(ebb.commands)
    nothing_left(ebb)


def end(commands):
    """Ends those that a failed test has left: 50 of them leave no processor to the next test. What has not ended LIMIT later
    is killed."""
    left = [process for process in commands if process.poll() is None]
    for process in left:
        process.terminate()
    until = time.monotonic() + LIMIT
    for process in left:
        try:
            process.communicate(timeout=until - time.monotonic())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(LIMIT)


def nothing_left(ebb):
    """Of the processes the last ones end a moment later."""
    gone("virtiofsd", "fs-keeper", "vsock-dialer")
    assert not ebb.left()
    assert not [name for name in os.listdir("/tmp") if name.startswith("ebb-sandbox-")]


class Running:
    """A command whose output is read line by line."""

    def __init__(self, ebb, argv, folder, **popen):
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": folder} | popen
        self.process = subprocess.Popen(argv, env=ebb.env, **popen)
        ebb.commands.append(self.process)

    def line(self):
        """The next one, or what there is at the end."""
        return self.process.stdout.readline().decode()

    def ended(self, status):
        out, err = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == status, (self.process.returncode, out, err)
        return err.decode()


def test_command(sandbox, folder):
    """Its arguments, its environment, its status; what it sees and what not; what it may change."""
    (folder / "script").write_text("""#!/bin/sh
for word; do printf '[%s]' "$word"; done; echo
env | grep -v PWD | sort
pwd
cat data ../secret; head -c 5 /etc/passwd; echo
[ -e /etc/shadow ] || [ -e /etc/ssl/private ] || echo no secrets
ls -A /root /home | grep -v : | grep .; ls -A /var/log
echo by the guest >made
for file in /usr/bin/env /etc/passwd; do : >"$file" && rm "$file" && [ ! -e "$file" ] && echo "no more $file"; done
: >/usr/local/other
[ -e /sys/class/net/eth0 ] || echo no network
echo err >&2
exit 42
""")
    (folder / "script").chmod(0o755)
    secret = folder.parent / "secret"
    secret.write_text("not shared\n")
    words = ["a b", "", "c'd\"e", "new\nline", "*", "$HOME", "--ro", "ä\udcff"]
    done = sandbox("./script", *words, options=["-e", "LANG=a b", "--env", "NONESUCH", "-e", "LANG=C", "--rw", ".", "--fs", f"{folder.parent}/secret,ro"])
    assert done.returncode == 42 and done.stderr == b"err\n", (done.returncode, done.stderr)
    lines = done.stdout.split(b"\n")
    assert b"\n".join(lines[:2]) == b"".join(b"[" + os.fsencode(word) + b"]" for word in words)
    assert lines[2:9] == [b"HOME=/root", b"LANG=C", b"LOGNAME=root",
                          b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          b"SHELL=/bin/sh", b"USER=root", str(folder).encode()]
    assert lines[9:] == [b"of the host", b"not shared", b"root:", b"no secrets", b"no more /usr/bin/env", b"no more /etc/passwd",
                          b"no network", b""], lines[9:]
    assert (folder / "made").read_text() == "by the guest\n"
    # The host still has its own.
    assert os.path.getsize("/usr/bin/env") > 0 and os.path.getsize("/etc/passwd") > 0
    assert not os.path.exists("/usr/local/other")

    done = sandbox("sh", "-c", f"cat data; echo x 2>/dev/null >data || echo refused; cat {secret} 2>/dev/null || echo unseen; kill -SEGV $$",
                   options=["--ro"])
    assert done.stdout == b"of the host\nrefused\nunseen\n" and done.returncode == 128 + signal.SIGSEGV
    assert (folder / "data").read_text() == "of the host\n"


def test_folder_in_a_folder(sandbox, folder):
    """--fs below the current folder counts, also for a command that is root and unmounts it."""
    (folder / "inner").mkdir()
    (folder / "inner" / "x").write_text("of the host\n")
    write = "(echo guest >inner/x) 2>/dev/null || echo refused"
    script = f"{write}; umount inner && {write}; echo guest >data"
    done = sandbox("sh", "-c", script, options=["--rw", ".", "--fs", f"{folder}/inner,ro"])
    assert (done.returncode, done.stdout) == (0, b"refused\nrefused\n"), done
    assert (folder / "inner" / "x").read_text() == "of the host\n" and (folder / "data").read_text() == "guest\n"
    # The other way around: only the inner one keeps what is written.
    (folder / "data").write_text("of the host\n")
    done = sandbox("sh", "-c", "echo guest >inner/x; umount inner; echo layer >inner/x; echo guest >data", options=["--rw", folder / "inner"])
    assert (done.returncode, done.stdout) == (0, b""), done
    assert (folder / "inner" / "x").read_text() == "guest\n" and (folder / "data").read_text() == "of the host\n"


def tree(folder):
    """Everything in it: name → contents, or None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_layer(sandbox, folder, tmp_path):
    """
    What the command changes in the current folder and that of --fs, it sees and nobody else, also if that is a stranger's
    rm -rf /, less what takes minutes; a file is to read. The control: --rw.
    """
    other, file = tmp_path / "other", tmp_path / "file"
    for name in (folder, other):
        (name / "sub/old").mkdir(parents=True)
        (name / "sub/file").write_text("file\n")
        (name / "gone").write_text("gone\n")
    file.write_text("of the host\n")
    script = f"""(echo guest >{file}) 2>/dev/null || echo refused
for folder in {other} '{folder}'; do
cd "$folder"
echo more >>sub/file; rm gone; rm -r sub/old; mkdir sub/old; mv sub moved; echo made >moved/made; chmod 700 moved
cat moved/file moved/made; find . | sort; done
cd /; exec rm -rf /[!psu]*"""
    seen = b"file\nmore\nmade\n.\n./moved\n./moved/file\n./moved/made\n./moved/old\n"
    before = tree(folder), tree(other)
    for option, refused, left, text in (("--fs", b"refused\n", before, "of the host\n"), ("--rw", b"", ({}, {}), "guest\n")):
        done = sandbox("sh", "-c", script, options=[option, ".", option, other, option, file])
        assert done.stdout.replace(b"./data\n", b"") == refused + 2 * seen, done
        assert done.returncode == 1 and b"cannot remove" in done.stderr, done
        assert (tree(folder), tree(other)) == left and file.read_text() == text
    assert os.path.getsize("/usr/bin/env") > 0


def test_make(sandbox, tmp_path):
    """
    A build of this very tree, less what an emulated guest takes an hour for: its output, its status, what it made, and that the
    tree is as it was, also after a part was removed. The control: --rw. The whole tree and its Makefile, which such a guest
    takes a minute to read, are for make check-all; else it is two programs of guest/, with SMALL.
    """
    copy, part = tmp_path / "tree", "" if MANY == 50 else "guest"
    shutil.copytree(os.path.join(lib.TREE, part), copy / part, ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    if MANY == 50:
        with open(f"{lib.BUILD}/made/programs.h", "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        goals, use = "build/made/programs.h", "sha256sum <build/made/programs.h"
        lines = {"  CC    vmm/sandbox/compile.c", "  LINK  build/made/filters", f"{digest}  -"}
    else:
        (copy / "GNUmakefile").write_text(SMALL)  # make prefers it
        goals, use = "build/hold build/cached", "build/hold 1M"
        lines = {"  CC    guest/workloads/hold.c", "  CC    guest/workloads/cached.c", "hold: freed"}
    before = tree(copy)
    done = sandbox("sh", "-c", f"make -j2 {goals} && {use} && rm -r guest && exec make -j2 nonesuch", cwd=copy, memory="512M",
                   timeout=4 * LIMIT)
    assert lines <= set(done.stdout.decode().splitlines()), done
    assert done.returncode == 2 and b"No rule to make target" in done.stderr, done
    assert tree(copy) == before
    assert sandbox("rm", "-r", "guest", cwd=copy, options=["--rw", "."]).returncode == 0 and tree(copy) != before


@pytest.mark.skipif(MANY != 50, reason="takes minutes: for make check-all; test_layer has less")
def test_full_removal(sandbox, folder):
    """rm -rf /, with what the shell says of the rest: on the host nothing is gone. Most of /usr is hidden, as it takes hours to
    remove. The control: --rw."""
    hide = ("for dir in /usr/[!bls]* /usr/local /usr/share /usr/src /usr/lib/[!qx]*; do "
            "[ ! -d $dir ] || [ -L $dir ] || mount -t tmpfs none $dir || exit; done; exec \"$@\"")

    def files():
        return sum(len(names) for _, _, names in os.walk("/usr/bin"))

    before, script = files(), "rm -rf --no-preserve-root / 2>/dev/null; cd /; echo left: usr/* etc/*"
    for options, left in (((), ["data"]), (("--rw", "."), [])):
        argv = ["unshare", "--mount", "sh", "-c", hide, "sh", *sandbox.argv("sh", "-c", script, options=options)]
        done = subprocess.run(argv, cwd=folder, env=sandbox.env, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=5 * LIMIT)
        assert (done.returncode, done.stdout) == (0, b"left: usr/* etc/*\n"), done
        assert os.listdir(folder) == left and files() == before > 100


def test_full_layer(sandbox, folder):
    """The command is told so, and goes on. The control, which takes a minute: what is not bounded takes the memory of all."""
    fill = "dd if=/dev/zero bs=1M"
    script = f"""{fill} of=big; {fill} of=/dev/shm/big; {fill} of=/dev/big; (echo x >>data)
stat -c %s big; grep MemTotal /proc/meminfo; [ $(stat -c %s /dev/big) -le $((1 << 20)) ] && rm big; echo more >>data; cat data"""
    done = sandbox("sh", "-c", script, memory="128M")
    assert done.returncode == 0 and done.stderr.count(b"No space left on device") == 4, done
    size, total, text = done.stdout.split(b"\n", 2)
    assert 0.4 < int(size) / (int(total.split()[1]) * 1024) <= 0.5 and text == b"of the host\nmore\n", done.stdout
    assert (folder / "data").read_text() == "of the host\n"
    if MANY == 50:
        done = sandbox("sh", "-c", f"mount -t tmpfs -o size=0 none /mnt && exec {fill} of=/mnt/big", memory="128M")
        assert done.returncode in (125, 128 + signal.SIGKILL) and b"No space" not in done.stderr, done


def test_fork_bomb(sandbox, ebb, folder):
    """It fills its guest, which ends by the user's signal; the host has no more processes than for any other command."""
    def count():
        return sum(name.isdigit() for name in os.listdir("/proc"))

    many = 200
    before = count()
    # It sleeps, so that the first process, too, gets a share of the guest's only CPU.
    script = f"n=0; while :; do sleep 1000 & n=$((n + 1)); [ $n != {many} ] || echo many; done"
    running = Running(ebb, sandbox.argv("sh", "-c", script), folder, stderr=subprocess.DEVNULL)
    assert running.line() == "many\n"
    assert count() < before + many / 4
    for _ in range(2):
        running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(LIMIT) == 128 + signal.SIGTERM
    running.process.stdout.close()


def test_not_run(sandbox, folder):
    for name, status, text in (("nonesuch", 127, "No such file"), ("./data", 126, "Permission denied")):
        done = sandbox(name)
        assert done.returncode == status and done.stdout == b""
        assert done.stderr.decode().startswith(f"ebb: cannot run {name}: {text}") and done.stderr.count(b"\n") == 1


def test_streams(sandbox, ebb, folder):
    """Both ways at once, every byte; the two outputs apart; a reader that leaves; a process that stays behind."""
    data = os.urandom(MUCH)
    done = sandbox("sh", "-c", "(sleep 1000 &) ; tee /dev/stderr", input=data)
    assert done.returncode == 0
    for stream in (done.stdout, done.stderr):
        assert hashlib.sha256(stream).digest() == hashlib.sha256(data).digest()

    # The shell tells of the signal, which yes gets when nobody reads any more.
    running = Running(ebb, sandbox.argv("sh", "-c", "yes; echo status=$? >&2"), folder)
    assert running.line() == "y\n"
    running.process.stdout.close()
    assert running.process.stderr.read().decode() == f"status={128 + signal.SIGPIPE}\n"
    running.process.stderr.close()
    assert running.process.wait(LIMIT) == 0


def test_signals(sandbox, ebb, folder):
    heeds = "trap 'echo heard; exit 9' INT TERM; echo ready; while :; do sleep 0.1; done"
    running = Running(ebb, sandbox.argv("sh", "-c", heeds), folder)
    assert running.line() == "ready\n"
    running.process.send_signal(signal.SIGINT)
    assert running.line() == "heard\n"
    running.ended(9)

    # The second one is for ebb.
    running = Running(ebb, sandbox.argv("sh", "-c", "trap 'echo heard' INT; echo ready; while :; do sleep 0.1; done"), folder)
    assert running.line() == "ready\n"
    running.process.send_signal(signal.SIGINT)
    assert running.line() == "heard\n"
    running.process.send_signal(signal.SIGINT)
    running.ended(128 + signal.SIGINT)

    # ebb dies without a word: the guest goes with it. Its folder in /tmp cannot.
    running = Running(ebb, sandbox.argv("sh", "-c", "echo ready; sleep 1000"), folder)
    assert running.line() == "ready\n"
    running.process.kill()
    running.process.wait(LIMIT)
    running.process.stdout.close()
    running.process.stderr.close()
    wait_until(lambda: not ebb.left(), "the guest is gone")
    for name in os.listdir("/tmp"):
        if name.startswith("ebb-sandbox-"):
            subprocess.run(["rm", "-r", f"/tmp/{name}"], check=True)


@contextlib.contextmanager
def terminal(argv, env, cwd, rows, columns, errors=None):
    """A process with a terminal of its own: (pid, master)."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.chdir(cwd)
        if errors:
            os.dup2(errors.fileno(), 2)
        os.execve(argv[0], argv, env)
    try:
        yield pid, master
    finally:
        os.close(master)


def read_until(master, word, said):
    """Adds to `said` until it has `word`."""
    while word not in said:
        assert select.select([master], [], [], LIMIT)[0], said
        said += os.read(master, 4096)
    return said


def test_terminal(sandbox, ebb, folder):
    heeds = "trap 'stty size; exit 7' INT; tty; stty size; echo ready; while :; do sleep 0.1; done"
    sized = "trap 'stty size' WINCH; " + heeds
    with terminal(sandbox.argv("sh", "-c", sized, options=["-e", "TERM=dumb"]), ebb.env, folder, 33, 77) as (pid, master):
        said = read_until(master, b"ready", b"")
        assert b"/dev/pts/" in said and b"\r\n33 77\r\n" in said, said
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        read_until(master, b"44 88", b"")
        os.write(master, b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    # What is redirected stays apart.
    with open(folder / "errors", "wb") as errors, terminal(sandbox.argv("sh", "-c", "tty; tty <&1; echo apart >&2; [ -t 2 ]"),
                                                           ebb.env, folder, 24, 80, errors) as (pid, master):
        assert read_until(master, b"\n", b"").startswith(b"/dev/pts/")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert (folder / "errors").read_text() == "apart\n"
    # A command that does not heed the key: the third one within a second ends the guest.
    with terminal(sandbox.argv("sh", "-c", "trap '' INT; echo ready; sleep 1000"), ebb.env, folder, 24, 80) as (pid, master):
        read_until(master, b"ready", b"")
        os.write(master, b"\x03\x03\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGINT


def held(ebb):
    """Bytes of the only guest's RAM that the host holds."""
    return json.loads(ebb_run(ebb, "stat", "--no-refresh", "--json"))["memory"]["rss"]


def freed(running, ebb):
    """Has the command take and free memory. Returns the bytes that the host held in between."""
    assert running.line() == f"hold: taken {HOLD} MiB\n"
    taken = held(ebb)
    assert taken > HOLD * MIB
    running.process.stdin.write(b"\n")
    running.process.stdin.flush()
    assert running.line() == "hold: freed\n"
    return taken


def test_many_at_once(sandbox, ebb, folder):
    """Each has its own streams, its own status and its own layer over /usr; they meet in the folder."""
    script = (f"read -r n; echo $n >/usr/local/own; : >here.$n; read -r go; [ $(ls | grep -c here) = {MANY} ] || exit 99; "
              "cat /usr/local/own; exit $n")
    running = [Running(ebb, sandbox.argv("sh", "-c", script, options=["--rw", "."], memory="128M"), folder, stdin=subprocess.PIPE) for _ in range(MANY)]

    def tell(one, line):
        one.process.stdin.write(f"{line}\n".encode())
        one.process.stdin.flush()

    for number, one in enumerate(running):
        tell(one, number)
    wait_until(lambda: len(list(folder.glob("here.*"))) == MANY, "all are there", MANY / 3 * LIMIT)
    assert all(one.process.poll() is None for one in running), "they are there at once"
    for one in running:
        tell(one, "go")
    for number, one in enumerate(running):
        assert one.line() == f"{number}\n"
        one.ended(number)


def test_many_statuses(sandbox, ebb, folder):
    """All that a command can end with, those that are ebb's own too; by `make check-all` alone, but for one."""
    statuses = range(256) if MANY == 50 else (255,)
    for first in range(0, len(statuses), 10):
        part = statuses[first:first + 10]
        running = [Running(ebb, sandbox.argv("sh", "-c", f"exit {status}", memory="128M"), folder) for status in part]
        for status, one in zip(part, running):
            assert one.ended(status) == ""


@pytest.mark.skipif(MANY != 50, reason="takes minutes: for make check-all; test_streams has less")
def test_many_bytes(sandbox, ebb, folder):
    """1 GiB of standard input."""
    block, total = os.urandom(MIB), hashlib.sha256()
    with subprocess.Popen(sandbox.argv("sha256sum"), env=ebb.env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for number in range(1024):
            piece = number.to_bytes(4, "little") + block
            total.update(piece)
            process.stdin.write(piece)
        process.stdin.close()
        assert process.stdout.read().split()[0].decode() == total.hexdigest()
        assert process.wait(LIMIT) == 0


def test_memory(sandbox, ebb, folder):
    """What the command frees comes back while it still runs; with reporting off it does not."""
    with open(os.path.join(lib.GUEST, "initramfs.cpio"), "rb") as archive:
        subprocess.run(["busybox", "cpio", "-i", "-d", "bin/hold"], stdin=archive, cwd=folder, check=True, capture_output=True)
    enough = HOLD * MIB * 3 // 4
    for reporting in ("on", "off"):
        words = sandbox.argv("sh", "-c", f"bin/hold {HOLD}M --wait; read -r line", options=["--free-page-reporting", reporting],
                             memory="512M")
        running = Running(ebb, words, folder, stdin=subprocess.PIPE)
        taken = freed(running, ebb)
        if reporting == "on":
            seconds = wait_until(lambda: taken - held(ebb) > enough, "the memory comes back")
        else:
            assert taken - lowest(lambda: held(ebb), 2 * seconds + 5) <= HOLD * MIB // 4, "it came back without reports"
        assert running.process.poll() is None
        running.process.stdin.write(b"\n")
        running.process.stdin.flush()
        assert "hold: done" in running.line()
        running.ended(0)


def test_debian(sandbox, tmp_path):
    """With a kernel of Debian's, whose drivers are modules; and what a kernel lacks is told."""
    debian = debians(tmp_path)
    done = sandbox("cat", "data", options=["-k", debian["kernel"], "-i", debian["initrd"]])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"of the host\n", b"")
    done = sandbox("true", options=["-k", debian["kernel"]])
    assert done.returncode == 125 and done.stderr.count(b"\n") == 1, done.stderr
    assert b"the guest did not come to the command" in done.stderr or b"the guest ended before" in done.stderr


def test_plain_user(sandbox, ebb):
    """Without root on the host: what the guest's root makes is the user's; and which files of others a layer can have below it."""
    user = 65534
    os.chmod("/dev/kvm", 0o666)
    with tempfile.TemporaryDirectory(prefix="ebb-user-") as home, tempfile.TemporaryDirectory(prefix="ebb-other-") as other:
        for path in (home, f"{home}/run", f"{home}/job"):
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.chown(path, user, user)
        os.chmod(other, 0o755)
        # Where others reach them: the tree may be in root's home.
        guest = [shutil.copy(os.path.join(lib.GUEST, name), other) for name in (lib.FORM, "initramfs.cpio")]
        for path in (f"{home}/job/theirs", f"{other}/theirs"):
            with open(path, "w", encoding="ascii") as file:
                file.write("theirs\n")

        def run(script, *options):
            argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *sandbox.argv("sh", "-c", script, options=["-k", guest[0], "-i", guest[1], *options])]
            done = subprocess.run(argv, env=ebb.env | {"EBB_RUNTIME_DIR": f"{home}/run"}, cwd=f"{home}/job", stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False, timeout=LIMIT)
            assert done.returncode == 0 and not lib.own_words(done.stderr), done
            return done.stdout.split()

        script = ("id -u; echo by the guest >made; stat -c %u . made /usr; echo x >/etc/new && cat /etc/new; "
                  f"for file in /etc/passwd {other}/made; do (: >$file) 2>/dev/null || echo refused; done; "
                  f"for file in theirs {other}/theirs; do cat $file 2>/dev/null || echo unread; done")
        seen = ["0", "0", "0", str(user), "x", "refused", "refused"]
        # Debian 13's virtiofsd opens them without O_NOATIME then.
        below = "theirs" if os.path.exists("/usr/libexec/virtiofsd") else "unread"
        assert run(script, "--fs", other) == [*seen, below, "theirs"]
        assert not os.path.exists(f"{home}/job/made")
        assert run(script, "--fs", other, "--rw", ".") == [*seen, "theirs", "theirs"]
        assert os.stat(f"{home}/job/made").st_uid == user
        assert not os.listdir(f"{home}/run")


def test_root_folder(ebb, tmp_path):
    """-d DIR: a guest whose root is a folder; read-only, and not."""
    root = tmp_path / "root"
    for name in ("bin", "dev", "proc", "sys", "tmp", "root"):
        (root / name).mkdir(parents=True)
    with open(os.path.join(lib.GUEST, "initramfs.cpio"), "rb") as archive:
        subprocess.run(["busybox", "cpio", "-i", "bin/busybox", "bin/sh", "init"], stdin=archive, cwd=root, check=True, capture_output=True)
    params = "quiet init=/init"
    command = "echo guest >/root/made && cat /root/made"
    lines = ebb.job(command, "-d", root, initrd=None, params=params)
    assert lines == ["guest"] and (root / "root/made").read_text() == "guest\n"
    (root / "root/made").unlink()
    lines = ebb.job(f"({command}) 2>/dev/null || echo refused", "-d", f"{root},ro", initrd=None, params=params)
    assert lines == ["refused"] and not os.listdir(root / "root")
