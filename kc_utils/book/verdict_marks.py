"""How a verdict and its numbers are written on a page of Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from kc_utils.book.sentences import enumeration
from kc_utils.plots.style import LOOKS
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, NOT_MEASURED, OPEN, OPPOSITE, SMALLER

#: What each verdict says, for a pointer that rests on it; no brackets, which end the role.
MEANS = {
    HOLDS: "the whole 95 % interval is beyond the margin",
    SMALLER: "there is an effect, but it may be too small to matter: the whole interval is beyond "
    "zero, and not all of it is beyond the margin",
    NO_EFFECT: "the whole interval is inside the margin and reaches zero or the other side of it",
    OPPOSITE: "the whole interval is on the other side of zero and reaches beyond the margin there",
    OPEN: "the interval allows for an effect and for none, or there are too few runs",
    NOT_MEASURED: "there is no number",
}
#: The same of claims that two things are equal.
EQUAL = {
    HOLDS: "the whole 95 % interval is inside the margin, so the two are equal",
    OPPOSITE: "the whole interval is beyond the margin, so the two differ",
}
#: What the profiles of the reference sweep are, where nobody knows their names yet.
BUILT = {"tiny": "built like GPT-2", "tiny-llama": "built like Llama"}
#: Controls that are zero whatever the run, so that the effect is the difference.
NOTHING = ("no change", "no difference", "no correlation", "none", "the same epoch", "plain",
           "replay", "chance agreement", "people never shown (taken off)")  # fmt: skip
#: Profiles whose runs all begin with one model that exists.
GIVEN = {"smollm2": "SmolLM2-135M"}


def marked(verdict: str, direction: str = "above") -> str:
    """The verdict in a frame of its own colour and line; a pointer on it reads what it means.

    ``direction`` is that of the claim: a claim that two things are equal holds for another reason.
    """
    css = verdict.replace(",", "").replace(" ", "-")
    means = MEANS | (EQUAL if direction == "equal" else {})
    return f"[{{abbr}}`{verdict} ({means[verdict]})`]{{.verdict .verdict-{css}}}"


def models(n: int, profile: str) -> str:
    """``3 models built like GPT-2``, or ``1 run of SmolLM2-135M``."""
    if profile in GIVEN:
        return f"{n} {'run' if n == 1 else 'runs'} of {GIVEN[profile]}"
    return f"{n} {'model' if n == 1 else 'models'} {BUILT.get(profile, 'of this profile')}"


def called(profile: str) -> str:
    """The models of a profile inside a sentence: ``models built like GPT-2``."""
    return f"models {BUILT[profile]}" if profile in BUILT else GIVEN.get(profile, f"`{profile}`")


def inside(profiles: Iterable[str]) -> str:
    """Where something is so: ``in models built like GPT-2 or Llama and in SmolLM2-135M``."""
    profiles = list(profiles)
    kinds = [BUILT[name].rpartition(" ")[2] for name in profiles if name in BUILT]
    made = [f"in models built like {' or '.join(kinds)}"] if kinds else []
    return enumeration([*made, *(f"in {called(name)}" for name in profiles if name not in BUILT)])


def called_shortly(profile: str) -> str:
    """The same in front of a number, and in figures: ``GPT-2-like``."""
    look = LOOKS["profile"].get(profile)
    return look.label if look else f"`{profile}`"


def interval(row: dict[str, Any], name: str, n: str) -> str:
    """``+0.055 (95 %: 0.007 to 0.1; 3 seeds)`` from a row of the ledger over seeds.

    ``name`` is the column of the mean, ``n`` that of the number of seeds.
    """
    between = _between(row, name)
    told = f"95 %: {between}" if between else "no interval"
    return f"{short(row[name], '+')} ({told}; {row[n]} {'seed' if row[n] == 1 else 'seeds'})"


def ends(row: dict[str, Any], name: str) -> str:
    """``+0.055 (0.007 to 0.1)``, shorter than :func:`interval`."""
    return f"{short(row[name], '+')} ({_between(row, name) or 'no interval'})"


def _between(row: dict[str, Any], name: str) -> str:
    """``0.007 to 0.1``; empty where there is no interval."""
    both = [row[f"{name}_low"], row[f"{name}_high"]]
    return "" if any(map(math.isnan, both)) else " to ".join(_end(end, row) for end in both)


def bar(row: dict[str, Any]) -> str:
    """Which differences would matter in the claimed direction: ``+0.055`` or ``±0.02``."""
    return f"{({'above': '+', 'below': '-', 'equal': '±'})[row['direction']]}{row['margin']:.2g}"


def margin_of(row: dict[str, Any]) -> str:
    """``margin +0.055``."""
    return f"margin {bar(row)}"


def within(margin: float, low: float, high: float) -> bool:
    """Whether a whole interval is short of the margin, on whichever side of zero it lies."""
    return max(abs(low), abs(high)) < margin


def first_up(text: str) -> str:
    """The text with a capital at its front."""
    return text[:1].upper() + text[1:]


def _end(end: float, row: dict[str, Any]) -> str:
    """An end of an interval; a third digit where two would put it on the margin that it misses."""
    on_margin = f"{abs(end):.2g}" == f"{row['margin']:.2g}" and abs(end) != row["margin"]
    return f"{end:.3g}" if on_margin else short(end)


def short(number: float, sign: str = "") -> str:
    """Two digits, and no powers of ten where nothing is left of them; zero has no sign."""
    few = f"{number:{sign}#.2g}".removesuffix(".")
    if 0.001 <= abs(number) < 99.5:
        return few
    rounded = f"{number:{sign}.{3 * (abs(number) < 1)}f}"
    return rounded.lstrip("+-") if not float(rounded) else rounded


def chapter_link(notebook: str) -> str:
    """``[chapter 5](../notebooks/05_performance.ipynb)``, from a page in ``book/``."""
    return f"[chapter {int(notebook.partition('_')[0])}](../notebooks/{notebook}.ipynb)"
