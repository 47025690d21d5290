"""Tables of faithfulness from rows per pair: per group, as areas, per class of reader."""

from __future__ import annotations

import pandas as pd

from kc_utils.circuits import areas
from kc_utils.circuits.evaluation import faithfulness

CELL = ["task", "kind", "band"]


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
