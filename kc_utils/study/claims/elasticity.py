"""What happens when training goes on about other people: forgetting, return, elastic circuits.

Whether a circuit *returns* is judged beside training that goes on with the old texts alone
("drift"): what moves there moves without anything new.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.intervals import Interval, bootstrap_difference
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, require_right, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import BOOK, PAPER, Claim, Finding, point
from kc_utils.study.claims.verdicts import Direction

VARIANT, CONFLICT, DRIFT = "new_people", "conflicting", "drift"
REPLAY = 0.1
KNOWN = 0.05
"""Accuracy that must be exceeded at the start: what is not known cannot be forgotten."""

ENTROPY = "normalised_entropy_kept"


def forgetting(run: Run) -> Finding:
    """Accuracy on old facts at the last step minus at the start, without replay."""
    kept = _old_facts(run)
    without = _curve(kept, 0.0)
    most = max(kept["ratio"])
    change, control = _change(run, without), point(0.0)
    note = "No ratio above 0 was run: the control is no change."
    if most > 0:
        control = _change(run, _curve(kept, most))
        note = f"Control: a share of {most:g} replayed, at the same number of steps."
    return Finding(change, control, len(without), "people", note=note)


def replay_returns(run: Run) -> Finding:
    """Accuracy on old facts at the last step minus the lowest on the way, with a little replay."""
    kept = _old_facts(run)
    ratio, note = _little(kept)
    curve = _curve(kept, ratio)
    control = _rebound(run, _curve(kept, 0.0))
    return Finding(_rebound(run, curve), control, len(curve), "people", note=note)


def conflict_forgets(run: Run) -> Finding:
    """Change of accuracy on old facts without replay: conflicting facts beside other people."""
    curves = [_curve(_old_facts(run, variant), 0.0) for variant in (CONFLICT, VARIANT)]
    note = "The people asked are those whose facts change; the control asks about all people."
    return Finding(*[_change(run, c) for c in curves], len(curves[0]), "people", note=note)


def shape_returns(run: Run, quantity: str, furthest: str) -> Finding:
    """A measure of the circuit with a little replay: last minus its ``furthest`` ("min", "max").

    The start itself is no point on the way. The control is the same of the drift. A training run
    gives one number for either, so that there is no interval but over seeds.
    """
    shapes = run.table("forgetting")
    ratio, note = _little(shapes[shapes["variant"] == VARIANT])
    values = []
    for variant, share in ((VARIANT, ratio), (DRIFT, 1.0)):
        curve = shapes[(shapes["variant"] == variant) & (shapes["ratio"] == share)]
        curve = curve[curve["step"] > 0].sort_values("step")[quantity].dropna()
        if len(curve) < 2:
            raise NotMeasured(f"the variant {variant!r} has fewer than two measurements")
        values.append(float(curve.iloc[-1] - curve.agg(furthest)))
    sides = (Interval(value, math.nan, math.nan) for value in values)
    note = f"{note} One training run has no interval of its own.".strip()
    return Finding(*sides, 1, "training runs", note=note)


def shape_gap(run: Run, quantity: str) -> Finding:
    """A measure of the circuit without replay minus with the largest ratio, over measurements."""
    shapes = run.table("forgetting").query("step > 0 and variant != @DRIFT")
    table = shapes.pivot(index=["variant", "step"], columns="ratio", values=quantity)
    most = max(table.columns, default=0.0)
    if 0.0 not in table.columns or most == 0:
        raise NotMeasured("a replay ratio of 0 and one above 0 are both needed")
    gaps = (table[0.0] - table[most]).dropna()
    effect = over_cells(gaps, n=run.config.analysis.bootstrap, seed=run.config.seed)
    note = f"Ratio 0 against {most:g}; measurements on one training run are not independent."
    return Finding(effect, point(0.0), len(gaps), "measurements", note=note)


def _little(table: pd.DataFrame) -> tuple[float, str]:
    """The replay ratio above 0 nearest to :data:`REPLAY`, and a note if it is another one."""
    positive = [r for r in sorted(table["ratio"].unique()) if r > 0]
    if not positive:
        raise NotMeasured("no replay ratio above 0 was run")
    ratio = min(positive, key=lambda r: abs(r - REPLAY))
    note = "" if ratio == REPLAY else f"Replay ratio {ratio:g}, the nearest to {REPLAY:g}."
    return ratio, note


def _old_facts(run: Run, variant: str = VARIANT) -> pd.DataFrame:
    table = run.table("forgetting_people")
    kept = table[(table["facts"] == "old") & (table["variant"] == variant)]
    if kept.empty:
        raise NotMeasured(f"the variant {variant!r} was not run")
    if 0.0 not in set(kept["ratio"]):
        raise NotMeasured("no run without replay (ratio 0)")
    require_right(kept[kept["step"] == 0]["correct"], KNOWN, "accuracy on old facts at the start")
    return kept


def _curve(kept: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """People in rows, steps in columns: share of a person's old facts that are still right."""
    chosen = kept[kept["ratio"] == ratio]
    curve = chosen.pivot(index="person_id", columns="step", values="correct").dropna()
    if curve.shape[1] < 2:
        raise NotMeasured("there are fewer than two measurements")
    return curve


def _change(run: Run, curve: pd.DataFrame) -> Interval:
    n, seed = run.config.analysis.bootstrap, run.config.seed
    return bootstrap_difference(curve.iloc[:, -1], curve.iloc[:, 0], paired=True, n=n, seed=seed)


def _rebound(run: Run, curve: pd.DataFrame) -> Interval:
    """Last minus lowest mean; each bootstrap sample looks for its own lowest step."""
    values = curve.to_numpy(float)
    rng = np.random.default_rng([run.config.seed, 58])
    size = (run.config.analysis.bootstrap, len(values))
    weights = rng.multinomial(size[1], np.full(size[1], 1 / size[1]), size=size[0]) / size[1]
    drawn, means = weights @ values, values.mean(axis=0)
    return spread(means[-1] - means.min(), drawn[:, -1] - drawn.min(axis=1))


_ELASTICITY = {"topic": "elasticity", "notebook": "08_forgetting"}


def _returns(
    name: str, claim: str, paper: str, quantity: str, direction: Direction, column: str,
    furthest: str, main: bool = False,
) -> Claim:  # fmt: skip
    return Claim(
        id=name,
        claim=claim,
        claimed_by=PAPER,
        paper=paper,
        quantity=quantity,
        control="going on with the old texts",
        test="one training run each, first task and band; no interval inside a run",
        direction=direction,
        measure=functools.partial(shape_returns, quantity=column, furthest=furthest),
        main=main,
        **_ELASTICITY,
    )


def _gap(
    name: str, claim: str, paper: str, quantity: str, direction: Direction, column: str
) -> Claim:
    return Claim(
        id=name,
        claim=claim,
        claimed_by=PAPER,
        paper=paper,
        quantity=quantity,
        control="no difference",
        test="bootstrap over measurements (variant, step)",
        direction=direction,
        measure=functools.partial(shape_gap, quantity=column),
        **_ELASTICITY,
    )


_JACCARD = "edge Jaccard with the start 0.38 at r = 0, 0.61 at r = 1"
_RISE = "5.8 to 6.6 nats at r = 0; comes back with replay"

CLAIMS = (
    Claim(
        id="forgetting",
        claim="Without replay, training on other people makes the model lose old facts",
        claimed_by=PAPER,
        paper="first-token accuracy 0.93 to 0.14 within 50 steps at r = 0",
        quantity="old accuracy, last minus start (share)",
        control="largest replay share",
        test="same people before and after; bootstrap over people",
        direction="below",
        measure=forgetting,
        **_ELASTICITY,
    ),
    Claim(
        id="replay-returns",
        claim="A tenth of replay brings old facts back after a dip",
        claimed_by=PAPER,
        paper="0.27 at the lowest, 0.88 at step 300 with r = 0.1",
        quantity="old accuracy, last minus lowest (share)",
        control="no replay",
        test="bootstrap over people, each sample with its own lowest step",
        direction="above",
        measure=replay_returns,
        main=True,
        **_ELASTICITY,
    ),
    _returns(
        "circuit-returns", "With a tenth of replay, the circuit comes back to where it was",
        f"circuits are called elastic; {_JACCARD}, no return shown for r = 0.1",
        "edge Jaccard, last minus lowest", "above", "edge_jaccard", "min", main=True,
    ),
    _gap("circuit-bends", "Without replay, the circuit ends up further from where it was",
         _JACCARD, "edge Jaccard, no replay minus full", "below", "edge_jaccard"),
    _returns(
        "entropy-returns", "With a tenth of replay, the circuit's entropy comes down again",
        _RISE, "entropy by its maximum, last - highest", "below", ENTROPY, "max",
    ),
    _gap("elastic-entropy", "Without replay, the circuit's entropy stays higher than with it",
         _RISE, "entropy by its maximum, none minus full", "above", ENTROPY),
    Claim(
        id="conflict-forgets",
        claim="Conflicting facts erase old ones more than facts about other people do",
        claimed_by=BOOK,
        paper="a variant with conflicting facts is trained; no number beside it",
        quantity="old accuracy, last minus start (share)",
        control="training on other people",
        test="no replay, same people before and after; bootstrap over people",
        direction="below",
        measure=conflict_forgets,
        **_ELASTICITY,
    ),
)  # fmt: skip
