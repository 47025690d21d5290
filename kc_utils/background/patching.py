"""Activation patching of the residual stream at every layer and position, and of single edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.exact import edge_response
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.written import record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

DIRECTIONS = ("denoising", "noising")
DRAWN_READERS = 7305  # stream number of the generator that draws readers


@torch.no_grad()
def stream_patching(
    adapter: Adapter, batch: PairBatch, direction: str = "denoising"
) -> Float[Tensor, "layer pos"]:
    """Change of the logit difference when the stream of one layer is swapped at one position.

    ``denoising``: the corrupted prompt runs and one vector comes from the clean run; the effect is
    what the logit difference gains. ``noising``: the other way round; the effect is what it loses.
    Row l is the stream that block l reads, the last row the one that the final normalisation reads.
    One run per layer and position, those of a layer together. Mean over pairs of equal length.

    Raises:
        KcError: an unknown direction, or prompts of unequal length.
    """
    if direction not in DIRECTIONS:
        raise KcError(f"direction={direction!r} is not one of {', '.join(DIRECTIONS)}.")
    width = batch.clean_ids.shape[1]
    if int(batch.last.min()) != width - 1:
        raise KcError(
            f"Prompts have {int(batch.last.min()) + 1} to {width} tokens, not one length."
        )
    ids, other = batch.clean_ids, batch.corrupted_ids
    sign = -1.0
    if direction == "denoising":
        ids, other, sign = other, ids, 1.0
    _, here = record(adapter, ids, streams=True)
    _, there = record(adapter, other, streams=True)
    change = [there.streams[i] - here.streams[i] for i in range(0, len(here.streams), 2)]
    plain = repeated_logit_diff(adapter, batch, ids)
    rows = []
    for layer, difference in enumerate(change):
        added = torch.diag_embed(difference.movedim(1, -1)).movedim(-1, 0).movedim(-1, 2)
        module = adapter.embed if layer == 0 else adapter.blocks[layer - 1].mlp_writer
        with Hooks() as hooks:
            hooks.output(module, lambda x, added=added: x + added.flatten(0, 1))
            found = repeated_logit_diff(adapter, batch, ids.repeat(width, 1), width)
        rows.append(sign * (found - plain).mean(1))
    return torch.stack(rows)


def repeated_logit_diff(
    adapter: Adapter, batch: PairBatch, ids: Tensor, times: int = 1
) -> Float[Tensor, "times pair"]:
    """The logit difference of each row of ``ids``, which are the pairs repeated."""
    logits = adapter.logits(adapter.hidden(ids), batch.read_at.repeat(times, 1))[:, -1]
    return batch.repeated(times).answers.logit_diff(logits).unflatten(0, (times, -1))


def some_readers(graph: Graph, most_edges: int, seed: int) -> list[int]:
    """Columns drawn at random, with as many edges into them as ``most_edges`` allows, sorted.

    All columns where the graph is small enough. The first drawn is taken in any case.
    """
    n_writers = graph.real_edges.sum(0)
    order = np.random.default_rng([seed, DRAWN_READERS]).permutation(graph.n_backward)
    total = n_writers[order].cumsum()
    return sorted(order[: max(1, int((total <= most_edges).sum()))].tolist())


def overtakes(
    effects: Float[np.ndarray, "layer pos"], subject: Bool[np.ndarray, " pos"]
) -> int | None:
    """First row from which on the last token restores more than any token of the subject.

    ``effects`` as of :func:`stream_patching`. None if there is no such row.
    """
    ahead = effects[:, -1] > effects[:, subject].max(1)
    behind = np.flatnonzero(~ahead)
    first = int(behind[-1]) + 1 if len(behind) else 0
    return first if first < len(ahead) else None


def best_and_worst(edges: pd.DataFrame, among: int) -> pd.DataFrame:
    """Of the ``among`` edges of largest effect, two rows: the one that the method gets most nearly
    right, relative to its effect, and the one that it misses by most.

    ``edges``: rows of one method, as of :func:`kc_utils.analysis.agreement.edge_table`.
    """
    large = edges.loc[edges["exact"].abs().nlargest(among).index]
    miss = (large["score"] - large["exact"]).abs()
    return large.loc[[(miss / large["exact"].abs()).idxmin(), miss.idxmax()]]


def responses(
    adapter: Adapter, batch: PairBatch, edges: pd.DataFrame, shares: Float[Tensor, " share"]
) -> pd.DataFrame:
    """What each edge does when it carries a share of its writer's change, and what its score says.

    ``edges``: rows with writer, reader and score. The score is the slope at share 0, so it says
    share times score.

    Returns:
        edge (``writer->reader``), share, effect (logits), tangent (logits).
    """
    graph, frames = adapter.graph, []
    for row in edges.itertuples():
        edge = graph.rows.index(row.writer), graph.columns.index(row.reader)
        effect = edge_response(adapter, batch, edge, shares).cpu().numpy()
        values = {"share": shares.numpy(), "effect": effect, "tangent": row.score * shares.numpy()}
        frames.append(pd.DataFrame(values).assign(edge=f"{row.writer}->{row.reader}"))
    return pd.concat(frames, ignore_index=True)[["edge", "share", "effect", "tangent"]]
