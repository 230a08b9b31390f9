#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: tests/overcommit/host.py VARIANT [--group|--counted]     (called by ebb-overcommit, where KVM is)

Runs one variant of the scenario that EBB_OVERCOMMIT holds (JSON), and tells all on standard output, a JSON list a line:

    ["host", {TEXT}]                    what this host is
    ["sample", SECONDS, {host}, {guest: {figures}}]
    ["mark", SECONDS, GUEST, TEXT]      a guest starts, its job begins, reaches a phase, ends; a guest ends
    ["asked", {"times", "late", "failed", "why"}]     what guests answered that were asked for memory
    ["keeper", SECONDS, LINE]           a line of the keeper's log
    ["kept", {"requests", "came", "lent", "status"}]    what guests were asked for by the keeper, what came, and how it ended
    ["end", SECONDS, {guest: outcome}]

Seconds are since the scenario's start. --group: in a cgroup that has the scenario's memory, not on a host that has.
--counted: on a host that counts instructions, whose clock leaps when it reads a file of the machine outside, or writes to
it. All that is read lies in memory, and was read once before; all is told at the end.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import asking  # noqa: E402
import guests  # noqa: E402
import keeping  # noqa: E402
import sampler  # noqa: E402
import scenario as scenarios  # noqa: E402

# No power button is waited for longer: all that counts was seen before.
STOP = 5


WARM = 120.0  # seconds for the guest that only has everything read


class Teller:
    """Tells it: at once, or at the end."""

    def __init__(self, later):
        self.later, self.lines = later, []

    def say(self, *what):
        if self.later:
            self.lines.append(json.dumps(what))
        else:
            print(json.dumps(what), flush=True)

    def end(self):
        for line in self.lines:
            print(line)
        sys.stdout.flush()


def stop(number, _frame):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def swap_on(size):
    """Compressed swap in the emulated host's own memory, as many hosts have it."""
    with open("/sys/block/zram0/disksize", "w", encoding="ascii") as file:
        file.write(str(size))
    for command in ("mkswap", "swapon"):
        subprocess.run(["busybox", command, "/dev/zram0"], stdout=subprocess.DEVNULL, check=True)


class Run:
    """One variant, from the first guest's start until the last job's memory has had time to come back."""

    def __init__(self, scenario, variant, host, folder, say):
        self.scenario, self.host, self.say = scenario, host, say
        self.machines = [guests.machine(spec, variant, folder) for spec in scenario.guests]
        self.asker = asking.Asker(folder, scenario.ask) if variant == "asked" else None
        self.keeper = keeping.Keeper(folder) if variant in scenarios.KEPT else None
        for machine in self.machines:
            machine.prepare()
        self.told = set()  # marks that were said
        self.zero = time.monotonic()

    def now(self):
        return time.monotonic() - self.zero

    def mark(self, machine, name, when):
        mark = (round(when, 3), machine.spec.name, name)
        if mark not in self.told:
            self.told.add(mark)
            self.say("mark", *mark)

    def due(self, machine, before):
        """When it is to start; None: that is not known yet."""
        if not machine.spec.in_turn:
            return machine.spec.start
        return None if before.over is None else before.over + machine.spec.start

    def start_due(self):
        before = None
        for machine in self.machines:
            due = self.due(machine, before)
            if machine.vm is None and due is not None and self.now() >= due:
                machine.start()
                self.mark(machine, "starts", self.now())
            before = machine

    def look(self):
        """Reads what the guests and the keeper said, and tells it."""
        for line in self.keeper.lines() if self.keeper else ():
            self.say("keeper", round(self.now(), 3), line)
        for machine in self.machines:
            if machine.vm is None:
                continue
            started = machine.vm.started - self.zero
            machine.read_console()
            if "init" in machine.marks:
                self.mark(machine, "begins", started + machine.marks["init"])
            for when, phase in machine.phases:
                self.mark(machine, f"phase {phase}", started + when)
            if "end" in machine.marks:
                when = started + machine.marks["end"]
                machine.late = machine.late or machine.marks["end"] > machine.spec.timeout
                self.over(machine, when, "done" if machine.status == 0 else f"status {machine.status}")
            elif not machine.alive:
                self.over(machine, self.now(), "died")
            elif self.now() > started + machine.spec.timeout:
                machine.late = True
                self.over(machine, self.now(), "late")

    def over(self, machine, when, how):
        """Its job has come to an end, be it a bad one."""
        if machine.over is None:
            machine.over = when
            self.mark(machine, how, when)

    def sample(self):
        when, host = self.now(), self.host.sample()
        rows = {machine.spec.name: machine.sample() for machine in self.machines if machine.alive}
        self.say("sample", round(when, 3), host, rows)

    def go(self):
        tick, end = 0.0, None
        while end is None or self.now() < end:
            self.start_due()
            self.look()
            if self.asker:
                self.asker.ask([machine for machine in self.machines if machine.alive and "init" in machine.marks])
            self.sample()
            if end is None and all(machine.over is not None for machine in self.machines):
                end = self.now() + self.scenario.settle
            # A sample that took long moves the next ones: it must not be followed by a heap of them.
            tick = max(tick + self.scenario.interval, self.now())
            time.sleep(max(tick - self.now(), 0))
        outcome = {machine.spec.name: {
            "alive": machine.alive, "status": machine.status, "said": machine.said, "late": machine.late,
            "time": machine.job_time, "console": [text for _, text in machine.vm.lines[-12:]],
            "errors": machine.vm.stderr()[-400:]} for machine in self.machines}
        if self.asker:
            self.say("asked", self.asker.end())
        if self.keeper:
            self.say("kept", self.keeper.end())
        self.say("end", round(self.now(), 3), outcome)

    def warm(self, folder, variant):
        """A guest that does nothing has all that guests are made of read."""
        spec = dataclasses.replace(self.machines[0].spec, name="warm", job="true")
        machine = guests.machine(spec, variant, folder)
        machine.prepare()
        machine.start()
        try:
            machine.vm.wait_for("^ebb-job: exit=0", WARM)
            machine.sample()
        finally:
            machine.kill()
        if self.keeper:
            self.keeper.lines()  # of that guest
        self.zero = time.monotonic()

    def close(self):
        if self.keeper:
            self.keeper.kill()
        for machine in self.machines:
            if machine.alive:
                machine.stop(STOP)
            machine.kill()


def limited(scenario, in_group):
    """The host that samples are of. Returns (it, its cgroup or None, a note for the report)."""
    if in_group:
        path, why = sampler.make_group(f"ebb-overcommit-{os.getpid()}", scenario.memory, scenario.swap)
        note = "" if path else f"no cgroup could be made ({why}): the guests have all of this machine's memory"
        return sampler.Group(path, scenario.memory) if path else sampler.Whole(), path, note
    if scenario.swap:
        swap_on(scenario.swap)
    return sampler.Whole(), None, ""


def main():
    variant, counted = sys.argv[1], "--counted" in sys.argv
    scenario = scenarios.from_dict(json.loads(os.environ.pop("EBB_OVERCOMMIT")))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    own = sampler.own_group()
    host, path, note = limited(scenario, "--group" in sys.argv)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-1000")
    except OSError:
        pass
    teller = Teller(counted)
    teller.say("host", {"kernel": os.uname().release, "kind": host.kind, "note": note})
    folder = tempfile.mkdtemp(prefix="ebb-overcommit.")
    if counted:
        guests.into_memory(folder, scenario)
    run = Run(scenario, variant, host, folder, teller.say)
    try:
        if counted:
            run.warm(folder, variant)
        run.go()
    finally:
        run.close()
        teller.end()
        shutil.rmtree(folder, ignore_errors=True)
        if path:
            sampler.leave_group(path, own)
    return 0


if __name__ == "__main__":
    sys.exit(main())
