"""Measures of what is learned sooner, and of confidence and capacity."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims.measured import (
    Measured,
    against,
    last,
    mean,
    require_known,
    require_learned,
)
from kc_utils.study.claims.tables import RunTables

#: Where each kind of text is measured: table and wording.
TEXTS = {"read": ("accuracy_read", "read"), "new": ("accuracy", "trained")}


def time_to(curve: pd.DataFrame, share: float = 0.5, value: str = "value") -> float:
    """Epoch at which a curve first reaches ``share`` of its last value, linear between checkpoints.

    NaN where the curve never rises.
    """
    curve = curve.sort_values("epoch")
    x, y = curve["epoch"].to_numpy(float), curve[value].to_numpy(float)
    level = share * y[-1]
    k = int(np.argmax(y >= level))
    if level <= 0 or k == 0:
        return math.nan
    return float(x[k - 1] + (x[k] - x[k - 1]) * (level - y[k - 1]) / (y[k] - y[k - 1]))


def lead(first: float, second: float) -> Measured:
    """How much sooner ``first`` is there than ``second``, in per cent of the time of ``second``."""
    if not (math.isfinite(first) and math.isfinite(second)):
        raise NotMeasured("one of the curves never rises")
    return Measured(first, second, 100 * (second - first) / second)


def sooner(run: RunTables, texts: str, second: str, learned: float, known: float) -> Measured:
    """Time to half of the final accuracy, known people (K_rel) against ``second``."""
    require_learned(run, learned)
    require_known(run, known)
    name, wording = TEXTS[texts]
    table = run.table(name)
    table = table[(table["wording"] == wording) & (table["band"] == "all")]
    kinds = dict(tuple(table.groupby("kind")))
    if second not in kinds:
        raise NotMeasured(f"the world has no people of kind {second}")
    return lead(time_to(kinds["K_rel"]), time_to(kinds[second]))


def frequent_sooner(run: RunTables, learned: float) -> Measured:
    """Time to half of the final accuracy, high against low band, mean over both kinds."""
    require_learned(run, learned)
    table = run.table("accuracy_read").query("kind in ('K_rel', 'K_compl')")
    times = {band: mean([time_to(c) for _, c in part.groupby("kind")], "a rise")
             for band, part in table.groupby("band")}  # fmt: skip
    if not {"high", "low"} <= set(times):
        raise NotMeasured("the run lacks the high or the low band")
    return lead(times["high"], times["low"])


def relevance(run: RunTables, first: str, second: str, known: float) -> Measured:
    """Time to half of the final accuracy, two of the four kinds of relevance, trained wordings."""
    right = run.table("relevance_known").groupby("kind_of_relevance")["accuracy"].mean()
    for kind in {first, second} & set(right.index):
        if right[kind] < known - 1e-6:
            raise NotMeasured(
                f"the base model answers {right[kind]:.3f} of the questions about people of kind "
                f"'{kind}'; {known:g} is needed"
            )
    table = run.table("relevance").query("wording == 'trained' and band == 'all'")
    first_time, second_time = (
        time_to(table[table["kind_of_relevance"] == kind], value="accuracy")
        for kind in (first, second)
    )
    return lead(first_time, second_time)


def circuit_hits(
    run: RunTables, column: str, first: str, second: str, learned: float, known: float
) -> Measured:
    """Hit@10 (%) of the last circuits on held-out people, two kinds or two bands."""
    require_learned(run, learned)
    require_known(run, known)
    hits = last(run.table("hits")).query(
        "circuit == 'own' and ablation == 'corrupted' and split == 'evaluate' "
        "and wording == 'trained' and kind in ('K_rel', 'K_compl')"
    )
    sides = (hits[hits[column] == name]["value"] for name in (first, second))
    return against(*(100 * mean(side, f"people of {column} on both sides") for side in sides))


def confident(run: RunTables, learned: float) -> Measured:
    """Entropy (nats) of answers about people never written about, beside a calibrated guess."""
    require_learned(run, learned)
    rows = last(run.table("unseen")).query("group == 'unseen'")
    return against(float(rows["entropy"].mean()), float(rows["guess_entropy"].mean()))


def confident_together(run: RunTables, excess: float, rise: float) -> Measured:
    """When confidence about strangers is half there, beside the same of facts, % of training.

    Confidence is how far entropy lies below a calibrated guess; facts are accuracy above the best
    guess. Attributes count where both end above ``excess`` (nats) and ``rise``.
    """
    table = run.table("unseen")
    strangers = table[table["group"] == "unseen"]
    trained = table[table["group"] != "unseen"].groupby(["epoch", "attribute"], as_index=False)
    facts = trained[["accuracy", "guess_accuracy"]].mean()
    times = []
    for attribute, sure in strangers.groupby("attribute"):
        known = facts[facts["attribute"] == attribute]
        sure = sure.assign(value=(sure["guess_entropy"] - sure["entropy"]).clip(lower=0))
        known = known.assign(value=(known["accuracy"] - known["guess_accuracy"]).clip(lower=0))
        if last_value(sure) >= excess and last_value(known) >= rise:
            times.append((time_to(sure), time_to(known)))
    if not times:
        raise NotMeasured("no attribute is both learned and answered with overconfidence")
    end = float(strangers["epoch"].max())
    return against(*(100 * mean(side, "both times") / end for side in zip(*times, strict=True)))


def last_value(curve: pd.DataFrame) -> float:
    """The value at the last epoch."""
    return float(curve.loc[curve["epoch"].idxmax(), "value"])
