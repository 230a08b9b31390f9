# SPDX-License-Identifier: Apache-2.0
"""What a run leaves: CSV, pictures by gnuplot, and one page that needs nothing else."""

import csv
import datetime
import math
import os
import re
import subprocess

import page
import published
from figures import GIB, MIB, footprint, phases, sums, used
from scenario import CONTROL, VARIANTS
from verdict import goal_text, size

HERE = os.path.dirname(os.path.abspath(__file__))
SHADES = ("#1d4f91", "#5b92d4", "#0b7a66", "#58b8a2", "#7a4fa3", "#b493d6", "#9a5b13", "#d9a35b")
COLOURS = {"none": "#9ca3af", "qemu": "#d9730d", "stock": "#3b82d6", "patched": "#0b8a75", "free": "#9333ea", "asked": "#be185d",
           "stock-keeper": "#64748b", "keeper": "#dc2626"}
GUEST_COLUMNS = ("size", "total", "used", "caches", "held", "lazy", "swapped", "balloon", "reported", "vmm")
HOST_COLUMNS = ("total", "free", "available", "swap", "swap_ins", "swap_outs", "oom_kills", "psi_some", "psi_full")
HEADER = ["variant", "peak", "of none", "mean", "of none", "GiB·min", "jobs", "mean time", "of none", "swap-ins", "OOM kills",
          "excess", "at the end", "of used"]


class ReportError(Exception):
    """The report could not be made."""


# --- Figures as text ----------------------------------------------------------------------------------------------


def ratio(value, control):
    return f"{value / control:.2f}" if value is not None and control else "–"


def cells(figures, control):
    """A row of the table, as HEADER has it."""
    of = [ratio(getattr(figures, name), getattr(control, name) if control else None)
          for name in ("peak", "mean", "time")]
    return [figures.variant, size(figures.peak), of[0], size(figures.mean), of[1], f"{figures.integral / GIB / 60:.3f}",
            f"{figures.jobs}/{figures.guests}", "–" if figures.time is None else f"{figures.time:.1f} s", of[2],
            str(figures.swap_ins), str(figures.oom_kills), size(figures.excess), size(figures.excess_end),
            "–" if figures.excess_part is None else f"{figures.excess_part:.1%}"]


def aligned(rows):
    """Lines of cells, the first of each to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]


def text(scenario, records, figures, goals):
    """What the figures say, in lines: the table, what is beside the published, and which goals are met."""
    tables = [[HEADER] + [cells(one, figures.get(CONTROL)) for one in figures.values()],
              published.rows(scenario, records, figures)]
    lines = [line for rows in tables if rows for line in [*aligned(rows), ""]]
    if tables[1]:
        lines += [f"published: {scenario.published.who}", ""]
    if goals:
        lines += [*map(goal_text, goals), ""]
    return "\n".join(lines)


def command(scenario, host):
    """The one that repeats it."""
    options = [*scenario.options, *(["--count"] if host.counted else [])]
    return " ".join(["tests/overcommit/ebb-overcommit", *options, f"configs/overcommit/{scenario.name}.toml"])


def write_text(out, scenario, host, text, claims):
    """The same as a file, which can be kept."""
    with open(os.path.join(out, "table.txt"), "w", encoding="utf-8") as file:
        file.write(f"{scenario.title}: ebb {page.version()}, {datetime.date.today()}\n"
                   f"{command(scenario, host)}; host: {scenario.memory / GIB:g} GiB, {host.about}\n\n{text}\n"
                   + "\n".join(f"{'holds' if claim.holds else 'DOES NOT HOLD'}: {claim}" for claim in claims) + "\n")


# --- CSV ----------------------------------------------------------------------------------------------------------


def write_samples(path, record):
    """One line a guest and sample, and one of the host; sizes in bytes."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["seconds", "guest", *(f"guest_{name}" for name in GUEST_COLUMNS),
                      *(f"host_{name}" for name in HOST_COLUMNS)])
        for when, host, rows in record.samples:
            out.writerow([when, "", *("" for _ in GUEST_COLUMNS), *(host.get(name, "") for name in HOST_COLUMNS)])
            for guest, row in rows.items():
                out.writerow([when, guest, *(row.get(name, "") for name in GUEST_COLUMNS), *("" for _ in HOST_COLUMNS)])


def write_keeper(path, record):
    """The log of the keeper, with the seconds at which its lines were seen."""
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{when:8.1f} {line}\n" for when, line in record.keeper)


def write_marks(path, records):
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["variant", "seconds", "guest", "what"])
        for variant, record in records.items():
            out.writerows([variant, *mark] for mark in sorted(record.marks))


def write_phases(path, records):
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["variant", "phase", "footprint", "used"])
        for variant, record in records.items():
            out.writerows([variant, phase, round(held), round(using)] for phase, (held, using) in phases(record).items())


def write_figures(path, figures):
    with open(path, "w", encoding="utf-8", newline="") as file:
        names = list(vars(next(iter(figures.values()))))
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*names, "excess_part"])
        for one in figures.values():
            out.writerow([*("" if getattr(one, name) is None else getattr(one, name) for name in names),
                          "" if one.excess_part is None else one.excess_part])


# --- Pictures -----------------------------------------------------------------------------------------------------


def quoted(text):
    """For gnuplot, in single quotes, with nothing that its enhanced text would take for markup."""
    return "'" + re.sub(r"([_^@&~{}])", r"\\\1", text).replace("'", "''") + "'"


def array(name, values):
    values = list(values)
    return f"array {name}[{len(values)}]\n" + "\n".join(
        f"{name}[{i}] = {quoted(value) if isinstance(value, str) else value}" for i, value in enumerate(values, 1))


def block(name, rows):
    return "\n".join([f"${name} << END", *(" ".join(f"{value:.3f}" for value in row) for row in rows), "END"])


def stacked(scenario, record):
    """Seconds; the guests' footprints, each with those before it; what all use; what is lazy. MiB."""
    for when, _, rows in record.samples:
        line, total = [when], 0.0
        for guest in scenario.guests:
            total += footprint(rows.get(guest.name, {})) / MIB
            line.append(total)
        yield [*line, sum(map(used, rows.values())) / MIB, sum(row.get("lazy", 0) for row in rows.values()) / MIB]


def legible(guests):
    """Three guests fit a line, thirty do not."""
    return ", ".join(guest.name for guest in guests) if len(guests) <= 4 else f"{len(guests)} guests"


def chart_script(scenario, records, figures):
    variants = list(figures)
    base = figures[variants[0]]
    highest = max(max(one.peak + one.lazy_peak, one.used_peak) for one in figures.values()) / MIB
    limit = base.total / MIB
    shown = limit if limit <= 1.8 * highest else 0
    cells_wanted = len(variants) + 1
    columns = min(3, cells_wanted)
    return "\n".join([
        f"title = {quoted(scenario.title)}",
        "subtitle = " + quoted("Areas: host memory held for each guest, one above the other. Line: what the guests use. "
                               + (f"Dotted: the peak of “{VARIANTS[CONTROL]}”." if CONTROL in variants else "")),
        f"variants = {len(variants)}", f"guests = {len(scenario.guests)}", f"columns = {columns}",
        f"rows = {math.ceil(cells_wanted / columns)}", f"last = {max(one.duration for one in figures.values()):.1f}",
        f"top = {1.08 * max(highest, shown):.1f}", f"limit = {shown:.1f}", "unit = 'MiB'",
        array("name", (VARIANTS[name] for name in variants)), array("short", variants),
        array("says", (f"peak {size(one.peak)}, mean {size(one.mean)}" + (f", {one.oom_kills} OOM kills" if one.oom_kills
                       else "") + (f", {one.swap_ins} pages swapped in" if one.swap_ins else "")
                       + (f"; dashed: {size(one.lazy_peak)} to be had" if one.lazy_peak else "")
                       for one in figures.values())),
        array("shade", (SHADES[i % len(SHADES)] for i in range(len(scenario.guests)))),
        array("bar_peak", (one.peak / MIB for one in figures.values())),
        array("bar_mean", (one.mean / MIB for one in figures.values())),
        array("text_peak", (ratio(one.peak, base.peak) for one in figures.values())),
        array("text_mean", (ratio(one.mean, base.mean) for one in figures.values())),
        *(block(f"d{i}", stacked(scenario, records[name])) for i, name in enumerate(variants, 1))])


def rate(record, key):
    """Per cent of the time between two samples that a counter of seconds grew by."""
    found, before = [], None
    for when, host, _ in record.samples:
        value = host.get(key)
        if before and value is not None and when > before[0]:
            found.append(min(100 * (value - before[1]) / (when - before[0]), 100))
        else:
            found.append(0.0)
        before = (when, value) if value is not None else None
    return found


def detail_columns(record):
    """{heading: values}, one for each sample."""
    points = sums(record)
    hosts = [host for _, host, _ in record.samples]
    reported = [sum(row.get("reported", 0) for row in rows.values()) / GIB for _, _, rows in record.samples]
    balloon = [sum(row.get("balloon", 0) for row in rows.values()) / MIB for _, _, rows in record.samples]
    return {
        "held and swapped, MiB": [point[1] / MIB for point in points],
        "used by the guests, MiB": [point[2] / MIB for point in points],
        "excess: held, not used, MiB": [(point[1] - point[2]) / MIB for point in points],
        "page cache in the guests, MiB": [point[3] / MIB for point in points],
        "reported by the guests, GiB (QEMU: not told)": reported,
        "balloon, MiB": balloon,
        "available on the host, MiB": [host["available"] / MIB for host in hosts],
        "swap in use on the host, MiB": [host["swap"] / MIB for host in hosts],
        "some task waits for memory (PSI), %": rate(record, "psi_some"),
    }


def split_headings(columns):
    """(what is worth a panel, what was 0 throughout)"""
    headings = list(next(iter(columns.values())))
    flat = [heading for heading in headings if not any(any(one[heading]) for one in columns.values())]
    return [heading for heading in headings if heading not in flat], flat


def always_zero(records, figures):
    return split_headings({name: detail_columns(records[name]) for name in figures})[1]


def detail_script(records, figures):
    variants = list(figures)
    columns = {name: detail_columns(records[name]) for name in variants}
    headings, _ = split_headings(columns)
    rows = {name: [[when, *values] for (when, _, _), *values in
                   zip(records[name].samples, *(columns[name][heading] for heading in headings))] for name in variants}
    return "\n".join([
        f"variants = {len(variants)}", f"panels = {len(headings)}",
        f"last = {max(one.duration for one in figures.values()):.1f}", array("heading", headings),
        array("most", (max(max(columns[name][heading]) for name in variants) for heading in headings)),
        array("colour", (COLOURS[name] for name in variants)), array("long", (VARIANTS[name] for name in variants)),
        *(block(f"s{i}", rows[name]) for i, name in enumerate(variants, 1))])


def draw(script, name, out):
    for kind in ("svg", "png"):
        path = os.path.join(out, f"{name}.{kind}")
        text = f"kind = '{kind}'\noutput = '{path}'\n{script}\nload '{os.path.join(HERE, name + '.gnuplot')}'\n"
        try:
            done = subprocess.run(["gnuplot"], input=text, text=True, stderr=subprocess.PIPE, check=False)
        except FileNotFoundError as error:
            raise ReportError("needs gnuplot: install Debian's package gnuplot-nox") from error
        if done.returncode or not os.path.exists(path):
            raise ReportError(f"gnuplot could not draw {path}: {done.stderr.strip()[-300:]}")


def write(out, scenario, host, records, figures, claims, goals):
    """All of it, into the folder `out`."""
    os.makedirs(out, exist_ok=True)
    for name in figures:
        write_samples(os.path.join(out, f"{name}.csv"), records[name])
        if records[name].kept:
            write_keeper(os.path.join(out, f"{name}.log"), records[name])
    write_marks(os.path.join(out, "marks.csv"), records)
    if any(phases(records[name]) for name in figures):
        write_phases(os.path.join(out, "phases.csv"), {name: records[name] for name in figures})
    write_figures(os.path.join(out, "figures.csv"), figures)
    draw(chart_script(scenario, records, figures), "chart", out)
    draw(detail_script(records, figures), "detail", out)
    page.write(out, scenario, host, records, figures, claims, goals)
