# SPDX-License-Identifier: Apache-2.0
"""A guest's ebb as its control socket shows it (vmm/control/README.md), in a thread of this process."""

import copy
import fcntl
import json
import os
import socket
import threading
import time

MIB = 1 << 20
GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "a fake"}, "capabilities": []}}

STAT = {
    "name": "ci", "pid": os.getpid(), "status": "running", "sandbox": "on", "cgroup": "/sys/fs/cgroup/guests",
    "uptime": 12.5, "cpus": 2, "weight": 100,
    "memory": {"size": 1024 * MIB, "backing": "anon", "page-size": 4096, "discard": "dontneed",
               "rss": 123 * MIB + MIB // 2, "pss": 122 * MIB, "huge": 100 * MIB,
               "own": 120 * MIB, "lazy-free": 7 * MIB, "swap": 1 * MIB, "locked": 0, "inhibits": 0, "zeroed": 0},
    "balloon": {"target": 64 * MIB, "leased": 0, "actual": 64 * MIB, "state": "reached", "deflate-on-oom": False,
                "deflates": False, "inflated": 80 * MIB, "deflated": 16 * MIB, "discarded": 79 * MIB, "failures": 3},
    "reporting": {"enabled": True, "negotiated": True, "poison": False, "reports": 7, "blocks": 70, "bytes": 140 * MIB,
                  "ranges": 9, "failures": 1, "held-back": 2 * MIB},
    "reclaim": {"negotiated": True, "requests": 5, "answered": 3, "timeouts": 1},
    "guest-stats": {"updates": 4, "last-update": 1700000000,
                    "stats": {"stat-free-memory": 500 * MIB, "stat-total-memory": 900 * MIB, "stat-swap-in": 4096,
                              "stat-major-faults": 12, "stat-ebb-passes": 8, "stat-ebb-pages-drained": 77,
                              "stat-ebb-stall-some": 1234567, "stat-ebb-file-10min": 60 * MIB}},
    "disks": [{"disk": "disk0", "file": "/images/ci.img", "size": 4096 * MIB, "allocated": 700 * MIB, "read-only": False,
               "reads": 11, "read-bytes": 3 * MIB, "writes": 13, "written-bytes": 5 * MIB, "flushes": 17, "discards": 19,
               "discarded-bytes": 7 * MIB, "ignored-bytes": 1 * MIB, "zeroings": 23, "zeroed-bytes": 9 * MIB, "errors": 29,
               "refused": 31},
              {"disk": "disk1", "file": "/" + "x" * 1000, "size": MIB, "read-only": True, "reads": 2}],
    "pmem": [{"pmem": "pmem0", "file": "/images/base.img", "size": 2048 * MIB, "read-only": True, "rss": 600 * MIB, "pss": 60 * MIB,
              "copied": 6 * MIB, "flushes": 61, "errors": 67, "refused": 71}],
    "networks": [{"network": "net0", "mode": "user", "mac": "02:01:02:03:04:05", "up": True, "vhost": False, "pairs": 3,
                  "received": 37, "received-bytes": 2 * MIB, "received-dropped": 41, "sent": 43, "sent-bytes": 4 * MIB, "sent-dropped": 47,
                  "refused": 53}],
}

RECLAIM = {"status": "done", "elapsed": 0.128, "rss-before": 558 * MIB, "rss-after": 46 * MIB,
           "guest": {"drained": 3 * MIB, "cache": 64 * MIB, "compacted": 0, "reported": 520 * MIB, "free": 700 * MIB,
                     "elapsed": 0.12}}


class Refusal(Exception):
    """QMP's error; the text is its description."""

    def __init__(self, text, error_class="GenericError"):
        super().__init__(text)
        self.error_class = error_class


class Silence(Exception):
    """No answer at all."""


class Fake:
    """`stat` is what it says; `hooks` replace a command: hook(arguments) returns what "return" holds, raw bytes, or
    raises. `limit` hangs up after so many bytes. `asked` lists the commands that came, with their arguments."""

    def __init__(self, runtime, name="ci", serve=True, **stat):
        self.name = name
        self.path = os.path.join(runtime, name)
        self.stat = copy.deepcopy(STAT) | {"name": name} | stat
        self.hooks = {}
        self.asked = []
        self.limit = None
        self.greeting = json.dumps(GREETING).encode() + b"\r\n"
        self.fresh = True  # statistics come when they are asked for
        self.speed = None  # bytes that the balloon moves each time that it is looked at; None: all
        self.ended = threading.Event()
        self.lock = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.ftruncate(self.lock, 0)
        os.write(self.lock, b"%d\n" % self.stat["pid"])
        self.connections = []
        self.listener = None
        if serve:
            self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path + ".sock")
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    # --- an end ---------------------------------------------------------------------------------

    def end(self, leave=False):
        """As if its process ended: with `leave`, killed, so that its files stay."""
        if self.ended.is_set():
            return
        self.ended.set()
        if not leave:
            for suffix in (".sock", ".lock"):
                try:
                    os.unlink(self.path + suffix)
                except FileNotFoundError:
                    pass
        if self.listener:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        os.close(self.lock)

    # --- the wire -------------------------------------------------------------------------------

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        sent = 0
        with connection:
            try:
                for data in self._talk(connection):
                    if self.limit is not None:
                        data = data[: self.limit - sent]
                    connection.sendall(data)
                    sent += len(data)
                    if self.limit is not None and sent >= self.limit:
                        return
            except (OSError, ValueError):
                return

    def _talk(self, connection):
        yield self.greeting
        for line in connection.makefile("rb"):
            message = json.loads(line)
            command = message["execute"]
            arguments = message.get("arguments", {})
            if command != "qmp_capabilities":
                self.asked.append((command, arguments))
            try:
                answer = self.answer(command, arguments)
            except Refusal as refusal:
                answer = {"error": {"class": refusal.error_class, "desc": str(refusal)}}
            except Silence:
                self.ended.wait()
                return
            else:
                answer = answer if isinstance(answer, bytes) else {"return": answer}
            if isinstance(answer, dict):
                if "id" in message:
                    answer["id"] = message["id"]
                answer = json.dumps(answer).encode() + b"\r\n"
            yield answer
            if self.ended.is_set():
                return

    def event(self, name, **data):
        event = {"event": name, "data": data, "timestamp": {"seconds": int(time.time()), "microseconds": 0}}
        for connection in self.connections:
            connection.sendall(json.dumps(event).encode() + b"\r\n")

    # --- the commands ---------------------------------------------------------------------------

    def answer(self, command, arguments):
        hook = self.hooks.get(command)
        if hook:
            return hook(arguments)
        method = getattr(self, "do_" + command.replace("-", "_"), None)
        if not method:
            raise Refusal(f"The command {command} has not been found")
        return method(arguments)

    def do_qmp_capabilities(self, _arguments):
        return {}

    def do_query_status(self, _arguments):
        return {"status": self.stat["status"], "running": self.stat["status"] == "running"}

    def do_stop(self, _arguments):
        self.stat["status"] = "paused"
        return {}

    def do_cont(self, _arguments):
        self.stat["status"] = "running"
        return {}

    def do_x_ebb_stat(self, _arguments):
        balloon = self.stat.get("balloon")
        if isinstance(balloon, dict) and isinstance(balloon.get("target"), int) and balloon["state"] == "moving":
            way = balloon["target"] - balloon["actual"]
            step = way if self.speed is None else max(-self.speed, min(self.speed, way))
            balloon["actual"] += step
            balloon["state"] = "reached" if step == way else "moving"
        return self.stat

    def do_x_ebb_stats_request(self, _arguments):
        updates = self.stat["guest-stats"]["updates"]
        if self.fresh:
            self.stat["guest-stats"]["updates"] = updates + 1
        return {"updates": updates}

    def do_balloon(self, arguments):
        balloon = self.stat["balloon"]
        balloon["target"] = self.stat["memory"]["size"] - arguments["value"]
        if balloon["state"] == "reached":
            balloon["state"] = "moving"
        return {}

    def do_x_ebb_balloon(self, arguments):
        balloon = self.stat["balloon"]
        own = balloon["target"] - balloon["leased"]
        balloon |= {"leased": arguments["extra"], "target": own + arguments["extra"], "actual": own + arguments["extra"]}
        return {"target": balloon["target"], "leased": balloon["leased"]}

    def do_x_ebb_reclaim(self, _arguments):
        return copy.deepcopy(RECLAIM)

    def do_system_powerdown(self, _arguments):
        if self.stat["status"] != "running":
            return {}
        threading.Timer(0.1, self.end).start()
        return {}

    def do_quit(self, _arguments):
        self.end()
        return {}

    def do_x_ebb_registers(self, _arguments):
        return {"cpus": [{"cpu-index": 0, "text": "rip 1\n\trsp 2\x1b[31m"}, {"cpu-index": 1, "text": "rip 3"}]}

    def do_x_ebb_sysrq(self, _arguments):
        return {}

    def do_inject_nmi(self, _arguments):
        return {}
