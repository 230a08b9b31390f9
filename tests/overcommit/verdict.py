# SPDX-License-Identifier: Apache-2.0
"""Does what must hold hold? Pure."""

import dataclasses

from figures import good
from scenario import CONTROL, Must


@dataclasses.dataclass
class Claim:
    """One thing that must hold of one variant, and whether it does."""

    variant: str
    what: str  # what must hold
    found: str  # what was found
    holds: bool
    over: float | None = None  # what was found, beyond the bound

    def __str__(self):
        return f"{self.variant}: {self.found}; must be: {self.what}"


def job_trouble(name, outcome):
    """What is wrong with a guest's job, or ""."""
    if outcome["status"] is None:
        why = "did not end in time" if outcome["alive"] else "did not end: its guest did"
    elif outcome["status"]:
        why = f"ended with status {outcome['status']}"
    elif outcome["late"]:
        why = "ended too late"
    elif not outcome["said"]:
        why = "did not say what it was to say"
    else:
        return ""
    return f"{name}'s job {why}"


def jobs_claim(record, doomed):
    trouble = [job_trouble(name, outcome) for name, outcome in record.outcome.items()
               if not good(outcome) and name not in doomed]
    return Claim(record.variant, "every job ends in time with status 0 and its output right",
                 ", ".join(filter(None, trouble)) or f"{len(record.outcome) - len(doomed)} jobs did", not trouble)


def alive_claim(record, doomed):
    dead = [name for name, outcome in record.outcome.items() if not outcome["alive"] and name not in doomed]
    return Claim(record.variant, "no guest dies", f"{', '.join(dead)} died" if dead else "none did", not dead)


def ratio_claim(variant, what, value, control, bound, unit):
    """A figure against the control's."""
    text = f"{what} at most {bound:g} of the control's"
    if value is None or control is None:
        who = "the control's" if value is not None else "its own"
        return Claim(variant, text, f"{what}: none to compare, since {who} jobs did not all end well", False)
    if not control:
        return Claim(variant, text, f"{what}: the control's is 0", False)
    return Claim(variant, text, f"{what} is {value / control:.2f} of the control's ({unit(value)} of {unit(control)})",
                 value / control <= bound, value / control - bound)


def size(value):
    return f"{value / (1 << 20):.0f} MiB"


def seconds(value):
    return f"{value:.1f} s"


def asked_claim(record):
    """Guests that are asked for their memory do as they are asked, if not each time before they were to be ready."""
    asked = record.asked
    bad = asked["failed"] or asked["late"] == asked["times"]
    return Claim(record.variant, "guests that are asked for what they do not use do not refuse, and are ready in time at least once",
                 f"asked {asked['times']} times, {asked['failed']} refused, {asked['late']} not ready in time"
                 + (f": {asked['why']}" if asked["why"] else ""), not bad)


def kept_claim(record):
    """A keeper lives as long as the scenario, and ends well when it is told to."""
    kept = record.kept
    return Claim(record.variant, "the keeper runs until it is stopped, and ends with status 0",
                 f"asked {kept['requests']} times, {size(kept['came'])} came at once, {size(kept['lent'])} lent at the end; "
                 f"status {kept['status']}", kept["status"] == 0)


def bound_claims(bounds, figures, control):
    """Of what a Must and a Goal have in common."""
    variant, claims = figures.variant, []
    for name, what, unit in (("peak", "peak", size), ("mean", "mean", size), ("time", "jobs' mean time", seconds),
                             ("warm", "warm reads' mean time", seconds)):
        bound = getattr(bounds, name)
        if bound is not None:
            claims.append(ratio_claim(variant, what, getattr(figures, name),
                                      getattr(control, name) if control else None, bound, unit))
    if bounds.half_back is not None:
        found = figures.half_back
        claims.append(Claim(variant, f"half is back at most {bounds.half_back:g} s after a guest's rest began",
                            "half is never back" if found is None else f"half is back after {found:.1f} s",
                            found is not None and found <= bounds.half_back))
    if bounds.excess is not None:
        part = figures.excess_part
        text = f"excess after clean-up at most {bounds.excess:.0%} of what guests use"
        claims.append(Claim(variant, text, "excess after clean-up: the guests told nothing", False) if part is None else
                      Claim(variant, text, f"excess after clean-up is {part:.1%} ({size(figures.excess_end)} beyond "
                            f"{size(figures.used_end)})", part <= bounds.excess, part - bounds.excess))
    return claims


def variant_claims(must, record, figures, control, doomed=()):
    claims = []
    if must.finish:
        claims.append(jobs_claim(record, doomed))
    if must.alive:
        claims.append(alive_claim(record, doomed))
    if record.asked:
        claims.append(asked_claim(record))
    if record.kept:
        claims.append(kept_claim(record))
    for name, what in (("oom_kills", "OOM kills on the host"), ("swap_ins", "pages swapped in on the host")):
        bound, found = getattr(must, name), getattr(figures, name)
        if bound is not None:
            claims.append(Claim(record.variant, f"{what} at most {bound}", f"{what}: {found}",
                                found is not None and found <= bound))
    return claims + bound_claims(must, figures, control)


def miss_claims(scenario, record, figures, doomed):
    """The control misses what a keeper is bound to: else that bound would show nothing.

    One whose guests never rest, since they died before, misses half_back: it has nothing back.
    """
    claims = []
    for name in scenario.misses:
        bound = Must(finish=False, alive=False, oom_kills=None)
        setattr(bound, name, getattr(scenario.must["keeper"], name))
        (claim,) = variant_claims(bound, dataclasses.replace(record, asked={}, kept={}), figures, None, doomed)
        claims.append(dataclasses.replace(claim, what=f"missed without a keeper: {claim.what}", holds=not claim.holds))
    return claims


def goals(scenario, figures):
    """The claims that are aimed at, of variants that were run beside the control."""
    if CONTROL not in figures:
        return []
    return [claim for variant, goal in scenario.goals.items() if variant in figures
            for claim in bound_claims(goal, figures[variant], figures[CONTROL])]


def goal_text(claim):
    how = "met" if claim.holds else "not met" if claim.over is None else f"missed by {claim.over:.2f}"
    return f"goal, {claim.variant}: {claim.found}; goal: {claim.what}: {how}"


def judge(scenario, records, figures, failed):
    """All claims; failed: {variant: why its run did not get to its end}."""
    claims, doomed = [], {guest.name for guest in scenario.guests if guest.may_die}
    for variant in scenario.variants:
        if variant in failed:
            claims.append(Claim(variant, "the run gets to its end", failed[variant], False))
            continue
        claims += variant_claims(scenario.must[variant], records[variant], figures[variant], figures.get(CONTROL), doomed)
        if variant == CONTROL:
            claims += miss_claims(scenario, records[variant], figures[variant], doomed)
    return claims
