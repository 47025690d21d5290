"""Logit lens: how far along is the answer after every layer?

Each residual stream is read through the model's own final normalisation and unembedding, with
TransformerLens' ``logit_readout``. The last layer therefore gives the model's own output. Layer 0
is the residual stream before the first block (embeddings), layer l the one after l blocks.

A probability here is a readout, not something the model computes: layers that write in another
basis look worse than they are. The same table for the wrong answer (``target="wrong"``) is the
control for what any answer of that kind would get.

Memory: the logits of ``ROOM // vocabulary size`` positions at a time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis import logit_readout

from kc_utils.circuits.metrics import rank
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

ROOM = 8_000_000  # logits held in memory at once


def logit_lens(
    bridge: TransformerBridge,
    batch: PairBatch,
    *,
    target: str = "right",
    batch_size: int = 64,
) -> pd.DataFrame:
    """Rank and probability of an answer's first token after every layer of the clean run.

    Returns:
        One row per pair, layer and position: pair (index in the batch), layer (0 to n_layers),
        position ("last", or "subject": the best over the subject's tokens), rank (1 = best; ties
        count as half), probability (0 to 1).

    Raises:
        KcError: if the batch is empty or a pair has several answers, or ``target`` is unknown.
    """
    if target not in ("right", "wrong"):
        raise KcError(f"target={target!r} must be 'right' or 'wrong'.")
    if not len(batch):
        raise KcError("A logit lens over 0 pairs is not defined; at least 1 is needed.")
    if getattr(batch, f"{target}_sets") is not None:
        raise KcError(f"A logit lens reads one answer per pair; this batch has {target}_sets.")
    frames = []
    for start in range(0, len(batch), batch_size):
        part = batch.slice(start, start + batch_size).to(bridge.W_U.device)
        frames.append(_table(bridge, part, target, start))
    return pd.concat(frames, ignore_index=True)


@torch.no_grad()
def _table(bridge: TransformerBridge, batch: PairBatch, target: str, offset: int) -> pd.DataFrame:
    pair, position, is_last = _places(batch)
    ids = (batch.right_ids if target == "right" else batch.wrong_ids)[pair]
    ranks, probabilities = _read(bridge, _streams(bridge, batch, pair, position), ids)
    n_rows, n_layers = ranks.shape
    rows = pd.DataFrame(
        {
            "pair": np.repeat(pair.cpu().numpy() + offset, n_layers),
            "layer": np.tile(np.arange(n_layers), n_rows),
            "position": np.repeat(np.where(is_last.cpu().numpy(), "last", "subject"), n_layers),
            "rank": ranks.cpu().numpy().ravel().astype(np.float64),
            "probability": probabilities.cpu().numpy().ravel().astype(np.float64),
        }
    )
    best = {"rank": "min", "probability": "max"}
    return rows.groupby(["pair", "layer", "position"], as_index=False).agg(best)


def _places(batch: PairBatch) -> tuple[Int[Tensor, " row"], Int[Tensor, " row"], Tensor]:
    """Pair and position of every row to read, and whether the row is a last position."""
    width = torch.arange(batch.clean_ids.shape[1], device=batch.clean_ids.device)[None]
    inside = (width >= batch.subject_start[:, None]) & (width < batch.subject_stop[:, None])
    pair, position = inside.nonzero(as_tuple=True)
    each = torch.arange(len(batch), device=pair.device)
    is_last = torch.zeros(len(pair) + len(each), dtype=torch.bool, device=pair.device)
    is_last[len(pair) :] = True
    return torch.cat([pair, each]), torch.cat([position, batch.last.to(position.dtype)]), is_last


def _streams(
    bridge: TransformerBridge, batch: PairBatch, pair: Tensor, position: Tensor
) -> Float[Tensor, "row layer d_model"]:
    names = ["blocks.0.hook_resid_pre"]
    names += [f"blocks.{layer}.hook_resid_post" for layer in range(bridge.cfg.n_layers)]
    _, cache = bridge.run_with_cache(batch.clean_ids, names_filter=lambda name: name in names)
    return torch.stack([cache[name][pair, position] for name in names], dim=1)


def _read(
    bridge: TransformerBridge, streams: Float[Tensor, "row layer d_model"], ids: Int[Tensor, " row"]
) -> tuple[Float[Tensor, "row layer"], Float[Tensor, "row layer"]]:
    n_rows, n_layers, _ = streams.shape
    places, targets = streams.flatten(0, 1), ids.repeat_interleave(n_layers)
    at_once = max(1, ROOM // bridge.W_U.shape[1])
    ranks, probabilities = [], []
    for part, target in zip(places.split(at_once), targets.split(at_once), strict=True):
        logits = logit_readout(bridge, part, chunk_size=at_once).values  # whole: ties are counted
        ranks.append(rank(logits, target) + 1)
        shares = logits.float().log_softmax(-1).exp()
        probabilities.append(shares.gather(1, target[:, None])[:, 0])
    shape = (n_rows, n_layers)
    return torch.cat(ranks).reshape(shape), torch.cat(probabilities).reshape(shape)


def lens_means(lens: pd.DataFrame) -> pd.DataFrame:
    """Mean over pairs: log10 rank, probability; and their spread."""
    lens = lens.assign(log10_rank=np.log10(lens["rank"]))
    grouped = lens.groupby(["layer", "position"], as_index=False)
    return grouped.agg(
        log10_rank=("log10_rank", "mean"),
        log10_rank_sd=("log10_rank", "std"),
        probability=("probability", "mean"),
        n_pairs=("pair", "nunique"),
    )
