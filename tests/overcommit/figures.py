# SPDX-License-Identifier: Apache-2.0
"""From samples to figures: what a variant held, for how long, and beyond what its guests used. Pure.

  used      of a guest: its RAM without the balloon, less its MemFree: what the guest says is not free. Page cache is in
            it ("caches" tells how much). While a guest has told nothing yet, what the host holds counts as used.
  held      guest RAM in the host's memory. Under MADV_FREE, what the host takes when it wants it is "lazy" instead.
  footprint held and swapped out: what the host has to keep somewhere.
  excess    footprint - used
"""

import dataclasses

MIB, GIB = 1 << 20, 1 << 30
# Of the end: what is averaged as "after clean-up", in seconds.
TAIL = 3.0


class RunError(Exception):
    """A variant's run did not get to its end; the text says why."""


@dataclasses.dataclass
class Record:
    """What host.py told of one variant."""

    variant: str
    about: dict = dataclasses.field(default_factory=dict)
    samples: list = dataclasses.field(default_factory=list)  # (seconds, {host}, {guest: figures})
    marks: list = dataclasses.field(default_factory=list)  # (seconds, guest, text)
    outcome: dict = dataclasses.field(default_factory=dict)  # {guest: outcome}
    ended: float = 0.0
    asked: dict = dataclasses.field(default_factory=dict)  # how often guests were asked for memory, and what came of it
    kept: dict = dataclasses.field(default_factory=dict)  # the same of the keeper, and how that ended
    keeper: list = dataclasses.field(default_factory=list)  # its log: (seconds, line)

    def take(self, event):
        kind, *rest = event
        if kind == "host":
            self.about = rest[0]
        elif kind == "sample":
            self.samples.append((rest[0], rest[1], carried(rest[2], self.samples[-1][2] if self.samples else {})))
        elif kind == "mark":
            self.marks.append(tuple(rest))
        elif kind == "asked":
            self.asked = rest[0]
        elif kind == "keeper":
            self.keeper.append(tuple(rest))
        elif kind == "kept":
            self.kept = rest[0]
        elif kind == "end":
            self.ended, self.outcome = rest

    @property
    def whole(self):
        return bool(self.outcome) and bool(self.samples)


def carried(rows, before):
    """A figure that could not be had this time is what it was; a guest that is gone holds nothing."""
    return {name: {key: value for key, value in before.get(name, {}).items()} | row for name, row in rows.items()}


def footprint(row):
    return row.get("held", 0) + row.get("swapped", 0)


def used(row):
    return row.get("used", footprint(row))


def sums(record):
    """[(seconds, footprint, used, caches, lazy, swapped)] over all guests, in bytes."""
    return [(when, sum(map(footprint, rows.values())), sum(map(used, rows.values())),
             *(sum(row.get(key, 0) for row in rows.values()) for key in ("caches", "lazy", "swapped")))
            for when, _, rows in record.samples]


def integral(points):
    """Of [(seconds, value)], by trapezoids; the first value holds from 0 on."""
    total = points[0][0] * points[0][1] if points else 0.0
    for (t0, v0), (t1, v1) in zip(points, points[1:]):
        total += (t1 - t0) * (v0 + v1) / 2
    return total


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


@dataclasses.dataclass
class Figures:
    """Of one variant. Sizes in bytes, integrals in byte seconds, times in seconds; None: there is none."""

    variant: str
    duration: float
    peak: int
    peak_at: float
    integral: float
    used_peak: int
    used_integral: float
    lazy_peak: int  # MADV_FREE only: what the host could have taken, and had not wanted
    swapped_peak: int
    excess: float  # averaged over time
    excess_end: float  # after clean-up
    used_end: float
    time: float | None  # the jobs' mean
    warm: float | None  # the mean of phases called so
    half_back: float | None  # since a phase `rest` began: the slowest guest's
    jobs: int  # that ended well
    guests: int
    swap_ins: int
    swap_outs: int
    oom_kills: int
    died: int
    stall: float | None  # seconds in which some task waited for memory
    reported: int
    vmm: float  # a VMM's own memory, mean
    available: int  # of the host, at its lowest
    total: int

    @property
    def mean(self):
        """Over time: what does not hang on how long the machine took for it all."""
        return self.integral / self.duration if self.duration else self.peak

    @property
    def excess_part(self):
        """After clean-up, in parts of what guests use."""
        return self.excess_end / self.used_end if self.used_end else None


def good(outcome):
    return outcome["status"] == 0 and outcome["said"] and not outcome["late"]


def grown(record, key):
    """How much a counter of the host's grew; None where the host has none."""
    values = [host[key] for _, host, _ in record.samples if key in host]
    return values[-1] - values[0] if values else None


def phases(record):
    """{phase: (footprint, used)} of a guest at the phase's end, in bytes; the mean over guests and rounds."""
    found = {}
    for guest in record.outcome:
        marks = sorted((when, text) for when, name, text in record.marks if name == guest)
        for (_, text), (end, _) in zip(marks, marks[1:]):
            if text.startswith("phase "):
                rows = [rows[guest] for when, _, rows in record.samples if when <= end and guest in rows]
                if rows:
                    found.setdefault(text.removeprefix("phase "), []).append((footprint(rows[-1]), used(rows[-1])))
    return {phase: tuple(mean(pair[i] for pair in pairs) for i in (0, 1)) for phase, pairs in found.items()}


def spans(record, phase):
    """[(guest, begin, end)] of the phases called so; the last mark of a guest ends nothing."""
    found = []
    for guest in record.outcome:
        marks = sorted((when, text) for when, name, text in record.marks if name == guest)
        found += [(guest, begin, end) for (begin, text), (end, _) in zip(marks, marks[1:]) if text == f"phase {phase}"]
    return found


def half_back(record):
    """Seconds of `rest` after which each guest held half of what it held when that began; None: one did not, or none rests."""
    times = []
    for guest, begin, end in spans(record, "rest"):
        rows = [(when, footprint(rows[guest])) for when, _, rows in record.samples if guest in rows and when <= end]
        then = next((held for when, held in reversed(rows) if when <= begin), 0)
        times.append(next((when - begin for when, held in rows if when > begin and held <= then / 2), None))
    return max(times) if times and None not in times else None


def figures(record):
    """The figures of a record that is whole."""
    if not record.whole:
        raise RunError(f"{record.variant}: the run did not get to its end")
    points = sums(record)
    times = [point[0] for point in points]
    duration = times[-1]
    peak = max(points, key=lambda point: point[1])
    tail = [point for point in points if point[0] >= duration - TAIL]
    held_over_time, used_over_time = ([(point[0], point[i]) for point in points] for i in (1, 2))
    area, used_area = integral(held_over_time), integral(used_over_time)
    reported = {}
    for _, _, rows in record.samples:
        reported |= {name: row["reported"] for name, row in rows.items() if "reported" in row}
    job_times = [outcome["time"] for outcome in record.outcome.values() if good(outcome)]
    whole = len(job_times) == len(record.outcome)
    return Figures(
        variant=record.variant, duration=duration, peak=peak[1], peak_at=peak[0], integral=area,
        used_peak=max(point[2] for point in points), used_integral=used_area,
        lazy_peak=max(point[4] for point in points), swapped_peak=max(point[5] for point in points),
        excess=(area - used_area) / duration if duration else 0.0,
        excess_end=mean(point[1] - point[2] for point in tail), used_end=mean(point[2] for point in tail),
        time=mean(job_times) if whole else None, warm=mean(end - begin for _, begin, end in spans(record, "warm")),
        half_back=half_back(record), jobs=len(job_times), guests=len(record.outcome),
        swap_ins=grown(record, "swap_ins"), swap_outs=grown(record, "swap_outs"), oom_kills=grown(record, "oom_kills"),
        died=sum(not outcome["alive"] for outcome in record.outcome.values()), stall=grown(record, "psi_some"),
        reported=sum(reported.values()),
        vmm=mean(row["vmm"] for _, _, rows in record.samples for row in rows.values() if "vmm" in row) or 0.0,
        available=min(host["available"] for _, host, _ in record.samples), total=record.samples[0][1]["total"])
