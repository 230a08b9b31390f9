# SPDX-License-Identifier: Apache-2.0
"""A guest under a VMM, driven as a person would: by its command line, its console and /proc.

Used by tests/e2e, tests/bench and the demo. Whoever waits here waits for a condition with a limit.
"""

import contextlib
import functools
import os
import pty
import re
import select
import signal
import subprocess
import termios
import threading
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("EBB_BUILD", os.path.join(TREE, "build"))
# Whose guests these are, in the words of scripts/arch; and where what was built for it is, when that is another
# architecture than the one of the machine that it was built on: see tests/e2e/run --arch.
ARCH = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
CROSS = os.environ.get("EBB_CROSS", "")
EBB = os.path.join(BUILD, CROSS, "ebb")
GUEST = os.path.join(BUILD, "guest", CROSS)
# The forms that a kernel is loaded in on every architecture: as it is, and packed.
FORM, PACKED_FORM = ("vmlinux", "bzImage") if ARCH == "x86_64" else ("Image", "Image.gz")
KERNEL = os.path.join(GUEST, FORM)
PACKED_KERNEL = os.path.join(GUEST, PACKED_FORM)
# By their names on x86_64, for what is done there only.
VMLINUX = os.path.join(GUEST, "vmlinux")
BZIMAGE = os.path.join(GUEST, "bzImage")
STOCK_VMLINUX = os.path.join(GUEST, "stock", "vmlinux")
IMAGE = os.path.join(GUEST, "debian.img")
# Guests start sooner without unpacking, which counts where they are emulated.
INITRAMFS = os.path.join(GUEST, "initramfs.cpio")
PACKED_INITRAMFS = os.path.join(GUEST, "initramfs.cpio.gz")

MIB = 1 << 20
ACCEPTS = 0x10000  # __SO_ACCEPTCON (include/linux/net.h), in /proc/net/unix
LAST_WORDS = 10  # seconds to read what a VMM said before it ended; only one that left a process behind needs them all


@functools.cache
def namespaces():
    """Whether this host lets ebb make namespaces of its own: many containers do not."""
    return subprocess.run(["unshare", "-Urmniu", "true"], capture_output=True, check=False).returncode == 0


# The words to start ebb by as on a host that permits no namespaces.
NO_NAMESPACES = ["unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]


def own_words(said, permitted=None):
    """What ebb said on standard error, but for the line that tells of a host which permits no namespaces."""
    if namespaces() if permitted is None else permitted:
        return said
    return re.sub(r"^ebb: warning: this host permits no namespaces .*(?:\n|\Z)", "", said, flags=re.M)


def opened(pid):
    """What a process has open, by descriptor; without what it closes meanwhile."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def listens(path):
    """Whether a socket of that name is listened at: a moment after its file is there. Without a connection to it."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as sockets:
        return any(line.rstrip("\n").endswith(f" {path}") and int(line.split()[3], 16) & ACCEPTS for line in sockets)


class GuestError(Exception):
    """What was waited for did not come; the text holds what the console said."""


class Guest:
    """A VMM's process. Its standard output is the guest's console, kept line by line."""

    def __init__(self, argv, **popen):
        """`popen` goes to subprocess.Popen; by it stdin can be something else than a pipe to send() through."""
        self.argv = argv
        self.started = time.monotonic()
        self.lines = []  # (seconds since the start, text)
        self.errors = []  # standard error, likewise
        self._more = threading.Condition()
        popen = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen
        self.process = subprocess.Popen(argv, **popen)
        self._start_readers(self.process.stdout, self.process.stderr)

    def _start_readers(self, console, errors):
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((console, self.lines), (errors, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _read(self, stream, lines):
        for raw in stream or ():  # none: it goes elsewhere
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            with self._more:
                lines.append((time.monotonic() - self.started, text))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    @property
    def pid(self):
        return self.process.pid

    def console(self):
        """All that the guest said."""
        return "\n".join(text for _, text in self.lines)

    def stderr(self):
        return own_words("\n".join(text for _, text in self.errors))

    def send(self, text):
        """Types on the guest's console."""
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_for(self, pattern, timeout=60, start=0):
        """Waits for a console line that matches, from line `start` on. Returns (index, match)."""
        end = time.monotonic() + timeout
        at = start
        with self._more:
            while True:
                while at < len(self.lines):
                    match = re.search(pattern, self.lines[at][1])
                    if match:
                        return at, match
                    at += 1
                left = end - time.monotonic()
                ended = self.process.poll() is not None and not self._readers[0].is_alive()
                if left <= 0 or ended:
                    why = "the VMM ended" if ended else f"not within {timeout} s"
                    if ended:
                        self._more.release()  # its last words may still be on their way
                        self._readers[1].join(LAST_WORDS)
                        self._more.acquire()
                    raise GuestError(
                        f"no line /{pattern}/: {why}\n--- console\n{self.console()}"
                        f"\n--- stderr\n{self.stderr()}"
                    )
                self._more.wait(min(left, 0.2))

    def wait_for_error(self, pattern, timeout=60):
        """Waits for a line on standard error that matches. Returns the match."""
        end = time.monotonic() + timeout
        with self._more:
            while True:
                ended = not self._readers[1].is_alive()
                if match := re.search(pattern, "\n".join(text for _, text in self.errors), re.M):
                    return match
                if ended or time.monotonic() > end:
                    raise GuestError(f"no line /{pattern}/ on standard error\n--- stderr\n{self.stderr()}")
                self._more.wait(0.2)

    def wait(self, timeout=60):
        """Waits for the VMM to end by itself. Returns its exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise GuestError(
                f"still running after {timeout} s\n--- console\n{self.console()}"
                f"\n--- stderr\n{self.stderr()}"
            ) from error
        self._read_to_the_end()
        return status

    def _read_to_the_end(self):
        """Two threads read two streams: what a VMM said first need not be there first."""
        for reader in self._readers:
            reader.join(LAST_WORDS)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        self._read_to_the_end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                if stream:
                    stream.close()
            except OSError:
                pass

    def rss(self):
        """Bytes of anonymous memory that the host holds for the VMM: its guest's RAM and its own."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise GuestError("the VMM has no memory any more: it ended")

    def wait_for_rss(self, condition, timeout=60, interval=0.05):
        """Waits until condition(bytes) holds. Returns (bytes, seconds waited)."""
        start = time.monotonic()
        while True:
            now = self.rss()
            waited = time.monotonic() - start
            if condition(now):
                return now, waited
            if waited > timeout:
                raise GuestError(f"RSS is {now // MIB} MiB and stays there ({timeout} s)")
            time.sleep(interval)

    def stable_rss(self, timeout=30, tolerance=2 * MIB, still=1.0, interval=0.1):
        """Waits until the RSS has kept within `tolerance` for `still` seconds. Returns it."""
        end = time.monotonic() + timeout
        low = high = self.rss()
        since = time.monotonic()
        while time.monotonic() < end:
            time.sleep(interval)
            now = self.rss()
            low, high = min(low, now), max(high, now)
            if high - low > tolerance:
                low = high = now
                since = time.monotonic()
            elif time.monotonic() - since >= still:
                return now
        raise GuestError(f"RSS does not come to rest within {timeout} s: {self.rss() // MIB} MiB")


class TerminalGuest(Guest):
    """A VMM on a terminal of its own: send() types on it, `screen` is all that it showed.

    Carriage returns are left out: guest and terminal each add one, and nobody sees them.
    """

    def __init__(self, argv, **popen):
        self.master, self.slave = pty.openpty()
        self._wake = os.pipe()
        self.cooked = self.settings()
        self.screen = ""
        popen = {"stdin": self.slave, "stdout": self.slave} | popen
        # Not by preexec_fn, which can hang in a process with threads. setsid(1) becomes the VMM.
        super().__init__(["setsid", "--ctty", *argv], **popen)

    def _start_readers(self, console, errors):
        super()._start_readers(self.master, errors)

    def _read(self, stream, lines):
        if stream is not self.master:
            super()._read(stream, lines)
            return
        # Not a plain read(): a terminal is closed only when nobody reads it any more.
        while self._wake[0] not in (ready := select.select([stream, self._wake[0]], [], [])[0]):
            with self._more:  # what was read is on the screen, for all who look: see _unread()
                try:
                    text = os.read(stream, 4096) if ready else b""
                except OSError:
                    return
                self.screen += text.decode("utf-8", "replace").replace("\r", "")
                done = self.screen.split("\n")[:-1]
                now = time.monotonic() - self.started
                lines.extend((now, line) for line in done[len(lines):])
                self._more.notify_all()

    def send(self, text):
        os.write(self.master, text.encode())

    def settings(self):
        """The terminal's. It stays open here, and so keeps what its other users left it as."""
        return termios.tcgetattr(self.slave)

    def wait_for_screen(self, text, timeout=60, start=0):
        """Waits for `text` on the screen, behind its first `start` characters. Returns where it ends."""
        end = time.monotonic() + timeout
        with self._more:
            while (at := self.screen.find(text, start)) < 0:
                ended = self.process.poll() is not None and not self._unread()
                if time.monotonic() > end or ended:
                    raise GuestError(
                        f"no {text!r} on the screen\n--- screen\n{self.screen}\n--- stderr\n{self.stderr()}"
                    )
                self._more.wait(0.2)
        return at + len(text)

    def _unread(self):
        """With the lock: whether the terminal has more than the screen."""
        return self.master >= 0 and bool(select.select([self.master], [], [], 0)[0])

    def hang_up(self):
        """Closes the terminal's window."""
        if self.master < 0:
            return
        os.write(self._wake[1], b"x")
        self._readers[0].join()
        for fd in (self.slave, self.master):
            if fd >= 0:
                os.close(fd)
        self.slave = self.master = -1

    def wait(self, timeout=60):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise GuestError(
                f"still running after {timeout} s\n--- screen\n{self.screen}\n--- stderr\n{self.stderr()}"
            ) from error
        finally:
            self._read_to_the_end()

    def _read_to_the_end(self):
        self._readers[1].join(LAST_WORDS)
        with self._more:
            self._more.wait_for(lambda: not self._unread(), LAST_WORDS)

    def kill(self):
        super().kill()
        self.hang_up()
        for fd in self._wake:
            if fd >= 0:
                os.close(fd)
        self._wake = (-1, -1)


def ebb(command=None, *options, kernel=KERNEL, initrd=INITRAMFS, params="quiet", memory="256M", network="none"):
    """The command line of `ebb run`: a guest that does `command` (a shell's) and powers off. `network` is for -n, which
    `options` may have, too; None leaves it out.
    """
    if command is not None:
        params = f'{params} ebb.cmd="{command}"'
    argv = [EBB, "run", "-k", kernel, "-m", memory, "-p", params]
    if initrd:
        argv += ["-i", initrd]
    if network and not {"-n", "--nodefaults"} & set(options):
        argv += ["-n", network]
    return argv + [str(option) for option in options]


def debian(command, *options, scratch=None, params="quiet", **machine):
    """The same of a guest that starts from the Debian image, with a file as disk for its /scratch, or memory."""
    params += " root=/dev/vda ro init=/sbin/ebb-init"
    disks = ["-d", f"{IMAGE},ro"] + (["-d", str(scratch)] if scratch else [])
    return ebb(command, *disks, *options, initrd=None, params=params, **machine)
