# SPDX-License-Identifier: Apache-2.0
"""Every way in which a guest ends, and what becomes of its console."""

import array
import fcntl
import hashlib
import os
import re
import signal
import struct
import subprocess
import termios
import time

import pytest
from conftest import BROKEN_AT_POWEROFF, LIMIT, lib, shrink_pipe

pytestmark = pytest.mark.linux

SHELL = "/root # "  # the guest's prompt
STOP = 30  # seconds; it takes milliseconds where nobody else is at work

# --- the guest's own ways ----------------------------------------------------------------------


@pytest.mark.cross
@pytest.mark.parametrize("kernel", [lib.KERNEL, lib.PACKED_KERNEL], ids=[lib.FORM, lib.PACKED_FORM])
@pytest.mark.parametrize("way", ["poweroff -f", "reboot -f"])
def test_guest_ends(ebb, way, kernel):
    started = ebb.start(way + "; sleep 1000", kernel=kernel)
    ebb.ended(started, 0)
    assert "ebb-guest: init" in started.console()
    assert started.stderr() == ""


# Every method that the kernel's reboot= knows, and the kinds of reset that it asks firmware for.
REBOOTS = ["b", "a", "k", "t", "e", "p", "q"] if lib.ARCH == "x86_64" else ["cold", "warm", "hard", "soft", "gpio"]


@pytest.mark.cross
@pytest.mark.parametrize("way", REBOOTS)
def test_reboot(ebb, way):
    started = ebb.start("reboot -f; sleep 1000", params=f"quiet reboot={way}")
    ebb.ended(started, 0)
    assert "ebb-guest: init" in started.console()
    assert started.stderr() == ""


CHURN = "hold 16M --rounds 1000000 --hold 0 --rest 0.003 >/dev/null & "


def goes(ms):
    """Powers off while programs run. The kernel names each device that goes, some after the balloon, for so long."""
    return (
        "echo ebb-guest: exit=0; echo Y >/sys/module/kernel/parameters/initcall_debug; "
        f"echo {ms} >/proc/sys/kernel/printk_delay; echo 8 >/proc/sys/kernel/printk; poweroff -f; sleep 1000"
    )


def test_reports_meet_the_end(ebb):
    """Memory is reported each few milliseconds while the driver goes and comes, and while the guest powers off."""
    job = (
        "for p in min max; do echo 1 >/sys/module/page_reporting/parameters/delay_${p}_ms; done; "
        "d=/sys/bus/virtio/drivers/virtio_balloon; v=$(basename $d/virtio*); " + CHURN + "sleep 1; "
        "for i in 0 1 2 3 4 5 6 7 8 9; do echo $v >$d/unbind; echo $v >$d/bind; sleep 0.1; done; "
        "echo rebound $i; grep page_report_pass /proc/vmstat; " + goes(100)
    )
    started = ebb.start(job, "-c", 2, "--free-page-reporting")
    ebb.ended(started, 0)
    assert "rebound 9" in started.console()
    assert int(re.search(r"page_report_pass (\d+)", started.console())[1]) >= 10
    assert re.search(r"virtio\d+: shutdown", started.console())


def test_stock_warns_at_the_end(ebb):
    """The control, of the test and of what the tests look for: two seconds and more, as a stock kernel reports so often."""
    started = ebb.start(CHURN + "sleep 3; " + goes(600), "-c", 2, "--free-page-reporting", kernel=lib.STOCK_VMLINUX)
    started.wait_for(BROKEN_AT_POWEROFF, LIMIT)
    started.kill()
    ebb.guests.remove(started)  # its kernel complains, as it should


@pytest.fixture(scope="module")
def broken_kernel(tmp_path_factory):
    """A kernel whose first instruction faults, long before it could take an exception."""
    with open(lib.VMLINUX, "rb") as file:
        kernel = bytearray(file.read())
    note = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0").search(kernel)
    entry = struct.unpack_from("<I", kernel, note.end())[0]
    headers, size, count = struct.unpack_from("<Q14xHH", kernel, 32)
    for at in range(headers, headers + size * count, size):
        kind, _, offset, _, address, length = struct.unpack_from("<IIQQQQ", kernel, at)
        if kind == 1 and address <= entry < address + length:
            kernel[offset + entry - address : offset + entry - address + 2] = b"\x0f\x0b"  # ud2
    path = tmp_path_factory.mktemp("kernel") / "broken"
    path.write_bytes(kernel)
    return str(path)


@pytest.mark.arch("x86_64")
def test_triple_fault(ebb, broken_kernel):
    """A kernel that never came as far as to mean anything by it: ebb tells what happened, and where."""
    started = ebb.start(None, kernel=broken_kernel)
    ebb.ended(started, 1)
    reason, instruction, *registers = started.stderr().splitlines()
    assert reason.startswith("ebb: vCPU 0 shut down (a triple fault")
    assert instruction.startswith("ebb: instruction at 0x")
    assert registers[0].startswith("ebb: rip ") and registers[-1].startswith("ebb: cs ")


@pytest.mark.cross
@pytest.mark.parametrize("cpus", [1, 2])
def test_panic(ebb, cpus):
    started = ebb.start("echo c >/proc/sysrq-trigger; sleep 1000", "-c", cpus)
    ebb.guests.remove(started)  # it is to complain
    with started:
        ebb.ended(started, 1)
        assert "sysrq: Trigger a crash" in started.console()
        assert started.stderr() == "ebb: the guest's kernel panicked"


def test_panic_without_root(ebb):
    """Without an initramfs there is nothing to mount."""
    started = ebb.start(None, initrd=None)
    ebb.guests.remove(started)
    with started:
        ebb.ended(started, 1)
        assert "Unable to mount root fs" in started.console()
        assert started.stderr() == "ebb: the guest's kernel panicked"


# --- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal(ebb, number):
    started = ebb.start("echo ready; sleep 1000", "--free-page-reporting")
    started.wait_for("^ready$", LIMIT)
    started.process.send_signal(number)
    ebb.ended(started, 0, STOP)
    assert started.stderr() == ""


def test_ignored_signals(ebb):
    """nohup, and a job in a shell's background: what the caller ignored does not end the guest."""
    started = ebb.start("echo ready; while read line; do echo got $line; done",
                        wrapper=["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh"])
    started.wait_for("^ready$", LIMIT)
    for number in (signal.SIGHUP, signal.SIGINT):
        started.process.send_signal(number)
        started.send(f"{number.name}\n")
        started.wait_for(f"^got {number.name}", LIMIT)
    started.process.terminate()
    ebb.ended(started, 0, STOP)


def test_signal_while_all_is_busy(ebb):
    """Two CPUs that never rest, a console in use and a balloon at work."""
    spin = "(while :; do :; done) &"
    job = f"{spin} {spin} (while sleep 0.1; do echo busy; done) & hold 64M --rounds 1000 --hold 0"
    started = ebb.start(job, "-c", 2, "--free-page-reporting")
    started.wait_for("busy", LIMIT)
    started.wait_for_rss(lambda rss: rss > 100 * lib.MIB, LIMIT)
    started.process.send_signal(signal.SIGTERM)
    ebb.ended(started, 0, STOP)


def test_name_is_free_again_after_kill(ebb):
    """SIGKILL leaves a file, but the lock is gone with the process."""
    started = ebb.start("echo ready; sleep 1000", "--name", "again")
    started.wait_for("^ready$", LIMIT)
    started.kill()
    ebb.job("true", "--name", "again")


# --- the terminal ------------------------------------------------------------------------------


def shell_on_terminal(ebb, *options, **kw):
    started = ebb.start(None, *options, terminal=True, **kw)
    at = started.wait_for_screen(SHELL, LIMIT)
    return started, at


def test_shell(ebb):
    """A person at a terminal: keys, output, Ctrl-C for the guest's program, the guest's own end."""
    started, at = shell_on_terminal(ebb)
    assert started.settings() != started.cooked, "the terminal is not raw"
    started.send("echo $((6 * 7))x\r")
    at = started.wait_for_screen("\n42x\n", LIMIT, at)
    started.send("sh -c 'echo sleeps; exec sleep 1000'\r")
    at = started.wait_for_screen("\nsleeps\n", LIMIT, at)
    started.send("\x03")
    at = started.wait_for_screen(SHELL, LIMIT, at)
    started.send("uname -s; tty\r")
    at = started.wait_for_screen("\nLinux\n/dev/ttyS0\n", LIMIT, at)
    started.send("exit\r")
    ebb.ended(started, 0)
    assert started.settings() == started.cooked


def test_escape_key(ebb):
    started, at = shell_on_terminal(ebb)
    # Ctrl-A twice is one for the guest: its line editor goes to the line's start.
    started.send("cho escaped$((1 + 1))\x01\x01e\r")
    at = started.wait_for_screen("\nescaped2\n", LIMIT, at)
    started.send("\x01x")
    ebb.ended(started, 0, STOP)
    assert started.settings() == started.cooked
    assert started.stderr() == ""


def test_escape_key_helps(ebb):
    started, _ = shell_on_terminal(ebb)
    started.send("\x01h")
    started.wait_for_error("Ctrl-A x ends ebb", STOP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_terminal_after_signal(ebb, number):
    started, _ = shell_on_terminal(ebb)
    assert started.settings() != started.cooked
    started.process.send_signal(number)
    ebb.ended(started, 0, STOP)
    assert started.settings() == started.cooked


def test_terminal_after_panic(ebb):
    started, at = shell_on_terminal(ebb)
    ebb.guests.remove(started)
    with started:
        started.send("echo c >/proc/sysrq-trigger\r")
        ebb.ended(started, 1)
        assert started.settings() == started.cooked


def test_closed_terminal(ebb):
    started, _ = shell_on_terminal(ebb)
    started.hang_up()
    ebb.ended(started, 0, STOP)


def test_closed_terminal_while_printing(ebb):
    started = ebb.start("while :; do echo line; done", terminal=True)
    started.wait_for_screen("line\nline\n", LIMIT)
    started.hang_up()
    ebb.ended(started, 0, STOP)


def test_stopped_and_continued(ebb):
    """What another program does to the terminal while ebb is stopped is undone when it goes on."""
    started, at = shell_on_terminal(ebb)
    raw = started.settings()
    os.kill(started.pid, signal.SIGSTOP)
    termios.tcsetattr(started.slave, termios.TCSANOW, started.cooked)
    os.kill(started.pid, signal.SIGCONT)
    end = time.monotonic() + STOP
    while started.settings() != raw and time.monotonic() < end:
        time.sleep(0.05)
    assert started.settings() == raw
    started.send("echo on$((1))\r")
    started.wait_for_screen("\non1\n", LIMIT, at)


# --- pipes, files, nothing ---------------------------------------------------------------------


def test_stdin_null(ebb):
    started = ebb.start("echo done", popen={"stdin": subprocess.DEVNULL})
    ebb.ended(started, 0)
    assert "done" in started.console()


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(ebb, redirections):
    started = ebb.start("echo done", wrapper=["sh", "-c", f'exec "$@" {redirections}', "sh"])
    ebb.ended(started, 0)
    assert ("done" in started.console()) == (">&-" not in redirections)
    assert started.stderr() == ""


def test_script_on_stdin(ebb):
    """A pipe is the guest's keyboard, and its end is not the guest's."""
    started = ebb.start(None)
    started.send("echo first$((1))\n")
    started.process.stdin.close()
    started.wait_for("^first1", LIMIT)
    assert started.process.poll() is None
    started.process.terminate()
    ebb.ended(started, 0, STOP)


def test_much_input(ebb):
    """More than any buffer on the way holds arrives whole, though the guest takes its time."""
    text = "".join(f"{i:07}\n" for i in range(2000))
    job = f"stty raw -echo; echo ready; sleep 1; head -c {len(text)} | md5sum"
    started = ebb.start(job)
    started.wait_for("ready", LIMIT)
    started.send(text)
    started.wait_for(hashlib.md5(text.encode()).hexdigest(), LIMIT)
    ebb.ended(started, 0)


def test_reader_goes_away(ebb):
    """The guest is not its console's reader's: it goes on, and ends by itself."""
    reader, writer = os.pipe()
    started = ebb.start("for i in $(seq 500); do echo line $i; done", "--debug", "--free-page-reporting",
                        popen={"stdout": writer})
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        assert any(b"line 1" in line for line in lines)
    ebb.ended(started, 0)
    assert "failures" in started.stderr(), "it did not come to its own end"


def test_reader_does_not_read(ebb):
    """A full pipe stops the guest's output, not the way out."""
    reader, writer = os.pipe()
    size = shrink_pipe(writer)
    started = ebb.start("while :; do echo line; done", popen={"stdout": writer})
    os.close(writer)
    waiting = array.array("i", [0])
    end = time.monotonic() + LIMIT
    while waiting[0] < size and time.monotonic() < end:
        fcntl.ioctl(reader, termios.FIONREAD, waiting)
        time.sleep(0.05)
    assert waiting[0] >= size, "the pipe does not fill"
    started.process.terminate()
    ebb.ended(started, 0, STOP)
    os.close(reader)
