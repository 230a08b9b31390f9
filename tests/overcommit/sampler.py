# SPDX-License-Identifier: Apache-2.0
"""What the host says of its memory: of the whole machine, or of the cgroup that stands for it.

Sampling has to be cheap, since on an emulated host it takes the processor from the guests: no process is started,
files are kept open and read again.
"""

import os

CGROUP = "/sys/fs/cgroup"


class File:
    """A file of /proc or of a cgroup, read again and again."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def text(self):
        return os.pread(self.fd, 1 << 16, 0).decode("ascii")

    def numbers(self):
        """{name: number} of lines of a name and a number, whatever comes behind."""
        pairs = (line.split() for line in self.text().splitlines())
        return {words[0].rstrip(":"): int(words[1]) for words in pairs if len(words) > 1 and words[1].isdigit()}


def stall_seconds(text):
    """A pressure file's (some, full): seconds in which some, or all, tasks waited for memory, since the start."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words:
            found[words[0]] = int(words[-1].removeprefix("total=")) / 1e6
    return found.get("some", 0.0), found.get("full", 0.0)


class Whole:
    """The machine's own memory."""

    kind = "the whole host"

    def __init__(self):
        self.meminfo, self.vmstat = File("/proc/meminfo"), File("/proc/vmstat")
        try:
            self.pressure = File("/proc/pressure/memory")
            self.pressure.text()
        except OSError:  # a kernel without PSI, or with it switched off
            self.pressure = None

    def sample(self):
        info, stat = self.meminfo.numbers(), self.vmstat.numbers()
        row = {"total": info["MemTotal"] * 1024, "free": info["MemFree"] * 1024,
               "available": info["MemAvailable"] * 1024, "swap": (info["SwapTotal"] - info["SwapFree"]) * 1024,
               "swap_ins": stat.get("pswpin", 0), "swap_outs": stat.get("pswpout", 0),
               "oom_kills": stat.get("oom_kill", 0)}
        if self.pressure:
            row["psi_some"], row["psi_full"] = stall_seconds(self.pressure.text())
        return row


class Group:
    """A cgroup with memory.max: what it leaves is what is free."""

    kind = "a cgroup"

    def __init__(self, path, memory):
        self.memory = memory
        self.files = {name: File(os.path.join(path, f"memory.{name}")) for name in ("current", "stat", "events",
                                                                                       "pressure")}
        try:
            self.swap = File(os.path.join(path, "memory.swap.current"))
        except OSError:
            self.swap = None

    def sample(self):
        used, stat = int(self.files["current"].text()), self.files["stat"].numbers()
        free = max(self.memory - used, 0)
        some, full = stall_seconds(self.files["pressure"].text())
        return {"total": self.memory, "free": free, "available": free + stat["inactive_file"] + stat["active_file"],
                "swap": int(self.swap.text()) if self.swap else 0, "swap_ins": stat.get("workingset_refault_anon", 0),
                "swap_outs": stat.get("pswpout", 0), "oom_kills": self.files["events"].numbers()["oom_kill"],
                "psi_some": some, "psi_full": full}


def own_group():
    """The path of the cgroup that we are in, below CGROUP; None without cgroups of version 2."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        return next((line[3:].strip() for line in file if line.startswith("0::")), None)


def controllers(folder):
    with open(os.path.join(folder, "cgroup.subtree_control"), encoding="ascii") as file:
        return file.read().split()


def make_group_in(parent, name, memory, swap):
    """Makes it there and moves us into it. Returns its path."""
    if "memory" not in controllers(parent) and parent == CGROUP:
        write(os.path.join(parent, "cgroup.subtree_control"), "+memory")
    path = os.path.join(parent, name)
    os.mkdir(path)
    try:
        write(os.path.join(path, "memory.max"), str(memory))
        if os.path.exists(os.path.join(path, "memory.swap.max")):
            write(os.path.join(path, "memory.swap.max"), str(swap))
        write(os.path.join(path, "cgroup.procs"), str(os.getpid()))
    except OSError:
        os.rmdir(path)
        raise
    return path


def make_group(name, memory, swap):
    """
    A cgroup with these limits, which we move into: beside our own, where that is allowed, or at the top. Nobody else's
    processes are moved. Returns (its path, None), or (None, why there is none).
    """
    own = own_group()
    if own is None:
        return None, "this machine has no cgroups of version 2"
    why = None
    for parent in dict.fromkeys([CGROUP, os.path.dirname(os.path.join(CGROUP, own.lstrip("/"))).rstrip("/")]):
        if not parent.startswith(CGROUP):
            continue  # our own is the top
        try:
            return make_group_in(parent, name, memory, swap), None
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
    return None, why


def leave_group(path, own):
    """Back to where we were; the group goes."""
    try:
        write(os.path.join(CGROUP, own.lstrip("/"), "cgroup.procs"), str(os.getpid()))
        os.rmdir(path)
    except OSError:
        pass  # it is empty when we are gone, and holds nothing


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
