#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""supervise.py TIMEOUT CONSOLE STDIN QEMU ARGUMENTS…

Starts QEMU with the emulated host in it, carries the command's streams, and ends as the command ended.
Called by tests/host/run. TIMEOUT is in seconds (0: none), CONSOLE a file for the host's console or empty,
STDIN is 1 to pass our standard input on.

Each stream is a socket pair, one end of which QEMU holds as the back end of a virtio-serial port: 1 brings
the result, 2 is stdout, 3 stderr, 4 stdin, 5 nothing but interrupts. The result is two lines: "started", then exit status, bytes sent to
stdout, bytes sent to stderr. What was written to a port may still be under way when the result arrives, so a stream has
ended when that many bytes came through it. Nothing is kept in files: when this process dies, everything is gone.
"""

import collections
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

FAILED = 125  # the tool failed, not the command (as env, docker and others have it)
TIMED_OUT = 124  # as timeout(1) has it
CHUNK = 1 << 16


class Stopped(Exception):
    """A signal told us to stop."""


class Stream(threading.Thread):
    """Copies from a socket to a file descriptor, and counts."""

    def __init__(self, name, fd, kill):
        super().__init__(daemon=True)
        self.ours, self.qemus = socket.socketpair()
        self.name, self.fd, self.kill = name, fd, kill
        self.changed = threading.Condition()
        self.count, self.error = 0, None

    def run(self):
        while data := self.ours.recv(CHUNK):
            try:
                self.write(data)
            except OSError as e:
                self.error = e
                self.kill()
                return
            with self.changed:
                self.count += len(data)
                self.changed.notify()

    def write(self, data):
        while data:
            try:
                data = data[os.write(self.fd, data):]
            except BlockingIOError:  # whoever gave us this descriptor made it so
                time.sleep(0.01)

    def wait_for(self, count, still_alive):
        with self.changed:
            while self.count < count and self.error is None and still_alive():
                self.changed.wait(0.2)


class Console(threading.Thread):
    """Keeps the end of what the host's kernel says, in case it dies."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.ours, self.qemus = socket.socketpair()
        self.file = open(path, "wb", buffering=0) if path else None
        self.tail = collections.deque(maxlen=80)

    def run(self):
        with self.ours.makefile("rb") as lines:
            for line in lines:
                self.tail.append(line.rstrip().decode(errors="replace"))
                if self.file:
                    self.file.write(line)


def feed(sock):
    """Copies our stdin to the port, then ends it: that is the end of file over there.

    Not by close(): QEMU would see the hang-up before it has read everything, and drop the rest.
    """
    try:
        while data := os.read(0, CHUNK):
            sock.sendall(data)
    except OSError as e:
        if e.errno not in (errno.EPIPE, errno.ECONNRESET):
            say(f"cannot read stdin: {e.strerror}")
    sock.shutdown(socket.SHUT_WR)


def say(text):
    print(f"tests/host/run: {text}", file=sys.stderr, flush=True)


def port(number, sock):
    return ["-chardev", f"socket,id=p{number},fd={sock.fileno()}",
            "-device", f"virtserialport,bus=ports.0,nr={number},chardev=p{number},name=ebb.{number}"]


def beat(sock):
    """Sends a byte every second, so that the host's CPU is never without an interrupt for longer.

    Hosts were seen asleep for ever: QEMU idle, its CPU halted, though programs in it slept for a fraction of a
    second only. A timer that got lost is made up for by the next interrupt.
    """
    try:
        while True:
            sock.sendall(b".")
            time.sleep(1)
    except OSError:
        pass  # the host has ended


def ask_where_it_is(monitor):
    """Has a host that came to no end say on its console where it was: an NMI, at which it panics."""
    try:
        monitor.settimeout(10)
        monitor.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "inject-nmi"}\n')
        while data := monitor.recv(CHUNK):  # until QEMU has ended
            if b'"error"' in data:  # only an x86_64 machine has an NMI
                break
    except OSError:
        pass


def stop(number, _frame):
    raise Stopped(number)


class Result:
    """What comes through the result port."""

    def __init__(self):
        self.ours, self.qemus = socket.socketpair()
        self.lines = [""]  # the last one is not complete

    def read(self, deadline):
        """Returns the three numbers, or None if the host died before that."""
        while len(self.lines) < 3:
            if deadline:
                self.ours.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.ours.recv(CHUNK)
            if not data:
                return None
            self.lines = ("\n".join(self.lines) + data.decode()).split("\n")
        return [int(number) for number in self.lines[1].split()]

    def progress(self):
        return "the command had begun" if len(self.lines) > 1 else "the command had not begun"


def main():
    timeout, console_path, want_stdin = float(sys.argv[1]), sys.argv[2], sys.argv[3] == "1"
    deadline = time.monotonic() + timeout if timeout else None
    qemu = None

    def kill():
        if qemu:
            qemu.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, stop)
    # 9p holds a descriptor for every file in use.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    result = Result()
    feeder, qemus_feeder = socket.socketpair()
    heart, qemus_heart = socket.socketpair()
    out, err = Stream("stdout", 1, kill), Stream("stderr", 2, kill)
    console = Console(console_path)
    monitor, qemus_monitor = socket.socketpair()
    ports = [result.qemus, out.qemus, err.qemus, qemus_feeder, qemus_heart]
    passed = [*ports, console.qemus, qemus_monitor]
    args = sys.argv[4:] + ["-chardev", f"socket,id=console,fd={console.qemus.fileno()}", "-serial", "chardev:console",
                           "-chardev", f"socket,id=monitor,fd={qemus_monitor.fileno()}", "-qmp", "chardev:monitor",
                           "-device", "virtio-serial-pci,id=ports"]
    for number, sock in enumerate(ports, 1):
        args += port(number, sock)
    for sock in passed:
        sock.set_inheritable(True)

    try:
        # A group of its own: Ctrl-C reaches us alone. setpriv: it must not outlive us, however we end.
        qemu = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + args, close_fds=False,
                                stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)
        for sock in passed:
            sock.close()
        for thread in (out, err, console):
            thread.start()
        if want_stdin:
            threading.Thread(target=feed, args=(feeder,), daemon=True).start()

        if "-icount" not in args:  # there everything is to be as it was the last time
            threading.Thread(target=beat, args=(heart,), daemon=True).start()

        numbers = result.read(deadline)
        if numbers:
            status, out_bytes, err_bytes = numbers
            for stream, count in ((out, out_bytes), (err, err_bytes)):
                stream.wait_for(count, lambda: qemu.poll() is None)
            if out.count == out_bytes and err.count == err_bytes:
                return status
        broken = next((s for s in (out, err) if s.error), None)
        if broken:
            if broken.error.errno == errno.EPIPE:
                return 128 + signal.SIGPIPE
            say(f"cannot write to {broken.name}: {broken.error.strerror}")
            return FAILED
        qemu.wait()
        console.join(10)
        for text in console.tail:
            print("  host: " + text, file=sys.stderr)
        say(f"the emulated host died, {result.progress()}"
            + (", the end of its console is above" if console.tail else f" (QEMU's status {qemu.returncode})"))
        return FAILED
    except socket.timeout:
        ask_where_it_is(monitor)
        kill()
        console.join(10)
        for text in console.tail:
            print("  host: " + text, file=sys.stderr)
        say(f"stopped after {timeout:g} s, {result.progress()}")
        return TIMED_OUT
    except Stopped as e:
        return 128 + e.args[0]
    finally:
        kill()
        if qemu:
            qemu.wait()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the threads may be blocked in a write or read that never ends
