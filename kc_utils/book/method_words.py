"""Attribution methods for readers: the table of all measures, and what papers expect of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.book.sentences import sentence
from kc_utils.config import KINDS
from kc_utils.plots.tables import table

MEASURES = {"pearson": "r", "spearman": "ρ", "overlap": "J", "faithfulness": "F"}
BEST_OTHER = "the best other"
_IG = "EAP-IG, k = 1..m"
#: Which method should be ahead of which, in what. "As good as" allows for a margin.
EXPECTED = pd.DataFrame(
    [
        ("1", _IG, "EAP", "faithfulness", False),
        ("2", _IG, "EAP", "pearson", False),
        ("3", _IG, "EAP", "spearman", False),
        ("4", "RelP", "EAP", "pearson", False),
        ("5", "RelP", "EAP", "spearman", False),
        ("6", "RelP", _IG, "faithfulness", True),
        ("7", "exact", BEST_OTHER, "faithfulness", False),
    ],
    columns=["number", "method", "against", "measure", "as_good_as"],
)
_UNKNOWN = "not measured"


def method_table(agreement: pd.DataFrame, model: str) -> Styler:
    """All measures of one model, both types of knowledge side by side.

    ``agreement``: the table ``method_agreement`` of a run.
    """
    order = list(dict.fromkeys(agreement["method"]))
    wide = agreement.pivot(index="method", columns="kind", values=list(MEASURES)).reindex(order)
    wide = wide[[(measure, kind) for measure in MEASURES for kind in KINDS]]
    wide.columns = [f"{MEASURES[m]} {kind.removeprefix('K_')}" for m, kind in wide.columns]
    runs = agreement.drop_duplicates("method").set_index("method")["backward_runs"]
    wide.insert(0, "backward passes", runs.astype("Int64").astype(str).replace("<NA>", "-"))
    pairs, n = agreement["n_pairs"].max(), agreement["n"].max()
    caption = (
        f"{model}: n = {n:,} edges, scored on up to {pairs} pairs of each type, K_rel and K_compl"
    )
    return table(wide.reset_index(), 2, {name: name for name in wide}, caption)


def in_short(agreement: pd.DataFrame) -> str:
    """How EAP, EAP-IG and patching itself compare, for one type of knowledge.

    ``agreement``: the rows of that type in the table ``method_agreement`` of the Llama shape.
    """
    return sentence(
        "In the Llama shape, scores of EAP correlate with patching at r = "
        "**{by[pearson][EAP]:.2f}** over all edges, those of EAP-IG at "
        "**{by[pearson][EAP-IG, k = 1..m]:.2f}**. In the order of the edges (rho) they come "
        "to {by[spearman][EAP]:.2f} and {by[spearman][EAP-IG, k = 1..m]:.2f}. Circuits of the "
        "edges with the largest exact effects restore {by[faithfulness][exact]:.2f}, those "
        "of EAP-IG {by[faithfulness][EAP-IG, k = 1..m]:.2f}.",
        by=agreement.set_index("method"),
    )


def nearest(agreement: pd.DataFrame) -> str:
    """Which method comes nearest to patching in the order of the edges, and at what cost.

    ``agreement``: as for :func:`in_short`.
    """
    by = agreement.set_index("method").drop(["exact", "random"], errors="ignore")
    best = by["spearman"].idxmax()
    return sentence(
        "Nearest in that order comes {best} ({rho:.2f}), at {cost:.0f} backward passes for a pair; "
        "EAP takes {eap:.0f}, EAP-IG {ig:.0f}.",
        best=best,
        rho=by.loc[best, "spearman"],
        cost=by.loc[best, "backward_runs"],
        eap=by.loc["EAP", "backward_runs"],
        ig=by.loc["EAP-IG, k = 1..m", "backward_runs"],
    )


def expectations(agreement: Mapping[str, pd.DataFrame], margin: float) -> pd.DataFrame:
    """What papers expect, and what each model says: "yes" or "no" with both numbers.

    ``agreement``: model to its table ``method_agreement``. Faithfulness is better the nearer it is
    to 1; ``margin`` is how much further from 1 "as good as" may be.

    Returns:
        number, method, against, measure, then a column for each model and type of knowledge.
    """
    found = EXPECTED.drop(columns="as_good_as").assign(measure=EXPECTED["measure"].map(MEASURES))
    for model, rows in agreement.items():
        for kind, part in rows.set_index("method").groupby("kind", sort=False):
            answers = [_answer(row, part, margin) for row in EXPECTED.itertuples()]
            found[f"{model}, {kind}"] = answers
    return found


def _answer(row: tuple, measures: pd.DataFrame, margin: float) -> str:
    """``measures``: of one model and type, a row per method."""
    values = measures[row.measure]
    against = row.against
    if against == BEST_OTHER:
        against = (values.drop(["exact", "random"], errors="ignore") - 1).abs().idxmin()
    one, two = (float(values.get(method, np.nan)) for method in (row.method, against))
    if np.isnan(one - two):
        return _UNKNOWN
    ahead = abs(two - 1) - abs(one - 1) if row.measure == "faithfulness" else one - two
    right = ahead >= (-margin if row.as_good_as else 0)
    return f"{'yes' if right else 'no'}: {one:.2f}, {two:.2f}"


def which_come_true(answers: pd.DataFrame) -> str:
    """The numbers of the expectations that come true always, never and sometimes.

    ``answers`` as of :func:`expectations`; what was not measured is left out.
    """
    given = answers.set_index("number").iloc[:, 3:]
    yes = given.apply(lambda column: column.str.startswith("yes")).sum(axis=1)
    total = given.ne(_UNKNOWN).sum(axis=1)
    always, never = (yes == total) & (total > 0), (yes == 0) & (total > 0)
    groups = {
        "in every case": always,
        "in none": never,
        "in some cases and not in others": ~always & ~never & (total > 0),
    }
    return "; ".join(
        f"**{', '.join(yes.index[where])}** {words}"
        for words, where in groups.items()
        if where.any()
    )
