"""The phase shift for readers: onset and knee as tables and sentences, from the table ``shift``.

A run with too few checkpoints has no rows there; every function then says so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from kc_utils.analysis.stats.bends import MIN_POINTS
from kc_utils.analysis.stats.intervals import Interval
from kc_utils.book.sentences import say, sentence
from kc_utils.config import CELL
from kc_utils.plots.tables import table

KEPT, ALL = "entropy_kept", "entropy"
TOO_FEW = (
    f"Onset and knee need at least {MIN_POINTS} checkpoints. This run has fewer, so nothing is "
    "fitted."
)
_VERDICTS = ["onset and knee", "knee", "onset", "undecided", "no bend"]


def criteria_met(regime: pd.DataFrame) -> Markdown:
    """Whether the run is in the regime that the study is about."""
    asked = regime[regime["needed"].notna()]
    missed = asked[asked["passed"] == "no"]
    if missed.empty:
        return say("All {n} criteria are met.", n=len(asked))
    return say(
        "**{n} of {asked} criteria are not met**, so what follows says little about how facts are "
        "learned.",
        n=len(missed),
        asked=len(asked),
    )


def bends_table(shift: pd.DataFrame, caption: str) -> Styler | Markdown:
    """A row per kind and quantity: epoch of onset and knee with intervals, and whether sharp."""
    if shift.empty:
        return Markdown(TOO_FEW)
    rows = shift[["kind", "quantity"]].assign(quantity=shift["quantity"].str.replace("_", " "))
    for bend in ("onset", "knee"):
        ends = shift[[bend, f"{bend}_low", f"{bend}_high"]].to_numpy(float)
        rows[bend] = [sentence("{at:.1f}", at=Interval(*row)) if np.isfinite(row[0]) else "-"
                      for row in ends]  # fmt: skip
    rows["sharp"] = np.where(shift["sharp"].astype(bool), "yes", "no")
    return table(rows, caption=caption)


def verdict_table(shift: pd.DataFrame) -> Styler | Markdown:
    """How many cells have which bends, a row per quantity."""
    if shift.empty:
        return Markdown(TOO_FEW)
    counts = shift.groupby("quantity", sort=False)["verdict"].value_counts()
    counts = counts.unstack(fill_value=0).reindex(columns=_VERDICTS, fill_value=0).reset_index()
    counts["quantity"] = counts["quantity"].str.replace("_", " ")
    names = {"onset": "onset alone", "knee": "knee alone"}
    return table(counts, names=names, caption="Bends that are decided, over all cells")


def kept_and_all(topology: pd.DataFrame, shift: pd.DataFrame) -> Markdown:
    """Entropy of kept and of all edges by their maxima, and what the difference changes."""
    columns = ["normalised_entropy_kept", "normalised_entropy"]
    curves = topology.sort_values("epoch").groupby(CELL)[columns]
    first, last = curves.first().mean(), curves.last().mean()
    said = sentence(
        "Divided by its maximum, entropy goes from {first[0]:.2f} to **{last[0]:.2f}** over kept "
        "edges and from {first[1]:.2f} to **{last[1]:.2f}** over all.",
        first=first.tolist(),
        last=last.tolist(),
    )
    if len(shift):
        knees = _by_cell(shift, "knee")
        both = knees[[KEPT, ALL]].dropna()
        apart = f", {(both[ALL] - both[KEPT]).abs().median():.1f} epochs apart (median)"
        said += sentence(
            " What it changes: {kept} of {n} cells have a knee over kept edges and {every} over "
            "all, {both} have both{apart}.",
            kept=knees[KEPT].notna().sum(),
            every=knees[ALL].notna().sum(),
            n=len(knees),
            both=len(both),
            apart=apart if len(both) else "",
        )
    return Markdown(said)


def turning_points(shift: pd.DataFrame, read: pd.DataFrame) -> Markdown:
    """When formation begins and ends, and what edges and accuracy do meanwhile.

    ``read`` is the table ``accuracy_read``.
    """
    if shift.empty:
        return Markdown(TOO_FEW)
    knees, onsets = _by_cell(shift, "knee"), _by_cell(shift, "onset")
    kept = knees[KEPT].dropna()
    if kept.empty:
        return say("No cell has a decided knee of the entropy of kept edges.")
    known = known_at(kept, read)
    return say(
        "Formation ends at the knee, at epoch **{knee:.1f}** of {end:.0f} (median of {n} cells; "
        "middle half {low:.1f} to {high:.1f}); {onset}. Accuracy on texts read stands at "
        "**{at:.2f}** at the knee and at {last:.2f} at the end. {others}.",
        knee=kept.median(),
        end=read["epoch"].max(),
        n=len(kept),
        low=kept.quantile(0.25),
        high=kept.quantile(0.75),
        onset=_onset(onsets[KEPT].dropna()),
        at=known["at"].mean(),
        last=known["last"].mean(),
        others=" ".join([_lag(knees, "edge_jaccard"), _lag(knees, "accuracy")]).strip(". "),
    )


def known_at(knees: pd.Series, read: pd.DataFrame) -> pd.DataFrame:
    """First-token accuracy (share) of each cell's people at its knee (``at``) and at the end.

    ``knees`` are epochs by task, kind and band; between checkpoints accuracy is interpolated.
    """
    curves = read.sort_values("epoch").set_index(["kind", "band"])[["epoch", "value"]]
    rows = []
    for (_, kind, band), epoch in knees.items():
        curve = curves.loc[(kind, band)]
        at = np.interp(epoch, curve["epoch"], curve["value"])
        rows.append((float(at), float(curve["value"].iloc[-1])))
    return pd.DataFrame(rows, columns=["at", "last"], index=knees.index)


def _onset(onsets: pd.Series) -> str:
    if onsets.empty:
        return "no onset is decided, so no plateau is told from the fall"
    return sentence(
        "it begins at the onset, at epoch **{at:.1f}** (median of the {n} cells that have one)",
        at=onsets.median(),
        n=len(onsets),
    )


def _lag(knees: pd.DataFrame, quantity: str) -> str:
    apart = (knees[quantity] - knees[KEPT]).dropna()
    name = quantity.replace("_jaccard", " similarity")
    if apart.empty:
        return f"No cell has a knee of {name} beside that of entropy."
    return sentence(
        "The knee of {name} lies {apart:+.1f} epochs from that of entropy (median of {n} cells).",
        name=name,
        apart=apart.median(),
        n=len(apart),
    )


def _by_cell(shift: pd.DataFrame, bend: str) -> pd.DataFrame:
    """Epochs of a bend: a row per cell, a column per quantity; NaN where it isn't decided."""
    table = shift.pivot(index=CELL, columns="quantity", values=bend)
    return table.reindex(columns=[KEPT, ALL, "edge_jaccard", "accuracy"])
