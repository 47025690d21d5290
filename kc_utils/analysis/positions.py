"""Where in the prompt do scores lie: shares by the position at which an edge is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch


def shares_by_position(
    parts: Mapping[str, Float[Tensor, "n_forward n_backward"]], graph: Graph, batch: PairBatch
) -> pd.DataFrame:
    """Share of |score| at the subject's tokens, the last token and all others, by kind of reader.

    ``parts`` are the scores of ``batch`` as
    :func:`kc_utils.circuits.by_position.attribute_by_position` keeps them apart.

    Returns:
        reader_kind (each of the graph's, "all" edges, and "tokens": the share of the prompts'
        tokens, which scores would have if every token counted alike), position, value.
    """
    kinds = np.array(graph.column_kind)
    groups = {kind: kinds == kind for kind in dict.fromkeys(graph.column_kind)}
    groups["all"] = np.ones(len(kinds), dtype=bool)
    sizes = {position: np.abs(scores.numpy()).sum(0) for position, scores in parts.items()}
    tokens = tokens_by_position(batch)
    rows = [("tokens", p, tokens[p] / sum(tokens.values())) for p in parts]
    for kind, columns in groups.items():
        total = max(sum(size[columns].sum() for size in sizes.values()), 1e-30)
        rows += [(kind, p, float(size[columns].sum() / total)) for p, size in sizes.items()]
    return pd.DataFrame(rows, columns=["reader_kind", "position", "value"])


def tokens_by_position(batch: PairBatch) -> dict[str, int]:
    """Number of tokens of the subject, of the relation (all others) and last tokens."""
    subject = int((batch.subject_stop - batch.subject_start).sum())
    last = len(batch)
    return {
        "subject": subject,
        "relation": int((batch.last + 1).sum()) - subject - last,
        "last": last,
    }
