# SPDX-License-Identifier: Apache-2.0
"""The report's page: index.html, which needs no other file."""

import datetime
import html
import os
import re
import subprocess

import published
import report
import verdict
from figures import MIB, phases
from guests import lib
from scenario import CONTROL, VARIANTS

STYLE = """
body { font: 16px/1.5 system-ui, 'DejaVu Sans', sans-serif; color: #111827; max-width: 1240px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.sub, figcaption, .small { color: #4b5563; font-size: .9rem }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e5e7eb; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left } th { font-weight: 600; color: #374151 }
td.text { text-align: left }
.wide { overflow-x: auto } svg { width: 100%; height: auto }
.good { color: #0b7a66 } .bad { color: #b42318; font-weight: 600 }
.verdict { border-left: 5px solid; padding: .4rem 1rem; background: #f9fafb; margin: 1rem 0 }
figure { margin: 1rem 0 } pre { background: #f9fafb; padding: 1rem; overflow-x: auto; font-size: .85rem }
"""

MEANING = """
<p class="small">Each variant runs the same guests and jobs on a host of its own. <b>used</b>: what the guests say is not free (RAM
without balloon, less MemFree; page cache is in it). <b>held</b>: guest memory in the host's RAM, as the host counts it.
<b>peak</b>: the most that was held or swapped out for all guests at once. <b>mean</b>: the same over time. <b>GiB·min</b>: its integral, which is
what it occupies. <b>mean time</b>: of a job, in its guest, from its start to its end. <b>swap-ins, OOM kills</b>: the
host's. <b>excess</b>: held beyond what is used, on the average; <b>at the end</b>: when the last job's memory has had time to come
back. <b>of none</b>: in parts of “no reclaim”, where ebb takes nothing back.</p>
"""


def escape(text):
    return html.escape(str(text), quote=False)


def svg(path):
    """A picture to stand in the page: without what only a file of its own has."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = text[text.index("<svg"):]
    return re.sub(r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', r"\1", text, count=1)


def table(rows, text_columns=()):
    head, *body = rows
    def row(tag, one):
        return "<tr>" + "".join(f'<{tag}{" class=text" if i in text_columns and tag == "td" else ""}>{cell}</{tag}>'
                                for i, cell in enumerate(one)) + "</tr>"
    return '<div class="wide"><table>' + row("th", head) + "".join(row("td", one) for one in body) + "</table></div>"


def sentence(figures):
    """What ebb with our kernel brings and costs, in one sentence; or nothing, where this was not run."""
    control, ours = figures.get(CONTROL), figures.get("patched")
    if not control or not ours:
        return ""
    text = (f"With ebb and its guest kernel the host held {1 - ours.mean / control.mean:+.0%} less on average, and at its "
            f"highest {1 - ours.peak / control.peak:+.0%} less").replace("+", "").replace("-", "−")
    if ours.time and control.time:
        change = ours.time / control.time - 1
        text += f"; jobs took {abs(change):.1%} {'longer' if change > 0 else 'less'}"
    return f"<p><b>{escape(text)}.</b></p>"


def verdicts(claims):
    broken = [claim for claim in claims if not claim.holds]
    if broken:
        head = '<div class="verdict bad">What must hold does not:<ul>' + "".join(
            f"<li>{escape(claim)}</li>" for claim in broken) + "</ul></div>"
    else:
        head = f'<div class="verdict good">All {len(claims)} things that must hold do.</div>'
    return head


def claims_table(claims):
    return table([["variant", "must hold", "found", ""]] + [
        [escape(claim.variant), escape(claim.what), escape(claim.found),
         '<span class="good">holds</span>' if claim.holds else '<span class="bad">does not</span>'] for claim in claims],
        (1, 2, 3))


def jobs_table(scenario, records, figures):
    rows = [["guest", "memory", "job", *(f"{name}, s" for name in figures)]]
    for guest in scenario.guests:
        times = [records[name].outcome[guest.name]["time"] for name in figures]
        rows.append([escape(guest.name), f"{guest.size // MIB} MiB", f"<code>{escape(guest.job)}</code>",
                     *("–" if seconds is None else f"{seconds:.1f}" for seconds in times)])
    return table(rows, (2,))


def phases_table(records, figures):
    """What a guest holds, and uses, at the end of each of its job's phases; nothing where jobs have none."""
    found = {name: phases(records[name]) for name in figures}
    names = list(dict.fromkeys(phase for one in found.values() for phase in one))
    if not names:
        return ""
    rows = [["variant", *names]]
    for name, one in found.items():
        rows.append([VARIANTS[name], *(f"{one[phase][0] / MIB:.0f} ({one[phase][1] / MIB:.0f})" if phase in one else "–"
                                       for phase in names)])
    return ("<h2>A guest at the end of each phase: MiB held, and used</h2>" + table(rows)
            + '<p class="small">The mean over guests.</p>')


def published_table(scenario, records, figures):
    """What was found beside what others have published; nothing where they have not."""
    rows = published.rows(scenario, records, figures)
    if not rows:
        return ""
    return ("<h2>Beside the published</h2>" + table([[escape(cell) for cell in row] for row in rows])
            + f'<p class="small">In brackets, published: {escape(scenario.published.who)}. <b>mean</b>: of the footprint over '
            "time. <b>cleaned</b>, <b>dropped</b>: what a guest holds after its clean-up, and after it has given up its "
            "caches, too; in parts of its size.</p>")


def goals_list(goals):
    return "<h2>Goals</h2><ul>" + "".join(f"<li>{escape(verdict.goal_text(goal))}</li>" for goal in goals) + "</ul>" if goals else ""


def costs_table(figures):
    rows = [["variant", "a VMM's own memory", "reported in all", "host waited for memory", "host's lowest available"]]
    for name, one in figures.items():
        rows.append([VARIANTS[name], f"{one.vmm / MIB:.2f} MiB",
                     "–" if name in (CONTROL, "qemu") else f"{one.reported / MIB:.0f} MiB",
                     "–" if one.stall is None else f"{one.stall:.2f} s", f"{one.available / MIB:.0f} MiB"])
    return table(rows)


def version():
    done = subprocess.run(["git", "-C", lib.TREE, "describe", "--always", "--dirty", "--exclude=*"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or "?"


def write(out, scenario, host, records, figures, claims, goals):
    first = next(iter(records.values()))
    rows = [report.HEADER] + [report.cells(one, figures.get(CONTROL)) for one in figures.values()]
    for row in rows[1:]:
        row[0] = escape(VARIANTS[row[0]])
    notes = {record.about.get("note") for record in records.values()} - {"", None}
    body = [
        f"<h1>{escape(scenario.title)}</h1>",
        f'<p class="sub">{len(scenario.guests)} guests with {scenario.sizes / (1 << 30):g} GiB of memory together; host: '
        f'{scenario.memory / (1 << 30):g} GiB, {escape(host.about)}. ebb {escape(version())}, host Linux '
        f'{escape(first.about.get("kernel", "?"))}, {datetime.date.today()}</p>',
        *(f'<div class="verdict bad">{escape(note)}</div>' for note in notes),
        verdicts(claims), sentence(figures),
        f"<figure>{svg(os.path.join(out, 'chart.svg'))}</figure>",
        table([[escape(cell) for cell in rows[0]], *rows[1:]]), MEANING,
        published_table(scenario, records, figures), goals_list(goals),
        phases_table(records, figures), "<h2>What it costs</h2>", costs_table(figures), jobs_table(scenario, records, figures),
        "<h2>What must hold</h2>", claims_table(claims),
        "<h2>More that was measured</h2>", f"<figure>{svg(os.path.join(out, 'detail.svg'))}</figure>",
        *(f'<p class="small">0 throughout: {escape(heading)}.</p>' for heading in report.always_zero(records, figures)),
        '<p class="small">Every sample is in the CSV files beside this page: one for each variant, <code>marks.csv</code> '
        "for what happened when, and <code>figures.csv</code>.</p>",
        "<h2>The scenario, and how to repeat it</h2>",
        f"<pre>{escape(report.command(scenario, host))}</pre>",
        f"<pre>{escape(scenario.text)}</pre>"]
    text = (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(scenario.title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>\n'
            + "\n".join(body) + "\n</body></html>\n")
    with open(os.path.join(out, "index.html"), "w", encoding="utf-8") as file:
        file.write(text)
