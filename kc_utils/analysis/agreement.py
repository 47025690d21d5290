"""How well does each attribution method say what exact patching would?

Every method scores the same edges on the same pairs; exact activation patching of each edge is what
they estimate. A matrix of random scores is the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.topology import jaccard
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.circuit import top_edges
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch

RANDOM_SCORES = 7303  # stream number of the generator that draws random scores


def variants(steps: int) -> dict[str, AttributionSettings]:
    """The methods that are compared, by name; ``steps`` for those that integrate."""
    return {
        "EAP": AttributionSettings(method="eap"),
        "clean-corrupted": AttributionSettings(method="clean-corrupted"),
        "EAP-IG, k = 1..m": AttributionSettings(steps=steps),
        "EAP-IG, k = 0..m-1": AttributionSettings(steps=steps, path="0..m-1"),
        "EAP-IG activations": AttributionSettings(method="eap-ig-activations", steps=steps),
        "RelP": AttributionSettings(method="relp"),
    }


def backward_runs(settings: AttributionSettings, graph: Graph) -> int:
    """Forward and backward passes of a method for one pair, beside two forward passes."""
    parts = 2 * graph.n_layers + 1 if settings.method == "eap-ig-activations" else 1
    return parts * len(settings.shares_of_clean)


def score_all(
    bridge: TransformerBridge, batch: PairBatch, steps: int, seed: int, exact: bool
) -> dict[str, Float[Tensor, "n_forward n_backward"]]:
    """Scores of every method, of the random control, and (``exact``) of exact patching."""
    graph = graph_of(bridge)
    scores = {name: attribute(bridge, batch, how) for name, how in variants(steps).items()}
    rng = np.random.default_rng([seed, RANDOM_SCORES])
    like = next(iter(scores.values()))
    noise = like.new_tensor(rng.standard_normal(graph.real_edges.shape))
    scores["random"] = noise * like.new_tensor(graph.real_edges)
    if exact:
        scores["exact"] = attribute(bridge, batch, AttributionSettings(method="exact"))
    return scores


def edge_table(
    scores: Mapping[str, Float[Tensor, "n_forward n_backward"]], graph: Graph
) -> pd.DataFrame:
    """One row per method and edge: method, writer, reader, reader_kind, score, exact."""
    u, v = np.nonzero(graph.real_edges)
    exact = scores["exact"].numpy()[u, v]
    frames = [
        pd.DataFrame(
            {
                "method": method,
                "writer": np.array(graph.rows)[u],
                "reader": np.array(graph.columns)[v],
                "reader_kind": np.array(graph.column_kind)[v],
                "score": matrix.numpy()[u, v],
                "exact": exact,
            }
        )
        for method, matrix in scores.items()
        if method != "exact"
    ]
    return pd.concat(frames, ignore_index=True)


def agreement(
    score: Float[Tensor, "n_forward n_backward"],
    exact: Float[Tensor, "n_forward n_backward"],
    graph: Graph,
    n: int,
    reader_kind: str | None = None,
) -> dict[str, float]:
    """Pearson and Spearman correlation over the edges (into readers of one kind), and overlap.

    ``overlap``: Jaccard similarity of the ``n`` strongest edges (before pruning), of the whole
    graph only. A correlation with a constant is nan.
    """
    edges = graph.real_edges.copy()
    if reader_kind is not None:
        edges &= (np.array(graph.column_kind) == reader_kind)[None]
    a, b = score.numpy()[edges], exact.numpy()[edges]
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    found = {
        "pearson": float("nan") if constant else float(stats.pearsonr(a, b).statistic),
        "spearman": float("nan") if constant else float(stats.spearmanr(a, b).statistic),
    }
    if reader_kind is None:
        found["overlap"] = jaccard(top_edges(score, graph, n), top_edges(exact, graph, n))
    return found


def correlations(edges: pd.DataFrame) -> pd.DataFrame:
    """How near each method of :func:`edge_table` is to the effects, a row per method.

    Columns: pearson, spearman, error (squared error as a share of the squared effects).
    """
    by_method = edges.groupby("method", sort=False)[["score", "exact"]]
    rows = {
        method: (
            part["score"].corr(part["exact"]),
            part["score"].corr(part["exact"], "spearman"),
            ((part["score"] - part["exact"]) ** 2).sum() / (part["exact"] ** 2).sum(),
        )
        for method, part in by_method
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["pearson", "spearman", "error"])


def scaled_control(edges: pd.DataFrame) -> pd.DataFrame:
    """A table of edges in which random scores have the spread of the effects, for each kind.

    ``edges``: rows as of :func:`edge_table`, and the column kind. Other methods stay as they are.
    """
    noise = edges["method"] == "random"
    effects = edges["exact"].groupby(edges["kind"]).transform("std")
    scores = edges["score"].where(noise).groupby(edges["kind"]).transform("std")
    scaled = edges["score"] * (effects / scores)
    return edges.assign(score=edges["score"].where(~noise, scaled))


def scores_by_edge(edges: pd.DataFrame) -> pd.DataFrame:
    """One row per edge, strongest effect first; a column per method, then "effect".

    ``edges``: rows of :func:`edge_table`, of one kind. The index is writer and reader.
    """
    index = ["writer", "reader"]
    effect = edges.drop_duplicates(index).set_index(index)["exact"]
    wide = edges.pivot(index=index, columns="method", values="score")
    wide = wide[list(dict.fromkeys(edges["method"]))].assign(effect=effect)
    return wide.reindex(effect.abs().sort_values(ascending=False).index)


def without_strongest(by_edge: pd.DataFrame, drops: Sequence[int]) -> pd.DataFrame:
    """Pearson correlation of each method with the effects, without the ``drops`` strongest edges.

    ``by_edge`` as of :func:`scores_by_edge`. Rows are methods, columns the numbers in ``drops``.
    """
    found = {n: by_edge.iloc[n:].corr()["effect"].drop("effect") for n in drops}
    return pd.DataFrame(found).rename_axis("method")


def queries_against_values(by_reader: pd.DataFrame) -> pd.DataFrame:
    """Whether edges into queries and keys are followed less well than edges into values.

    ``by_reader``: model, kind, method, reader_kind, pearson, spearman. RelP, which scores edges
    into q and k with 0, and both controls are left out. One row per model, kind and method with
    the columns pearson and spearman: True where the mean over q and k is the lower one.
    """
    rows = by_reader[~by_reader["method"].isin(["exact", "random", "RelP"])]
    sides = rows["reader_kind"].map({"q": "q, k", "k": "q, k", "v": "v"})
    groups = rows.groupby(["model", "kind", "method", sides])
    means = groups[["pearson", "spearman"]].mean().unstack()
    lower = {name: means[name]["q, k"] < means[name]["v"] for name in ("pearson", "spearman")}
    return pd.DataFrame(lower)
