"""Does what is known about knowledge circuits help to train a model further?

Each strategy is compared with plain replay at the same number of tokens and of replayed blocks. A
strategy whose idea lies in a choice (when to switch, which parts to train) has a control that makes
the same choice at random: only what it gains beyond that speaks for the idea.
"""

from __future__ import annotations

import functools

import pandas as pd

from kc_utils.analysis.stats.intervals import Interval, bootstrap_difference
from kc_utils.analysis.stats.resample import NotMeasured, require_right
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import BOOK, Claim, Finding, point

LEARNED = 0.05
"""How far accuracy on new facts must end above chance before strategies are compared."""

KNOWN = 0.25
"""Share of the old facts that must be known at the start, so that there is something to forget."""

RANDOM = {"phase": "phase random", "circuit": "random parts"}
"""The control of a strategy that makes a choice."""


def efficiency(run: Run, strategy: str) -> Finding:
    """Mean accuracy on new facts over the budget, minus that of replay.

    Raises:
        NotMeasured: a strategy is missing, or replay learned nothing.
    """
    summary = summary_of(run)
    row = summary.loc["replay"]
    require_right([row["last_new"] - row["chance_new"]], LEARNED,
                  "accuracy on new facts above chance at the end of replay")  # fmt: skip
    return _compared(run, "new", strategy, "replay", "people", _note(summary, strategy))


def forgetting(run: Run, strategy: str, against: str = "replay") -> Finding:
    """Change of accuracy on old facts, minus that of ``against``; above 0 forgets less.

    Raises:
        NotMeasured: a strategy is missing, or too little was known at the start.
    """
    summary = summary_of(run)
    require_right(summary["base_old"], KNOWN, "accuracy on old facts at the start")
    return _compared(run, "old", strategy, against, "questions", _note(summary, strategy))


def summary_of(run: Run) -> pd.DataFrame:
    """The table ``strategies_summary`` by strategy."""
    return run.table("strategies_summary").set_index("strategy")


def _compared(run: Run, facts: str, strategy: str, against: str, units: str, note: str) -> Finding:
    """Paired differences over people or questions, beside those of the random choice."""
    table = run.table("strategies_units")
    table = table[table["facts"] == facts]
    values = table.pivot(index="unit", columns="strategy", values="value").astype(float)
    control = RANDOM.get(strategy)
    for name in filter(None, (strategy, against, control)):
        if name not in values:
            raise NotMeasured(f"the strategy {name!r} was not run")

    def gap(name: str) -> Interval:
        n, seed = run.config.analysis.bootstrap, run.config.seed
        return bootstrap_difference(values[name], values[against], paired=True, n=n, seed=seed)

    random = gap(control) if control else point(0.0)
    return Finding(gap(strategy), random, len(values), units, note=note)


def _note(summary: pd.DataFrame, strategy: str) -> str:
    if strategy != "phase":
        return ""
    row = summary.loc["phase"]
    how = "at a detected shift" if row["detected"] else "without a detected shift"
    return f"Replay started at step {row['switch_step']:g}, {how}."


_IDEAS = {
    "names first": ("teaching names before facts", "relevant new knowledge is learned faster"),
    "phase": (
        "replaying only after the phase shift",
        "circuits form first and are optimised later",
    ),
    "circuit": ("training only the circuit's parts", "a small circuit carries the knowledge"),
}
_QUANTITIES = {
    "efficiency": "mean accuracy on new facts, minus replay (share)",
    "forgetting": "change of accuracy on old facts, minus replay (share)",
}
_TESTS = {
    "efficiency": "same tokens and same replay; bootstrap over people of one run",
    "forgetting": "same tokens and same replay; bootstrap over questions of one run",
}
_CONTROLS = {"phase": "switch at a random step", "circuit": "as many random parts"}


def _claim(strategy: str, what: str) -> Claim:
    idea, paper = _IDEAS[strategy]
    gain = "learns new facts sooner" if what == "efficiency" else "forgets fewer old facts"
    measure = efficiency if what == "efficiency" else forgetting
    return Claim(
        id=f"strategy-{strategy.replace(' ', '-')}-{what}",
        topic="strategies",
        claimed_by=BOOK,
        claim=f"{idea[0].upper()}{idea[1:]} {gain} than plain replay",
        paper=f"{paper}; suggested as a way to better continual pre-training, not tested",
        quantity=_QUANTITIES[what],
        control=_CONTROLS.get(strategy, "replay"),
        test=_TESTS[what],
        direction="above",
        notebook="15_strategies",
        measure=functools.partial(measure, strategy=strategy),
    )


CLAIMS = (
    *(_claim(strategy, "efficiency") for strategy in _IDEAS),
    _claim("circuit", "forgetting"),
    Claim(
        id="strategy-replay-forgetting",
        topic="strategies",
        claimed_by=BOOK,
        claim="Replaying base texts keeps old facts at the same number of tokens",
        paper="replay of a tenth brings old facts back from 0.27 to 0.88",
        quantity="change of accuracy on old facts, minus plain (share)",
        control="plain",
        test="same tokens; bootstrap over questions of one run",
        direction="above",
        notebook="15_strategies",
        measure=functools.partial(forgetting, strategy="replay", against="plain"),
    ),
)
