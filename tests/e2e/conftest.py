# SPDX-License-Identifier: Apache-2.0
"""What the tests share: guests that end with their test, and a word for each host that cannot do it."""

import contextlib
import fcntl
import functools
import http.server
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.dont_write_bytecode |= sys.pycache_prefix is None  # the tree may be read-only here
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests", "lib"))
import guest as lib  # noqa: E402

# Nothing takes this long; an emulated host on a busy machine can take most of it.
LIMIT = float(os.environ.get("EBB_E2E_LIMIT", "180"))

# What no guest's kernel may say, whatever it is put through (but for the panics that are asked for).
TROUBLE = re.compile(r"Call Trace|BUG:|WARNING:|Oops|general protection|soft lockup|rcu_sched self-detected|I/O error")


def pytest_configure(config):
    # Guests inherit what is ignored here, as in a shell's background job, and then ignore what a test sends.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    config.addinivalue_line("markers", "linux: boots Linux, which needs a KVM that virtualizes")
    config.addinivalue_line("markers", "kvm: needs a /dev/kvm that opens")
    config.addinivalue_line("markers", "emulated: changes settings of the host, which must be the emulated one")
    config.addinivalue_line("markers", "root: needs root")
    config.addinivalue_line("markers", "arch(name, …): for guests of these architectures only")
    config.addinivalue_line("markers", "cross: also for guests of other architectures, by tests/e2e/run --arch")


def why_not(item, kind):
    """The reason why a test cannot run here, or None."""
    archs = item.get_closest_marker("arch")
    if archs and lib.ARCH not in archs.args:
        return f"for {' and '.join(archs.args)} only"
    if item.get_closest_marker("linux") and kind != "hardware":
        return f"no Linux guest boots on this host (tests/host/kvm-kind: {kind}); tests/e2e/run finds one"
    if item.get_closest_marker("kvm") and kind not in ("hardware", "emulating"):
        return f"no usable /dev/kvm (tests/host/kvm-kind: {kind})"
    if item.get_closest_marker("emulated") and os.environ.get("EBB_HOST") != "1":
        return "changes the host's settings: only on the emulated host (tests/host/run)"
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root"
    return None


def pytest_collection_modifyitems(items):
    if "EBB_E2E_ONLY" in os.environ:  # a file with the names of tests
        items[:] = [item for item in items if item.nodeid in pathlib.Path(os.environ["EBB_E2E_ONLY"]).read_text().splitlines()]
    kind = subprocess.run(
        [os.path.join(TREE, "tests", "host", "kvm-kind")], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    for item in items:
        reason = why_not(item, kind)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


# The words of a guest's kernel, of guest.py and of Python for a guest that stands still.
STOOD = re.compile(r"timer wakeup didn't happen|still running after|: not within|TimeoutExpired")


def host_timers():
    """On the emulated host, what its KVM holds of its guests' clocks: a guest may stand still because its timer is late."""
    if os.environ.get("EBB_HOST") != "1" or os.geteuid() != 0:
        return ""
    timers = re.findall(r"now at .*|.*apic_timer_fn.*\n.*", pathlib.Path("/proc/timer_list").read_text("ascii"))
    of_the_vcpus = [path.read_text("ascii").strip() for path in pathlib.Path("/sys/kernel/debug/kvm").glob("*/vcpu*/tsc-offset")]
    source = pathlib.Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text("ascii").strip()
    return "\n".join([f"clock source {source}, TSC offsets {of_the_vcpus}", *timers])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failed test, the last words of its guests: why one ended is seldom in the assertion."""
    report = (yield).get_result()
    if report.failed:
        boxes = [box for box in getattr(item, "funcargs", {}).values() if isinstance(box, Ebb)]
        for started in [started for box in boxes for started in box.guests][-2:]:
            said = [text for _, text in started.lines][-8:] + started.stderr().splitlines()[-4:]
            status = started.process.poll()
            report.sections.append(("guest", "\n".join(f"guest {started.process.pid} ({status}): {text}" for text in said)))
        report.sections.append(("host", host_timers()))
        told = [report.longreprtext, *(text for box in boxes for started in box.guests for _, text in started.lines)]
        if any(map(STOOD.search, told)):
            report.sections.append(("again", f"a guest stood still: {item.nodeid}"))  # for tests/e2e/run


def pytest_sessionfinish(session, exitstatus):
    """A run of nothing but skipped tests has shown nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_unconfigure(config):
    """The last line: the totals, in the form that all layers of tests have."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        count = {key: len(reporter.stats.get(key, ())) for key in ("passed", "failed", "error", "skipped")}
        reporter.write_line(
            f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped"
        )


class Ebb:
    """Starts guests for one test, and looks after what they leave."""

    def __init__(self, runtime):
        self.runtime = runtime  # where ebb keeps its guests' names
        self.guests = []
        self.commands = []  # processes of `ebb sandbox`
        # The images of the user who runs the tests are not for them.
        self.env = os.environ | {"EBB_RUNTIME_DIR": str(runtime), "XDG_DATA_HOME": f"{runtime}/images"}
        # Whoever runs the tests may be somebody's service with signals switched off.
        self.env.pop("XDG_RUNTIME_DIR", None)

    def start(self, command=None, *options, wrapper=(), terminal=False, popen=None, **machine):
        """A guest that does `command`; `machine` is for lib.ebb(), `wrapper` a command to start ebb by."""
        argv = [*wrapper, *lib.ebb(command, *options, **machine)]
        kind = lib.TerminalGuest if terminal else lib.Guest
        started = kind(argv, env=self.env, **(popen or {}))
        self.guests.append(started)
        return started

    def job(self, command, *options, limit=LIMIT, **machine):
        """A guest that does `command` and powers off. Returns what the command printed, line by line."""
        started = self.start(command, *options, **machine)
        self.ended(started, 0, limit)
        lines = [text for _, text in started.lines]
        assert "ebb-guest: init" in lines, f"the guest did not come to its init:\n{started.console()}"
        assert lines.count("ebb-guest: exit=0") == 1, f"the job failed:\n{started.console()}"
        return lines[lines.index("ebb-guest: init") + 1 : lines.index("ebb-guest: exit=0")]

    def ended(self, started, status, limit=LIMIT):
        """The guest ends by itself with `status`, and nothing of it is left."""
        found = started.wait(limit)
        assert found == status, f"status {found}\n--- console\n{started.console()}\n--- stderr\n{started.stderr()}"
        assert not self.left(), f"left in the runtime directory: {self.left()}"

    def left(self):
        return os.listdir(self.runtime) if os.path.isdir(self.runtime) else []

    def mistake(self, argv, *words, status=2, limit=LIMIT, **popen):
        """ebb with `argv` says one line, with all `words` in it, and leaves nothing. Returns the line."""
        popen = {"env": self.env, "stdin": subprocess.DEVNULL} | popen
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit, **popen)
        text = done.stderr.decode()
        assert done.returncode == status, text
        assert done.stdout == b""
        assert text.startswith("ebb: ") and text.endswith("\n") and text.count("\n") == 1, text
        for word in words:
            assert word in text
        assert not self.left()
        return text


# A guest that powers off takes its devices away first. A report that falls into that finds its queue broken, of which
# kernels without guest/patches warn, once.
BROKEN_AT_POWEROFF = re.compile(r"WARNING: CPU: \d+ PID: \d+ at drivers/virtio/virtio_balloon\.c:\d+ "
                                r"virtballoon_free_page_report\+")
NOT_OURS = tuple(filter(None, [os.path.join(lib.GUEST, "stock", ""), os.environ.get("EBB_E2E_DISTRO_KERNEL")]))


def trouble(started):
    """What the guest's kernel complained of, with what it said just before. No complaint: the trace of an OOM kill, and
    that of an allocation in which who is killed fails on its way out."""
    found, excused, off, killed = [], 0, False, set()
    warns = any(str(word).startswith(NOT_OURS) for word in started.argv)
    for at, (_, text) in enumerate(started.lines):
        if text.startswith("ebb-guest: exit="):
            off = True
        killed.update(re.findall(r"Killed process \d+ \((\S+)\)", text))
        failed = re.search(r"\] (\S+): page allocation failure", text)
        if "invoked oom-killer" in text or failed and failed[1] in killed:
            excused += 1
        elif BROKEN_AT_POWEROFF.search(text) and off and warns:
            warns = False
            excused += 1
        elif "Call Trace" in text and excused:
            excused -= 1
        elif TROUBLE.search(text):
            found.append("\n".join(said for _, said in started.lines[max(at - 3, 0) : at + 1]))
    return found


@pytest.fixture
def ebb(tmp_path):
    box = Ebb(tmp_path / "runtime")
    yield box
    for started in box.guests:
        started.kill()
    assert not [text for started in box.guests for text in trouble(started)], "the guest's kernel complained"


@pytest.fixture
def folder(tmp_path):
    """One of the host, for a guest: a space in its name, and a file in it."""
    path = tmp_path / "a folder"
    path.mkdir()
    (path / "data").write_text("of the host\n")
    return path


@pytest.fixture(scope="module")
def module_ebb(tmp_path_factory):
    """For a guest that several tests look at."""
    box = Ebb(tmp_path_factory.mktemp("module") / "runtime")
    yield box
    for started in box.guests:
        started.kill()


@pytest.fixture(scope="session")
def elf64(tmp_path_factory):
    """The guest's vmlinux without the note that tells of its PVH entry: leaves the 64-bit one."""
    with open(lib.VMLINUX, "rb") as file:
        kernel = bytearray(file.read())
    # An ELF note: sizes of name and contents, type (XEN_ELFNOTE_PHYS32_ENTRY), name.
    note = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")
    found = [match.start() for match in note.finditer(kernel)]
    assert len(found) == 1, "vmlinux has no PVH note"
    kernel[found[0] + 8] = 0x7F
    path = tmp_path_factory.mktemp("kernel") / "vmlinux-without-pvh"
    path.write_bytes(kernel)
    return str(path)


@pytest.fixture(scope="session")
def distro_kernel():
    """A distribution's own bzImage, found by tests/e2e/run."""
    path = os.environ.get("EBB_E2E_DISTRO_KERNEL")
    if not path:
        pytest.skip("no distribution's kernel at hand: EBB_E2E_DISTRO_KERNEL=FILE names one")
    return path


def host_memory():
    """Bytes of memory that this host has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def shrink_pipe(fd):
    """So that a pipe is full after one page."""
    return fcntl.fcntl(fd, 1031, 4096)  # F_SETPIPE_SZ


def wait_until(condition, what, limit=LIMIT):
    """Waits until condition() holds, and then stays so: looks are up to a second apart. Returns the seconds that took.

    A look can be a command, which takes an emulated host longer than the pause behind it, and what is waited for then gets
    little of its processor: the longer a look, the longer the pause.
    """
    start = looked = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit:
            raise lib.GuestError(f"not within {limit} s: {what}")
        time.sleep(min(max(0.05, 3 * (time.monotonic() - looked)), 1))
        looked = time.monotonic()
    return time.monotonic() - start


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@pytest.fixture
def setting():
    """setting(path, value) for the length of a test."""
    before = []

    def change(path, value):
        with open(path, encoding="ascii") as file:
            text = file.read()
        # One of several words has brackets.
        chosen = re.search(r"\[(\w+)\]", text)
        before.append((path, chosen[1] if chosen else text))
        write(path, str(value))

    yield change
    for path, value in reversed(before):
        write(path, value)


# --- what a guest's network needs of the host ------------------------------------------------------

# An emulated host has no network of its own: passt wants an interface with a route, even one without a carrier.
HOST, GATEWAY = "10.9.0.1", "10.9.0.2"
HOST6, GATEWAY6 = "fd09::1", "fd09::2"
IPV6 = os.path.exists("/proc/net/if_inet6")


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=LIMIT)


@pytest.fixture
def route():
    """A way out for passt, by IPv4 and, where the host has it, IPv6."""
    ip("tuntap", "add", "t0", "mode", "tap")
    ip("link", "set", "t0", "up")
    ip("addr", "add", f"{HOST}/24", "dev", "t0")
    ip("route", "add", "default", "via", GATEWAY, "dev", "t0")
    if IPV6:
        # passt wants an address of the link, too, which Linux gives to no interface without a carrier.
        for address in (HOST6, "fe80::1"):
            ip("addr", "add", f"{address}/64", "dev", "t0", "nodad")
        ip("-6", "route", "add", "default", "via", GATEWAY6, "dev", "t0")
    yield
    ip("link", "del", "t0")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """By IPv6 it serves IPv4 as well."""
    address_family = socket.AF_INET6 if IPV6 else socket.AF_INET


@contextlib.contextmanager
def serving(path):
    """The port at which the host serves the files of a folder."""
    server = Server(("", 0), functools.partial(Quiet, directory=path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
