# SPDX-License-Identifier: Apache-2.0
"""Scenarios: what configs/overcommit/*.toml say, checked. README.md has the format.

Pure, but for load(), which reads the file. Sizes are in bytes, times in seconds.
"""

import dataclasses
import os
import re
import tomllib

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# What guests can be run as, in the order of the report; the first is what others are held against.
VARIANTS = {
    "none": "ebb, no reclaim",
    "qemu": "QEMU, stock kernel",
    "stock": "ebb, stock kernel",
    "patched": "ebb, our kernel",
    "free": "ebb, ours, MADV_FREE",
    "asked": "ebb, ours, asked",
    "stock-keeper": "ebb, stock, keeper",
    "keeper": "ebb, ours, keeper",
}
CONTROL = "none"
KEPT = ("stock-keeper", "keeper")  # the variants with a keeper
# Where nothing else is said: not the one for which a scenario has to say what guests are asked, and when.
ALWAYS = [name for name in VARIANTS if name != "asked" and name not in KEPT]
# What --keeper runs: what a keeper adds to reporting is seen beside reporting alone.
BESIDE_KEEPER = [CONTROL, "stock", "patched", *KEPT]
# What others have published of a variant: its name, and what it is measured in.
PUBLISHED = {"footprint": "GiB·min", "cleaned": "GiB a guest", "dropped": "GiB a guest", "peak": "GiB",
             "time": "of the control's"}


class ScenarioError(Exception):
    """A mistake in a scenario; the text says in which file, at which key, and what."""


@dataclasses.dataclass
class Guest:
    """One guest of a scenario; a [[guest]] with count = 3 makes three of them."""

    name: str
    size: int
    job: str
    cpus: int = 1
    disk: str = ""
    scratch: int = 0
    start: float = 0.0  # since the scenario's start, or since the end of the job of the guest before
    in_turn: bool = False
    timeout: float = 120.0
    says: str = ""
    may_die: bool = False  # whether its job and itself come to an end is asked of no variant


@dataclasses.dataclass
class Must:
    """What must hold of one variant. None: nothing is asked."""

    finish: bool = True  # every job ends with status 0 in its time, and has said what it was to say
    alive: bool = True  # no guest ends before the scenario does
    oom_kills: int | None = 0
    swap_ins: int | None = None  # pages, at most
    peak: float | None = None  # of what the host held, at most, in parts of the control's
    mean: float | None = None
    time: float | None = None  # the jobs' mean, likewise
    excess: float | None = None  # after clean-up, held beyond what guests use, in parts of that
    half_back: float | None = None  # seconds from a guest's phase `rest` until it holds half of what it held then
    warm: float | None = None  # the mean length of phases `warm`, in parts of the control's


@dataclasses.dataclass
class Goal:
    """What is aimed at, of one variant: told, but missing it is no failure."""

    peak: float | None = None
    mean: float | None = None
    time: float | None = None
    excess: float | None = None
    half_back: float | None = None
    warm: float | None = None


RATIOS = ("peak", "mean", "time", "warm")  # those that are in parts of the control's
FIGURES = [field.name for field in dataclasses.fields(Goal)]


@dataclasses.dataclass
class Published:
    """What others have published of a like scenario."""

    who: str
    size: int  # of a guest
    figures: dict  # variant: {name of PUBLISHED: number}


@dataclasses.dataclass
class Ask:
    """What guests are asked in the variant that is called so: `ebb reclaim OPTIONS`, again and again."""

    every: float
    options: str = ""


@dataclasses.dataclass
class Scenario:
    """A whole file."""

    name: str
    title: str
    text: str
    memory: int
    swap: int
    guests: list
    variants: list
    must: dict  # variant: Must
    settle: float = 12.0
    interval: float = 1.0
    goals: dict = dataclasses.field(default_factory=dict)  # variant: Goal
    published: Published | None = None
    ask: Ask | None = None
    misses: list = dataclasses.field(default_factory=list)  # bounds of the keeper's that the control must miss
    counted: list = dataclasses.field(default_factory=list)  # bounds that hold only where instructions are counted
    options: list = dataclasses.field(default_factory=list)  # of the command, that made it another than its file's

    def keep(self):
        """With a keeper, beside reporting alone."""
        if CONTROL not in self.variants:
            raise ScenarioError(f"--keeper: a file is wanted whose variants have {CONTROL!r}")
        self.variants = BESIDE_KEEPER
        # Where the keeper is bound, those without one are there for comparison: a run without --keeper holds them to their bounds.
        if any(getattr(self.must["keeper"], name) is not None for name in FIGURES):
            for name in set(BESIDE_KEEPER) - set(KEPT):
                self.aim(name)
        self.options.append("--keeper")

    def uncount(self):
        """By a clock of this machine's own, which others use too, some times say too little to be bound."""
        for variant in self.must:
            self.aim(variant, self.counted)

    def aim(self, variant, names=FIGURES):
        """What it is bound to is told as a goal is, and no failure. The narrower counts where both are there."""
        must, goal = self.must[variant], self.goals.get(variant, Goal())
        both = {name: [figure for figure in (getattr(goal, name), getattr(must, name) if name in names else None)
                       if figure is not None] for name in FIGURES}
        self.must[variant] = dataclasses.replace(must, **dict.fromkeys(names))
        if variant != CONTROL and any(both.values()):
            self.goals[variant] = Goal(**{name: min(figures) for name, figures in both.items() if figures})

    @property
    def sizes(self):
        """The guests' memory together."""
        return sum(guest.size for guest in self.guests)

    @property
    def limit(self):
        """The time after which every job is over, one way or another."""
        last = [0.0]
        for guest in self.guests:
            last.append((last[-1] if guest.in_turn else 0.0) + guest.start + guest.timeout)
        return max(last)

    def as_dict(self):
        return dataclasses.asdict(self)


def from_dict(data):
    """What as_dict() gave, by way of JSON."""
    data = dict(data)
    data["guests"] = [Guest(**guest) for guest in data["guests"]]
    data["must"] = {name: Must(**must) for name, must in data["must"].items()}
    data["goals"] = {name: Goal(**goal) for name, goal in data["goals"].items()}
    data["published"] = data["published"] and Published(**data["published"])
    data["ask"] = data["ask"] and Ask(**data["ask"])
    return Scenario(**data)


class Table:
    """A table of the file whose keys are taken one by one; what is left over was none of ours."""

    def __init__(self, where, data, path):
        self.where, self.path = where, path
        if not isinstance(data, dict):
            raise ScenarioError(f"{where}: {path}: a table is wanted")
        self.data = dict(data)

    def key(self, name):
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name, what):
        return ScenarioError(f"{self.where}: {self.key(name)}: {what}")

    def take(self, name, kind, otherwise=None, least=None):
        """The value of a key, which must be there where nothing is given otherwise."""
        if name not in self.data:
            if otherwise is None:
                raise self.wrong(name, "is missing")
            return otherwise
        value = self.data.pop(name)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list",
                     dict: "a table"}
            raise self.wrong(name, f"{words[kind]} is wanted, not {value!r}")
        if least is not None and not value >= least:
            raise self.wrong(name, f"{least} or more is wanted, not {value!r}")
        return value

    def size(self, name, otherwise=None, least="1M"):
        text = self.take(name, str, otherwise)
        match = re.fullmatch(r"(\d+)([KMG])", text)
        if not match:
            raise self.wrong(name, f'a size such as "512M" is wanted, not {text!r}')
        value = int(match[1]) * UNITS[match[2]]
        if value < int(least[:-1]) * UNITS[least[-1]]:
            raise self.wrong(name, f"{least} or more is wanted, not {text!r}")
        return value

    def end(self):
        for name in self.data:
            raise self.wrong(name, "there is no such key")


def parse_guests(where, data):
    tables = data.pop("guest", None)
    if not isinstance(tables, list) or not tables:
        raise ScenarioError(f"{where}: guest: one [[guest]] at least is wanted")
    guests = []
    for number, content in enumerate(tables, 1):
        table = Table(where, content, f"guest {number}")
        name = table.take("name", str, f"guest{number}")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,15}", name):
            raise table.wrong("name", f"small letters, digits and - are wanted, 16 at most, not {name!r}")
        count = table.take("count", int, 1, least=1)
        stagger = table.take("stagger", float, 0.0, least=0)
        in_turn = table.take("in_turn", bool, False)
        guest = Guest(name, table.size("size", least="64M"), table.take("job", str),
                      table.take("cpus", int, 1, least=1), table.take("disk", str, ""),
                      table.size("scratch", "0M", least="0M"), table.take("start", float, 0.0, least=0), False,
                      table.take("timeout", float, 120.0, least=1), table.take("says", str, ""),
                      table.take("may_die", bool, False))
        table.end()
        if '"' in guest.job or "\n" in guest.job or not guest.job:
            raise table.wrong("job", "a command for a shell on one line without double quotes is wanted")
        if guest.disk not in ("", "debian", "empty"):
            raise table.wrong("disk", f'"debian" or "empty" is wanted, not {guest.disk!r}')
        if guest.scratch and not guest.disk:
            raise table.wrong("scratch", "only a guest with a disk has a second one")
        if guest.disk == "empty" and not guest.scratch:
            raise table.wrong("scratch", "the size of the empty disk is wanted")
        try:
            re.compile(guest.says)
        except re.error as error:
            raise table.wrong("says", f"is no regular expression: {error}") from error
        for i in range(count):
            # In turn: each waits for the one before, and then for the stagger; so does the first, unless it is said when it starts.
            wait = in_turn and (i > 0 or (bool(guests) and "start" not in content))
            one = dataclasses.replace(guest, name=f"{name}{i + 1}" if count > 1 else name, in_turn=wait,
                                      start=stagger if wait else guest.start + i * stagger)
            if one.name in [other.name for other in guests]:
                raise table.wrong("name", f"there are two guests {one.name!r}")
            guests.append(one)
    return guests


def split_by_variant(where, path, content, variants):
    """A table's own keys, and its tables, each of which is called as one of the variants."""
    if not isinstance(content, dict):
        raise ScenarioError(f"{where}: {path}: a table is wanted")
    own = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name in own:
        if name not in variants:
            raise ScenarioError(f"{where}: {path}.{name}: there is no such variant here; there are: {', '.join(variants)}")
    return {name: value for name, value in content.items() if name not in own}, own


def parse_must(where, data, variants):
    """[must] holds for all variants, [must.NAME] beside it for one."""
    common, own = split_by_variant(where, "must", data.pop("must", {}), variants)
    result = {}
    for variant in variants:
        must = Must()
        for path, part in (("must", common), (f"must.{variant}", own.get(variant, {}))):
            table = Table(where, part, path)
            for field in dataclasses.fields(Must):
                if field.name in part:
                    kind = {bool: bool, int | None: int, float | None: float}[field.type]
                    value = table.take(field.name, kind, least=None if kind is bool else 0)
                    setattr(must, field.name, value)
            table.end()
        if variant == CONTROL:
            # Of itself it is 1; what is common is for the others.
            for name in RATIOS:
                if name in own.get(variant, {}):
                    raise ScenarioError(f"{where}: must.{variant}.{name}: this is the control that others are held against")
                setattr(must, name, None)
        elif CONTROL not in variants and any(getattr(must, name) for name in RATIOS):
            raise ScenarioError(f'{where}: variants: "{CONTROL}" is missing, which peak, mean, time and warm are held against')
        result[variant] = must
    return result


def parse_goals(where, data, variants):
    """[goal.NAME], with the names of [must.NAME] that are numbers."""
    common, own = split_by_variant(where, "goal", data.pop("goal", {}), variants)
    for name in [*common, *({CONTROL} & set(own))]:
        raise ScenarioError(f"{where}: goal.{name}: a goal is of one variant that is not the control")
    goals = {}
    for variant, content in own.items():
        table = Table(where, content, f"goal.{variant}")
        names = [field.name for field in dataclasses.fields(Goal) if field.name in content]
        goals[variant] = Goal(**{name: table.take(name, float, least=0) for name in names})
        table.end()
    return goals


def parse_published(where, data, variants):
    """[published], and [published.NAME] with numbers."""
    if "published" not in data:
        return None
    common, own = split_by_variant(where, "published", data.pop("published"), variants)
    table = Table(where, common, "published")
    found = Published(table.take("who", str), table.size("size"), {})
    table.end()
    for variant, content in own.items():
        table = Table(where, content, f"published.{variant}")
        found.figures[variant] = {name: table.take(name, float, least=0) for name in PUBLISHED if name in content}
        table.end()
    return found


def parse_ask(where, data):
    if "ask" not in data:
        return None
    table = Table(where, data.pop("ask"), "ask")
    ask = Ask(table.take("every", float, least=1), table.take("options", str, ""))
    table.end()
    return ask


def check_phases(where, guests, bounds):
    """What is measured in a phase needs a job that has it."""
    for name, phase in (("half_back", "rest"), ("warm", "warm")):
        if any(getattr(bound, name) is not None for bound in bounds) and \
                not any(f"ebb-job: phase {phase}" in guest.job for guest in guests):
            raise ScenarioError(f"{where}: {name}: wants a job that prints \"ebb-job: phase {phase}\"")


def parse_misses(top, must):
    """Bounds that show something only if the control misses them."""
    names = top.take("misses", list, [])
    for name in names:
        if name not in ("alive", "oom_kills", "swap_ins", "half_back"):
            raise top.wrong("misses", f"alive, oom_kills, swap_ins or half_back is wanted, not {name!r}")
        bound = getattr(must["keeper"], name) if "keeper" in must else None
        if bound is None or bound is False:
            raise top.wrong("misses", f"[must.keeper] has no {name}")
    return names


def parse_counted(top, must):
    """Bounds that are narrower than a clock that is not counted is exact."""
    names = top.take("counted", list, [])
    for name in names:
        if name not in ("time", "warm"):
            raise top.wrong("counted", f"time or warm is wanted, not {name!r}")
        if all(getattr(one, name) is None for one in must.values()):
            raise top.wrong("counted", f"[must] has no {name}")
    return names


def parse(where, name, text):
    """The scenario that `text` tells. `where` is what its mistakes are said to be in."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{where}: {error}") from error
    guests = parse_guests(where, data)
    top = Table(where, data, "")
    ask = parse_ask(where, top.data)
    variants = top.take("variants", list, [*ALWAYS, "asked"] if ask else ALWAYS)
    for variant in variants:
        if variant not in VARIANTS:
            raise top.wrong("variants", f"there is no {variant!r}; there are: {', '.join(VARIANTS)}")
    if not variants:
        raise top.wrong("variants", "one at least is wanted")
    variants = [variant for variant in VARIANTS if variant in variants]
    # What --keeper runs instead can be bound, too.
    beside = BESIDE_KEEPER if CONTROL in variants else []
    told = [variant for variant in VARIANTS if variant in variants or variant in beside]
    if "asked" in variants and not ask:
        raise top.wrong("variants", "\"asked\" wants a table [ask], which says what guests are asked, and when")
    must, goals = parse_must(where, top.data, told), parse_goals(where, top.data, told)
    check_phases(where, guests, [*must.values(), *goals.values()])
    published = parse_published(where, top.data, told)
    host = Table(where, top.take("host", dict), "host")
    scenario = Scenario(name, top.take("title", str), text, host.size("memory", least="256M"),
                        host.size("swap", "0M", least="0M"), guests, variants, must,
                        top.take("settle", float, 12.0, least=0), top.take("interval", float, 1.0, least=0.2),
                        goals, published, ask, parse_misses(top, must), parse_counted(top, must))
    host.end()
    top.end()
    return scenario


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse(path, os.path.splitext(os.path.basename(path))[0], text)
