"""The phase shift: does the circuit's entropy turn, when, and what turns with it?

The shift is the *knee*, where the steep fall turns slow; the *onset* is where the plateau ends and
the steep part begins. Both have a sign and are fitted together with rivals that bend nowhere
(:mod:`kc_utils.analysis.stats.bends`); here only decided ones count. Entropy is over the kept
edges, as in the published code, unless a claim says otherwise.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from scipy.stats import binomtest, spearmanr

from kc_utils.analysis.stats.bends import MIN_POINTS, fit_bends
from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.acquisition import require_known
from kc_utils.study.claims.claim import BOOK, PAPER, Claim, Finding, point, resampling
from kc_utils.study.claims.knees import ALL, KEPT, bends_of, decided_knees

LABELS = "shuffled labels"
#: Accuracy at the published knee as a share of the last one: 0.3 to 0.5 of 0.92.
PUBLISHED_PLACE = 0.43
LEAST_CELLS = 4


def decided(run: Run, quantity: str, bend: str) -> Finding:
    """Share of cells whose curve has a decided ``bend`` ("onset" or "knee").

    The control are the same curves of circuits that were asked for another pair's answers (first
    task); they can bend as well.
    """
    table = bends_of(run, quantity)
    level = shuffled_bends(run, quantity, bend)
    found = table[bend].notna()
    note = f"{found.sum()} of {len(found)} cells; {sum(level)} of {len(level)} where shuffled."
    return Finding(_share(found), _share(level), len(found), "cells", note=note)


def shuffled_bends(run: Run, quantity: str, bend: str) -> list[bool]:
    """Whether each curve of the control "shuffled labels" has the bend.

    Raises:
        NotMeasured: the run has no such curves.
    """
    curves = run.table("control_curves").query("control == @LABELS")
    found = []
    for number, (_, part) in enumerate(curves.groupby(CELL, sort=True)):
        part = part.dropna(subset=[quantity])
        if part["epoch"].nunique() >= MIN_POINTS:
            rng = np.random.default_rng([run.config.seed, 65, number])
            fit = fit_bends(part["epoch"], part[quantity], rising=False, rng=rng)
            found.append(getattr(fit, bend).decided)
    if not found:
        raise NotMeasured("there are no curves of circuits with shuffled answers")
    return found


def sharp(run: Run) -> Finding:
    """Share of the cells with a decided bend whose bends beat every smooth S-shaped curve."""
    table = bends_of(run, KEPT)
    bent = table[table["onset"].notna() | table["knee"].notna()]
    if len(bent) < LEAST_CELLS:
        raise NotMeasured(f"{len(bent)} cells have a decided bend")
    found = bent["sharp"].astype(bool)
    note = f"{found.sum()} of {len(found)} cells with a decided bend."
    return Finding(_share(found), point(0.0), len(found), "cells", note=note)


def in_rise(run: Run) -> Finding:
    """Accuracy on texts read at the knee of the entropy, as a share of the last accuracy."""
    knees, _ = decided_knees(run)
    accuracy = run.table("accuracy_read").set_index(["kind", "band"]).sort_values("epoch")
    places = []
    for row in knees.itertuples(index=False):
        curve = accuracy.loc[(row.kind, row.band)]
        at = np.interp(row.knee, curve["epoch"], curve["value"])
        places.append(at / curve["value"].iloc[-1])
    # Accuracy is the same curve for every task, so a type and band is one unit.
    effect = over_cells(places, groups=knees["kind"] + knees["band"], **resampling(run))
    return Finding(effect, point(PUBLISHED_PLACE), len(knees), "cells")


def apart(run: Run, first: str, second: str) -> Finding:
    """Epoch of one quantity's knee minus another's over cells, as a share of training."""
    (knees, _), (others, _) = (decided_knees(run, quantity) for quantity in (first, second))
    both = knees.merge(others, on=CELL, suffixes=("", "_other"))
    if both.empty:
        raise NotMeasured("no cell has both knees")
    gaps = (both["knee"] - both["knee_other"]) / _end(run)
    return Finding(over_cells(gaps, **resampling(run)), point(0.0), len(both), "cells")


def between(run: Run, label: str, first: str, second: str) -> Finding:
    """Epoch of the knee where ``label`` is ``first`` minus where it is ``second``.

    In shares of training, over pairs of cells that are otherwise the same.
    """
    if label == "kind":
        require_known(run)
    knees, _ = decided_knees(run)
    others = [name for name in CELL if name != label]
    table = knees.pivot(index=others, columns=label, values="knee")
    gaps = table.reindex(columns=[first, second]).dropna()
    if gaps.empty:
        raise NotMeasured(f"no knee of {first} stands beside one of {second}")
    effect = over_cells((gaps[first] - gaps[second]) / _end(run), **resampling(run))
    note = f"{len(gaps)} of {len(bends_of(run, KEPT).groupby(others))} pairs have both knees."
    return Finding(effect, point(0.0), len(gaps), "pairs of cells", note=note)


def follows(run: Run) -> Finding:
    """Rank correlation over cells: epoch of the knee with the mean time to knowledge.

    Time to knowledge is the mean over the people of a cell's type and band.
    """
    known = run.table("time_to_knowledge").groupby(["kind", "band"], observed=True)["epoch"].mean()
    knees, _ = decided_knees(run)
    times = known.reindex(pd.MultiIndex.from_frame(knees[["kind", "band"]])).to_numpy(float)
    values = np.column_stack([knees["knee"].to_numpy(float), times])
    if len(np.unique(times)) < LEAST_CELLS or np.ptp(values[:, 0]) == 0:
        raise NotMeasured("too few types and bands differ in knee and time")
    rng = np.random.default_rng([run.config.seed, 66])
    drawn = [_correlation(values[rng.integers(len(values), size=len(values))])
             for _ in range(run.config.analysis.bootstrap)]  # fmt: skip
    effect = spread(_correlation(values), [r for r in drawn if np.isfinite(r)])
    return Finding(effect, point(0.0), len(values), "cells")


def _correlation(values: np.ndarray) -> float:
    if (np.ptp(values, axis=0) == 0).any():
        return float("nan")
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)


def _end(run: Run) -> float:
    return float(run.table("checkpoints")["epoch"].max())


def _share(found: pd.Series | list[bool]) -> Interval:
    hits, total = int(np.sum(found)), len(found)
    exact = binomtest(hits, total).proportion_ci(0.95, method="exact")
    return Interval(hits / total, float(exact.low), float(exact.high))


_FIT = "onset and knee against rivals without them, per cell; exact binomial interval"
_PHASE = {"topic": "phases", "notebook": "06_topology"}
_CORNER = "entropy 8.3, steep fall to 6.7 by epoch 8, slow fall to about 6: a knee in every curve"

CLAIMS = (
    Claim(
        id="knee-entropy",
        claim="Circuits shift: the steep fall of their entropy turns slow at a knee",
        claimed_by=PAPER,
        paper=_CORNER,
        quantity="circuits with a decided knee (share)",
        control="answers shuffled among pairs",
        test=f"entropy of kept edges; {_FIT}",
        direction="above",
        measure=functools.partial(decided, quantity=KEPT, bend="knee"),
        main=True,
        **_PHASE,
    ),
    Claim(
        id="knee-entropy-all",
        claim="The knee is there in the entropy of all edges, too",
        claimed_by=BOOK,
        paper="entropy over kept edges only, at most ln n",
        quantity="circuits with a decided knee (share)",
        control="answers shuffled among pairs",
        test=f"entropy of all edges; {_FIT}",
        direction="above",
        measure=functools.partial(decided, quantity=ALL, bend="knee"),
        **_PHASE,
    ),
    Claim(
        id="onset-entropy",
        claim="Before it falls, the entropy of circuits stays on a plateau",
        claimed_by=PAPER,
        paper="flat for two epochs of 25, then a steep fall",
        quantity="circuits with a decided onset (share)",
        control="answers shuffled among pairs",
        test=f"entropy of kept edges; {_FIT}",
        direction="above",
        measure=functools.partial(decided, quantity=KEPT, bend="onset"),
        **_PHASE,
    ),
    Claim(
        id="knee-sharp",
        claim="The shift is a corner, not a gradual change",
        claimed_by=PAPER,
        paper="a shift at one epoch, read off the curve",
        quantity="circuits whose bends are sharp (share)",
        control="none",
        test="piecewise-linear fit against cubic and logistic curves; exact binomial interval",
        direction="above",
        measure=sharp,
        **_PHASE,
    ),
    Claim(
        id="knee-in-rise",
        claim="The knee comes while accuracy is rising, about where the paper has it",
        claimed_by=PAPER,
        paper="knee at epoch 7 to 8 of 25, K_rel accuracy 0.3 to 0.5 there and 0.92 at the end",
        quantity="accuracy at the knee / at the end",
        control="the published place, 0.43",
        test="texts read; bootstrap over types and bands",
        direction="equal",
        measure=in_rise,
        main=True,
        **_PHASE,
    ),
    Claim(
        id="knee-jaccard",
        claim="Edges settle at the knee of the entropy",
        claimed_by=PAPER,
        paper="entropy and edge similarity both bend near epoch 7 of 25",
        quantity="knees, entropy - edges (of training)",
        control="the same epoch",
        test="cells with both knees; bootstrap over cells",
        direction="equal",
        measure=functools.partial(apart, first=KEPT, second="edge_jaccard"),
        **_PHASE,
    ),
    Claim(
        id="knee-frequent",
        claim="Circuits of people written about often reach the knee earlier",
        claimed_by=BOOK,
        paper="one epoch for all bands",
        quantity="knee, high minus low (of training)",
        control="the same epoch",
        test="pairs of cells with both knees; bootstrap over pairs",
        direction="below",
        measure=functools.partial(between, label="band", first="high", second="low"),
        **_PHASE,
    ),
    Claim(
        id="knee-relevant",
        claim="Circuits of known people reach the knee earlier",
        claimed_by=BOOK,
        paper="one epoch for both types",
        quantity="knee, K_rel minus K_compl (of training)",
        control="the same epoch",
        test="pairs of cells with both knees; bootstrap over pairs",
        direction="below",
        measure=functools.partial(between, label="kind", first="K_rel", second="K_compl"),
        **_PHASE,
    ),
    Claim(
        id="knee-follows",
        claim="The later people are known, the later their circuit reaches the knee",
        claimed_by=BOOK,
        paper="the two are read off two figures",
        quantity="rank correlation of knee and time",
        control="no correlation",
        test="over types, bands and tasks; bootstrap over cells",
        direction="above",
        measure=follows,
        **_PHASE,
    ),
)  # fmt: skip
