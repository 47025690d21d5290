"""Tables of faithfulness from rows per pair: per group, as areas, per class of reader."""

from __future__ import annotations

import pandas as pd

from kc_utils.circuits import areas
from kc_utils.circuits.evaluation import faithfulness
from kc_utils.config import CELL


def faithfulness_of(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Faithfulness per group (paper, section 5): NaN, which is undefined, where clean equals
    corrupted.

    Columns: ``by``, value, logit_diff, clean_logit_diff, corrupted_logit_diff, n_pairs; and where
    ``pairs`` has empty_logit_diff, this and f_mib, which takes the circuit without edges under the
    same ablation as 0 (arXiv 2504.13151) and not the corrupted run.
    """
    sides = ["logit_diff", "clean_logit_diff", "corrupted_logit_diff"]
    if "empty_logit_diff" in pairs:
        sides.append("empty_logit_diff")
    grouped = pairs.groupby(by, sort=True, observed=True)
    table = grouped[sides].mean().assign(n_pairs=grouped.size()).reset_index()
    table["value"] = [faithfulness(*row) for row in table[sides[:3]].itertuples(index=False)]
    if "empty_logit_diff" in pairs:
        lows = ["logit_diff", "clean_logit_diff", "empty_logit_diff"]
        table["f_mib"] = [faithfulness(*row) for row in table[lows].itertuples(index=False)]
    return table


def curve_areas(curve: pd.DataFrame) -> pd.DataFrame:
    """CPR and CMD, of f_mib, per cell, circuit and ablation of a table ``size_curve``.

    Columns: task, kind, band, circuit, ablation, cpr, cmd; NaN where f is undefined somewhere.
    """
    keys = [*CELL, "circuit", "ablation"]
    rows = [
        (*names, *areas(part["share"], part["f_mib"]))
        for names, part in faithfulness_of(curve, [*keys, "share"]).groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows, columns=[*keys, "cpr", "cmd"])


def recovery_of(pairs: pd.DataFrame) -> pd.DataFrame:
    """Faithfulness per cell, class of reader and view, from the rows per pair.

    Columns: task, kind, band, ablation, reader_class, view, n_edges_in_class, n_kept, n_edges,
    faithfulness.
    """
    counts = ["n_edges_in_class", "n_kept", "n_edges"]
    keys = [*CELL, "ablation", "reader_class", "view", *counts]
    found = faithfulness_of(pairs, keys).rename(columns={"value": "faithfulness"})
    return found[[*keys, "faithfulness"]]


def class_costs(recovery: pd.DataFrame) -> pd.DataFrame:
    """What the missing edges into each class of readers cost, with corrupted values outside.

    Args:
        recovery: from :func:`recovery_of`.

    Returns:
        One row per class, means over cells: reader_class, n_edges_in_class, n_kept, missing
        (edges), cost (1 - faithfulness when they are cut from the model), per hundred (missing
        edges). NaN where faithfulness is undefined in a cell.
    """
    cut = recovery[(recovery["view"] == "cut") & (recovery["ablation"] == "corrupted")]
    cut = cut.assign(missing=cut["n_edges_in_class"] - cut["n_kept"], cost=1 - cut["faithfulness"])
    columns = ["n_edges_in_class", "n_kept", "missing", "cost"]
    rows = cut.groupby("reader_class")[columns].agg(lambda x: x.mean(skipna=False))
    rows["per hundred"] = 100 * rows["cost"] / rows["missing"]
    return rows.loc[["qk", "v", "mlp", "logits", "all"]].reset_index()


#: What a circuit can be asked: the split and the wording of the queries.
QUERIES = {
    "discovery people": ("discover", "trained"),
    "held-out people": ("evaluate", "trained"),
    "held-out wording": ("evaluate", "held_out"),
}


def named_queries(pairs: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` with a column ``queries`` that says who was asked and how (:data:`QUERIES`)."""
    names = {where: name for name, where in QUERIES.items()}
    found = [names[where] for where in zip(pairs["split"], pairs["wording"], strict=True)]
    return pairs.assign(queries=found)


def nearer_than_random(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pair by pair: is the discovered circuit nearer to the whole model than a random one?

    Args:
        pairs: a row per pair and circuit (own, random; several random ones make several rows):
            ablation, kind, band, pair_id, person_id, circuit, logit_diff, clean_logit_diff.

    Returns:
        The rows of the discovered circuit, one per random circuit, with ``nearer`` (1.0 or 0.0):
        whether the logit difference is closer to that of the clean run.
    """
    names = ["ablation", "kind", "band", "pair_id"]
    pairs = pairs.assign(error=(pairs["logit_diff"] - pairs["clean_logit_diff"]).abs())
    own, random = (pairs[pairs["circuit"] == name] for name in ("own", "random"))
    both = own.merge(random[[*names, "error"]], on=names, suffixes=("", "_random"))
    return both.assign(nearer=(both["error"] < both["error_random"]).astype(float))
