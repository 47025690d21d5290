"""What a matrix of edge scores says: how concentrated it is, who reads, what else looks like it.

Scores and masks are arrays [n_forward, n_backward]: rows are writers, columns are readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.analysis.topology import jaccard
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

READERS = ("q", "k", "v", "mlp", "logits")
_STREAM = 302


def edges_with_half(values: Float[np.ndarray, " n_edges"]) -> int:
    """The smallest number of edges that together carry half of the total |score|.

    Raises:
        KcError: if all scores are zero.
    """
    sizes = np.sort(np.abs(values))[::-1].cumsum()
    if not len(sizes) or sizes[-1] == 0:
        raise KcError(f"All {len(sizes)} edge scores are zero, so no edge carries half of them.")
    return int(np.searchsorted(sizes, sizes[-1] / 2) + 1)


def shares_by_reader(
    masks: Mapping[str, Bool[np.ndarray, "n_forward n_backward"]], graph: Graph
) -> pd.DataFrame:
    """For every set of edges, which share of them leads into each kind of reader.

    Returns:
        One row per kind: reader, and a column for each of ``masks``.
    """
    kinds = np.array(graph.column_kind)
    shares = {
        name: [edges[:, kinds == reader].sum() / edges.sum() for reader in READERS]
        for name, edges in masks.items()
    }
    return pd.DataFrame({"reader": READERS} | shares)


def shuffled_scores(
    scores: Float[Tensor, "n_forward n_backward"], graph: Graph, *, n: int, seed: int
) -> Iterator[Float[np.ndarray, "n_forward n_backward"]]:
    """The same scores on other edges, ``n`` times: what overlap is there by chance?"""
    rng = np.random.default_rng([seed, _STREAM])
    values = scores.numpy()[graph.real_edges]
    for _ in range(n):
        shuffled = np.zeros(graph.real_edges.shape, dtype=values.dtype)
        shuffled[graph.real_edges] = rng.permutation(values)
        yield shuffled


def overlaps(
    edges: Bool[np.ndarray, "n_forward n_backward"],
    others: Mapping[str, Sequence[Bool[np.ndarray, "n_forward n_backward"]]],
) -> pd.DataFrame:
    """Jaccard similarity of ``edges`` with groups of other sets; an empty group is left out.

    Returns:
        One row per group: compared with, Jaccard (mean), lowest, highest.
    """
    rows = []
    for name, group in others.items():
        if len(group):
            found = [jaccard(edges, other) for other in group]
            rows.append((name, float(np.mean(found)), min(found), max(found)))
    return pd.DataFrame(rows, columns=["compared with", "Jaccard", "lowest", "highest"])
