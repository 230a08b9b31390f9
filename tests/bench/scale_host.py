#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/scale, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["point", N, {NAME: VALUE}]  with N idle guests; bytes, seconds and counts, for each guest where the name says so;
                                 "start" is the last guest's

Everything that is opened or started lies in memory and was read once before.
"""

import os
import re
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot_host  # noqa: E402
import measuring  # noqa: E402
from measuring import KERNEL_FIELDS, LIMIT, MIB, RUNTIME, SETTLE, guest, meminfo, rollup, say  # noqa: E402

HERE = "/tmp/bench-scale"
boot_host.LIMIT = LIMIT  # the host's clock may leap
GUEST_MIB = 64
WINDOW = 30.0
REPEATS = 5
COMMAND = 'quiet reboot=t ebb.cmd="echo sits; read end"'


def argv_of(vmm, state, number):
    name = f"g{number:03}"
    if vmm == "ebb":
        return ["/ebb", "run", "-k", "/kernel", "-i", "/initramfs", "-m", f"{GUEST_MIB}M", "-c", "1", "-n", "none", "--name", name,
                f"--free-page-reporting={state}", "-p", COMMAND]
    # As in boot_host.py, and a control socket, which ebb has.
    return ["/qemu", "-M", boot_host.MICROVM, "-enable-kvm", "-cpu", "host", "-m", str(GUEST_MIB), "-smp", "1",
            "-nographic", "-nodefaults", "-no-user-config", "-no-reboot", "-L", "/firmware", "-serial", "stdio",
            "-name", f"{name},debug-threads=on", "-device", f"virtio-balloon-device,free-page-reporting={state}",
            "-qmp", f"unix:{RUNTIME}/{name}.sock,server=on,wait=off",
            "-kernel", "/kernel", "-initrd", "/initramfs", "-append", "console=ttyS0 panic=-1 " + COMMAND]


# --- Memory -------------------------------------------------------------------------------------------------------

def ram_of(pid):
    """Bytes of guest RAM that the host holds."""
    rss, inside = 0, False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as smaps:
        for line in smaps:
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if span:
                inside = int(span[2], 16) - int(span[1], 16) == GUEST_MIB * MIB
            elif inside and line.startswith("Rss:"):
                rss += int(line.split()[1]) * 1024
    return rss


def memory(processes, before):
    now, count = meminfo(), len(processes)
    found = {"each free": (before["MemFree"] - now["MemFree"]) / count,
             "each ram": statistics.mean(ram_of(process.pid) for process in processes),
             "each own": statistics.mean(boot_host.own_memory(process.pid, GUEST_MIB * MIB) for process in processes),
             "each pss": statistics.mean(rollup(process.pid, "Pss") for process in processes)}
    found.update({"each " + name: (now[name] - before[name]) / count for name in KERNEL_FIELDS})
    return found


# --- What idle guests do ------------------------------------------------------------------------------------------


def ran_of(pid):
    """Seconds on a CPU, and how often it was given one: all threads of a process, and those that are no virtual CPU."""
    ran, times, others = 0, 0, 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            fields = file.read().split()
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
            is_cpu = file.read().startswith(("vcpu", "CPU "))
        ran, times = ran + int(fields[0]) / 1e9, times + int(fields[2])
        others += 0 if is_cpu else int(fields[2])
    return ran, times, others


def exits():
    """Exits of all guests: KVM counts them for each and for all together."""
    with open("/sys/kernel/debug/kvm/exits", encoding="ascii") as file:
        return int(file.read())


def idle(processes):
    """What guests do while they have nothing to do."""
    before, left = [ran_of(process.pid) for process in processes], exits()
    time.sleep(WINDOW)
    after, now = [ran_of(process.pid) for process in processes], exits()
    count = len(processes)
    ran, times, others = (sum(b[i] - a[i] for a, b in zip(before, after)) / WINDOW / count for i in range(3))
    return {"each idle cpu": ran, "each idle wakeups": times, "each idle others": others,
            "each idle exits": (now - left) / WINDOW / count}


# --- Being asked --------------------------------------------------------------------------------------------------


def timed(what):
    """The median of some runs after a first."""
    what()
    seconds = []
    for _ in range(REPEATS):
        start = time.monotonic()
        what()
        seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def ask_once(path):
    connection = measuring.Qmp(path)
    connection.run("query-status")
    connection.close()


def command(*words):
    """Runs ebb as a shell would; what it prints goes nowhere."""
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
    status = os.waitpid(os.posix_spawn("/ebb", ["/ebb", *words], os.environ, file_actions=null), 0)[1]
    if status:
        raise guest.GuestError(f"ebb {' '.join(words)}: status {status}")


def asked(vmm, count):
    first, last = f"{RUNTIME}/g001.sock", f"{RUNTIME}/g{count:03}.sock"
    connection = measuring.Qmp(last)
    found = {"qmp": timed(lambda: connection.run("query-status"))}
    connection.close()
    found["qmp connect"] = timed(lambda: ask_once(first))
    if vmm == "ebb":
        name = f"g{count:03}"
        connection = measuring.Qmp(last)
        found["qmp stat"] = timed(lambda: connection.run("x-ebb-stat"))
        connection.close()
        found["version"] = timed(lambda: command("version"))
        found["stat one"] = timed(lambda: command("stat", "-n", name, "--no-refresh"))
        found["stat one fresh"] = timed(lambda: command("stat", "-n", name))
        found["list"] = timed(lambda: command("list"))
        found["stat all"] = timed(lambda: command("stat", "-a", "--no-refresh"))
        found["stat all fresh"] = timed(lambda: command("stat", "-a"))
    return found


# --- Being watched ------------------------------------------------------------------------------------------------


def watched(processes, idle_cpu):
    """What `ebb top` costs that shows them once a second: itself, and the guests with their ebb beyond what they use when
    nobody asks."""
    time.sleep(SETTLE)  # what they were asked before is over
    with subprocess.Popen(["/ebb", "top", "--batch", "--interval", "1"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as top:
        try:
            time.sleep(3)  # its start, and frames that find everything
            before = [ran_of(process.pid)[0] for process in (top, *processes)]
            time.sleep(WINDOW)
            after = [ran_of(process.pid)[0] for process in (top, *processes)]
        finally:
            top.kill()  # it has nothing to tidy up, and would never end by itself
    own, *others = ((b - a) / WINDOW for a, b in zip(before, after))
    return {"top cpu": own, "top others cpu": sum(others) - idle_cpu * len(processes)}


# --- Main ---------------------------------------------------------------------------------------------------------


def start(vmm, state, number):
    process = boot_host.Process(argv_of(vmm, state, number))
    seconds = process.wait_for(boot_host.INIT)
    process.wait_for(boot_host.SITS)
    return process, seconds


def measure(args):
    process, _ = start(args.vmm, args.state, 0)  # reads everything once
    if args.vmm == "ebb":
        command("list")
    process.end()
    time.sleep(SETTLE)
    before = meminfo()
    processes = []
    for point in args.points:
        while len(processes) < point:
            process, seconds = start(args.vmm, args.state, len(processes) + 1)
            processes.append(process)
        time.sleep(SETTLE)
        # What is asked makes guests work: the idle window comes first.
        found = idle(processes) | memory(processes, before) | asked(args.vmm, point)
        if args.vmm == "ebb":
            found |= watched(processes, found["each idle cpu"])
        say("point", point, found | {"start": seconds})
        time.sleep(1)  # what was said is outside by then
    for process in processes:
        process.end()


def main():
    return measuring.main_at_points("bench-scale", HERE, {"vmm": ("ebb", "qemu"), "state": ("off", "on")}, measure)


if __name__ == "__main__":
    sys.exit(main())
