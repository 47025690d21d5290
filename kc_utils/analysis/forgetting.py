"""What is lost while training goes on with other text, and what of it comes back."""

from __future__ import annotations

import pandas as pd


def accuracy_paths(forgetting: pd.DataFrame) -> pd.DataFrame:
    """Start, lowest point and end of the accuracy on old facts.

    Args:
        forgetting: a row per variant, ratio and step: accuracy_old, accuracy_new. Training that
            goes on with the old texts alone has no new facts and is left out.

    Returns:
        One row per variant and ratio: variant, ratio, start, dip, at step, end, recovered (the
        part of the loss that came back; NaN where nothing was lost), new facts at end.
    """
    rows = []
    taught = forgetting.dropna(subset="accuracy_new")
    for keys, curve in taught.groupby(["variant", "ratio"]):
        curve = curve.sort_values("step")
        old, low = curve["accuracy_old"], curve.loc[curve["accuracy_old"].idxmin()]
        start, dip, end = old.iloc[0], low["accuracy_old"], old.iloc[-1]
        recovered = (end - dip) / (start - dip) if start > dip else float("nan")
        new = curve["accuracy_new"].iloc[-1]
        rows.append((*keys, start, dip, int(low["step"]), end, recovered, new))
    names = ["start", "dip", "at step", "end", "recovered", "new facts at end"]
    return pd.DataFrame(rows, columns=["variant", "ratio", *names])


def circuit_paths(forgetting: pd.DataFrame, entropy: str = "entropy") -> pd.DataFrame:
    """Does the circuit come back? Entropy and similarity on the way, and how far each returned.

    The start is no point on the way: similarity is 1 there by definition.

    Args:
        forgetting: a row per ratio and step of one variant: edge_jaccard (with the circuit at
            step 0) and an entropy.
        entropy: which entropy (column).

    Returns:
        One row per ratio: ratio, entropy start, highest entropy (after the start), entropy end,
        entropy falls by (highest minus end), lowest similarity, similarity end, similarity rises by
        (end minus lowest).
    """
    ordered = forgetting.sort_values("step")
    curves, way = (
        rows.groupby("ratio")
        for rows in (ordered, ordered[ordered["step"] > ordered["step"].min()])
    )
    shape = pd.DataFrame(
        {
            "entropy start": curves[entropy].first(),
            "highest entropy": way[entropy].max(),
            "entropy end": curves[entropy].last(),
            "lowest similarity": way["edge_jaccard"].min(),
            "similarity end": curves["edge_jaccard"].last(),
        }
    )
    falls = shape["highest entropy"] - shape["entropy end"]
    shape.insert(3, "entropy falls by", falls)
    shape["similarity rises by"] = shape["similarity end"] - shape["lowest similarity"]
    return shape.reset_index()
