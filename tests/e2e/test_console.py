# SPDX-License-Identifier: Apache-2.0
"""The virtio console under Linux's driver: the terminal's size, `ebb console`, much in both directions, readers that stop, a
driver that goes and comes, a snapshot; and a guest without a console, or with a file.
"""

import fcntl
import hashlib
import os
import struct
import subprocess
import termios

import pytest
from conftest import LIMIT, lib, shrink_pipe, wait_until
from test_folder import debians
from test_snapshot import MEMORY, answer, restore

pytestmark = pytest.mark.linux

VIRTIO = ("--console", "virtio")
PROMPT = " # "  # behind a folder that busyboxes write differently
# Output that more than fills what lies between a guest and a reader that does not read.
LINES = 4000
MUCH = f"for i in $(seq {LINES}); do echo line number $i of many; done"


def resize(terminal, rows, columns):
    """The kernel sends SIGWINCH to the terminal's foreground."""
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def has_size(terminal, rows, columns, at):
    """The guest's own terminal gets this size; it is asked until it has."""
    terminal.send(f"until [ \"$(stty size)\" = '{rows} {columns}' ]; do sleep 0.1; done; echo {rows}x{columns}\r")
    return terminal.wait_for_screen(f"\n{rows}x{columns}\n", LIMIT, at)


@pytest.mark.cross
def test_shell_and_size(ebb):
    started = ebb.start(None, *VIRTIO, terminal=True)
    at = started.wait_for_screen(PROMPT, LIMIT)
    started.send("tty; cat /proc/cmdline\r")
    at = started.wait_for_screen("\n/dev/hvc0\n", LIMIT, at)
    at = started.wait_for_screen("console=hvc0 panic=-1", LIMIT, at)
    for rows, columns in (43, 132), (25, 80):
        resize(started, rows, columns)
        at = has_size(started, rows, columns, at)
    subprocess.run([lib.EBB, "debug", "--sysrq", "h"], env=ebb.env, check=True)
    started.wait_for_screen("sysrq: HELP", LIMIT, at)
    started.send("\x01x")
    ebb.ended(started, 0)
    assert started.settings() == started.cooked


def test_a_serial_console_has_no_size(ebb):
    """The control."""
    started = ebb.start(None, terminal=True)
    at = started.wait_for_screen(PROMPT, LIMIT)
    resize(started, 43, 132)
    started.send("tty; stty size; echo asked$((1))\r")
    started.wait_for_screen("\nasked1\n", LIMIT, at)
    assert "\n/dev/ttyS0\n" in started.screen and "\n43 132\n" not in started.screen
    started.send("\x01x")
    ebb.ended(started, 0)


def test_much_in_both_directions(ebb):
    text = "".join(f"{i:07}\n" for i in range(4000))
    job = f"stty raw -echo; echo ready; head -c {len(text)} | md5sum; {MUCH}"
    started = ebb.start(job, *VIRTIO)
    started.wait_for("ready", LIMIT)
    started.send(text)
    started.wait_for(hashlib.md5(text.encode()).hexdigest(), LIMIT)
    ebb.ended(started, 0)
    numbers = [line for _, line in started.lines if line.startswith("line number")]
    assert numbers == [f"line number {i} of many" for i in range(1, LINES + 1)]


def test_reader_does_not_read(ebb):
    """Linux's driver waits for the host with interrupts off: the guest goes on when output was held up for a second. The
    control is test_ends.py's, where a guest with a serial port waits for such a reader.
    """
    reader, writer = os.pipe()
    shrink_pipe(writer)
    started = ebb.start(MUCH, *VIRTIO, popen={"stdout": writer})
    os.close(writer)
    ebb.ended(started, 0)
    os.close(reader)
    assert started.stderr().count("takes nothing") == 1


def test_driver_goes_and_comes(ebb):
    driver = "cd /sys/bus/virtio/drivers/virtio_console; v=$(ls | grep ^virtio)"
    job = f"echo one >/dev/hvc0; {driver}; echo $v >unbind; ls -d virtio* 2>/dev/null; echo $v >bind; echo two >/dev/hvc0"
    # Beside it the serial port: what the guest writes there comes out, too.
    started = ebb.start(job, *VIRTIO, params="quiet console=ttyS0")
    ebb.ended(started, 0)
    lines = [line for _, line in started.lines]
    assert lines.index("one") < lines.index("two")


@pytest.mark.arch("x86_64")
def test_it_goes_on_after_a_snapshot(ebb, tmp_path):
    job = "stty -echo; echo ready; while read line; do eval $line; done"
    started = ebb.start(job, *VIRTIO, "--name", "saved", memory=MEMORY)
    started.wait_for("^ready$", LIMIT)
    assert answer(started, "n=7; echo before$n", "^before7$")
    done = subprocess.run([lib.EBB, "snapshot", "-n", "saved", tmp_path / "there"], env=ebb.env, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert answer(started, "echo again$n", "^again7$")
    started.kill()
    second = restore(ebb, tmp_path / "there", *VIRTIO)
    assert answer(second, "echo after$n", "^after7$")
    second.send("poweroff -f\n")
    assert second.wait(LIMIT) == 0


@pytest.mark.parametrize("kind", ["virtio", "serial"])
def test_attached(ebb, tmp_path, kind):
    """`ebb console` comes, brings its terminal's size, leaves; the next one sees what was before."""
    log = tmp_path / "log"
    done = subprocess.run(lib.ebb("setsid cttyhack sh -l", "--console", kind, "--detach", "--name=one", f"--log={log}"), env=ebb.env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (0, "one\n"), done.stderr
    for rows, columns in (43, 132), (25, 80):
        with lib.TerminalGuest([lib.EBB, "console", "one"], env=ebb.env) as attached:
            resize(attached, rows, columns)
            at = attached.wait_for_screen("# ", LIMIT)
            if kind == "virtio":
                has_size(attached, rows, columns, at)
            else:
                attached.send(f"echo {rows}x$(({columns}))\r")
                attached.wait_for_screen(f"\n{rows}x{columns}\n", LIMIT, at)
            attached.send("\x01x")
            assert attached.wait(LIMIT) == 0
            assert attached.settings() == attached.cooked
    stopped = subprocess.run([lib.EBB, "stop", "-n", "one", "--force"], env=ebb.env, capture_output=True, check=False)
    assert stopped.returncode == 0, stopped.stderr
    wait_until(lambda: "ebb: ended with status 0" in log.read_text(), "the log ends")
    assert "43x132" in log.read_text()


@pytest.mark.emulated
@pytest.mark.root
@pytest.mark.arch("x86_64")
def test_debians_driver(ebb, tmp_path):
    """It is a module, and older: it learns the size with the first key."""
    job = ("coldplug; exec 3<>/dev/hvc0; echo loaded >&3; read -r l <&3; "
           "until stty size <&3 | grep -q '^43 132$'; do sleep 0.1; done; echo sized $l >&3")
    machine = debians(tmp_path)
    started = ebb.start(job, *VIRTIO, terminal=True, **machine | {"params": machine["params"] + " console=ttyS0"})
    at = started.wait_for_screen("\nloaded\n", LIMIT)
    resize(started, 43, 132)
    started.send("key\r")
    started.wait_for_screen("\nsized key\n", LIMIT, at)
    ebb.ended(started, 0)


@pytest.mark.cross
def test_ports(ebb):
    """A program of the guest and one of the host, one after the other, on a port of two; and who is refused."""
    find = "for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) = second ] && d=/dev/${p##*/}; done"
    job = f"{find}; echo ready; while :; do if read -r l <$d; then echo got $l; echo back $l >$d; else sleep 0.1; fi; done"
    started = ebb.start(job, "--port", "first.0", "--port", "second", "--name", "ports")
    started.wait_for("^ready$", LIMIT)
    words = [lib.EBB, "console", "ports", "--port"]

    def exchanged(text):
        """Whether the port was free: the one before may not be gone yet."""
        with subprocess.Popen([*words, "second"], env=ebb.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            program.stdin.write(f"{text}\n".encode())
            program.stdin.flush()
            line = program.stdout.readline()
            # There is one at a time, and no other port.
            for port, why in (("second", "another program"), ("third", "--port third")) if line else ():
                refused = subprocess.run([*words, port], env=ebb.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
                assert refused.returncode == 1 and why in refused.stderr and refused.stderr.count("\n") == 1, refused
            program.kill()
        assert line in (b"", f"back {text}\n".encode())
        return line

    for text in "hello", "again":
        wait_until(lambda text=text: exchanged(text), f"an answer to {text}")
        started.wait_for(f"^got {text}$", LIMIT)
    started.kill()


def test_none_and_file(ebb, tmp_path):
    path = tmp_path / "a file"
    started = ebb.start("echo done", "--console", "none")
    ebb.ended(started, 0)
    assert started.console() == ""
    started = ebb.start("echo done", "--console", f"file={path}")
    ebb.ended(started, 0)
    assert started.console() == ""
    assert "\ndone\r\n" in path.read_bytes().decode()
    path.unlink()
