"""Is the model sure of what it cannot know, since when, and how many bits of facts does it hold?

The units are the five attributes: each is one prompt, one pool of values and one kind of answer.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, ratio
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import ELSEWHERE, Claim, Finding, point, resampling

LEAST_EXCESS = 0.1
"""Nats below a calibrated guess from which an attribute counts as answered with overconfidence."""

LEAST_RISE = 0.05
"""Rise of accuracy beyond the best guess from which an attribute counts as learned."""


def too_sure(run: Run) -> Finding:
    """Entropy of answers about people never seen, beside a guesser who knows the values."""
    first, last = _ends(_group(run, "unseen"))
    effect = over_cells(last["entropy"] - last["guess_entropy"], **resampling(run))
    note = f"Mean entropy {first['entropy'].mean():.2f} nats at the start, "
    note += f"{last['entropy'].mean():.2f} at the end, {last['guess_entropy'].mean():.2f} guessed."
    return Finding(effect, point(0.0), len(last), "attributes", note=note)


def together(run: Run) -> Finding:
    """When confidence about strangers is half there, minus the same of facts, share of training.

    Confidence is how far the entropy lies below that of a calibrated guesser, facts how far the
    accuracy on trained people lies above the best guess: what comes before that is statistics.
    """
    strangers = _group(run, "unseen")
    trained = run.table("unseen").query("group != 'unseen'")
    trained = trained.groupby(["epoch", "attribute"], as_index=False).mean(numeric_only=True)
    gaps = []
    for attribute, curve in strangers.groupby("attribute"):
        facts = trained[trained["attribute"] == attribute]
        sure = half_way(curve["epoch"], curve["guess_entropy"] - curve["entropy"], LEAST_EXCESS)
        known = half_way(facts["epoch"], facts["accuracy"] - facts["guess_accuracy"], LEAST_RISE)
        gaps.append(sure - known)
    found = np.array(gaps)[np.isfinite(gaps)]
    if not len(found):
        raise NotMeasured(
            "no attribute is both learned and answered with overconfidence about strangers"
        )
    note = f"{len(found)} of {len(gaps)} attributes are learned and answered with overconfidence."
    effect = over_cells(found / float(strangers["epoch"].max()), **resampling(run))
    return Finding(effect, point(0.0), len(found), "attributes", note=note)


def half_way(epoch: pd.Series, excess: pd.Series, least: float) -> float:
    """Epoch from which a curve stays above half of its last value, between checkpoints linear.

    NaN if the last value is below ``least``.
    """
    x, y = epoch.to_numpy(float), np.maximum(excess.to_numpy(float), 0.0)
    half = y[-1] / 2
    if y[-1] < least:
        return float("nan")
    below = np.flatnonzero(y < half)
    if not len(below):
        return float(x[0])
    i = below[-1]
    return float(x[i] + (x[i + 1] - x[i]) * (half - y[i]) / (y[i + 1] - y[i]))


def bits_reached(run: Run) -> Finding:
    """Share of the world's bits that the model holds at the end, own beside shuffled answers."""
    table = _capacity(run)
    sides = [_share(run, table[table["answers"] == a]) for a in ("own", "shuffled")]
    note = ""
    guess = table[table["answers"] == "guess"]
    if len(guess):
        known = _share(run, guess).mean
        note = f"Knowing the values but not whose they are gives {known:.0%} of the bits."
    return Finding(*sides, table["attribute"].nunique(), "attributes", note=note)


def _group(run: Run, group: str) -> pd.DataFrame:
    table = run.table("unseen")
    if table["step"].nunique() < 2:
        raise NotMeasured("there are fewer than two checkpoints")
    return table[table["group"] == group].sort_values(["attribute", "step"])


def _ends(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the first and the last checkpoint, one per attribute."""
    ends = (table["step"].min(), table["step"].max())
    return tuple(table[table["step"] == step].set_index("attribute") for step in ends)


def _capacity(run: Run) -> pd.DataFrame:
    table = run.table("capacity")
    return table[(table["step"] == table["step"].max()) & (table["wording"] == "trained")]


def _share(run: Run, table: pd.DataFrame) -> Interval:
    """Bits held by bits there are, attributes resampled."""
    parts = table.assign(above=table["total_bits"], below=table["n_people"] * table["pool_bits"])
    return ratio(parts, parts["attribute"], **resampling(run))[0]


CLAIMS = (
    Claim(
        id="confident-unseen",
        topic="acquisition",
        claim="The model becomes too sure about people whom it has never read about",
        claimed_by=ELSEWHERE,
        paper="entropy of answers about unseen names falls (Zucchet et al. 2025)",
        quantity="entropy minus a calibrated guess (nats)",
        control="a calibrated guess",
        test="last checkpoint, first token, people never written about; bootstrap over attributes",
        direction="below",
        notebook="05_performance",
        measure=too_sure,
    ),
    Claim(
        id="confident-together",
        topic="acquisition",
        claim="Confidence about people never seen appears together with the facts",
        claimed_by=ELSEWHERE,
        paper="hallucinations and facts appear at the same time (Zucchet et al. 2025)",
        quantity="confidence minus facts (of training)",
        control="the same epoch",
        test="epochs of half of the final excess over a guess; bootstrap over attributes",
        direction="equal",
        notebook="05_performance",
        measure=together,
    ),
    Claim(
        id="capacity-reached",
        topic="acquisition",
        claim="The parameters hold bits of the facts by the end",
        claimed_by=ELSEWHERE,
        paper="knowledge can be counted in bits (Allen-Zhu and Li 2024)",
        quantity="bits held by bits there are (share)",
        control="answers shuffled among people",
        test="last checkpoint, whole answers in the trained wording; bootstrap over attributes",
        direction="above",
        notebook="05_performance",
        measure=bits_reached,
    ),
)
