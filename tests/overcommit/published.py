# SPDX-License-Identifier: Apache-2.0
"""What was found beside what others have published of a like scenario: each in parts of its own control, or of its own
guest's size, since sizes and machines are others. Pure."""

import figures as figs
from scenario import CONTROL, VARIANTS
from verdict import size

HEADER = ["beside the published, in ()", "mean", "of none", "cleaned", "of the guest", "dropped", "of the guest", "peak",
          "of none", "time, of none"]


def beside(value, published):
    """A cell: "0.45 (0.54)"; what is not known is left out."""
    return ("–" if value is None else f"{value:.2f}") + ("" if published is None else f" ({published:.2f})")


def part(value, whole):
    return value / whole if value is not None and whole else None


def row(variant, scenario, found, control, phases):
    theirs, their_control = (scenario.published.figures.get(name, {}) for name in (variant, CONTROL))
    guest = sum(one.size for one in scenario.guests) / len(scenario.guests)
    cells = [VARIANTS[variant], size(found.mean),
             beside(part(found.mean, control.mean), part(theirs.get("footprint"), their_control.get("footprint")))]
    for phase in ("cleaned", "dropped"):
        held = phases[phase][0] if phase in phases else None
        in_bytes = theirs[phase] * figs.GIB if phase in theirs else None
        cells += ["–" if held is None else size(held), beside(part(held, guest), part(in_bytes, scenario.published.size))]
    return cells + [size(found.peak), beside(part(found.peak, control.peak),
                                             part(theirs.get("peak"), their_control.get("peak"))),
                    beside(part(found.time, control.time), theirs.get("time"))]


def rows(scenario, records, figures):
    """The table; [] where nothing was published, or the control was not run."""
    if not scenario.published or CONTROL not in figures:
        return []
    return [HEADER] + [row(name, scenario, found, figures[CONTROL], figs.phases(records[name]))
                       for name, found in figures.items()]
