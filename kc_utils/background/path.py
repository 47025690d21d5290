"""The straight path from the corrupted to the clean embedding, and sums of gradients along it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kc_utils.anatomy import Anatomy, frozen
from kc_utils.errors import KcError
from kc_utils.hooks import Hooks
from kc_utils.metrics import logit_diff
from kc_utils.prompt_batch import PairBatch

#: Where in each of m intervals of the path the gradient is taken, as a share of the interval.
RULES = {"k = 1..m": 1.0, "k = 0..m-1": 0.0, "midpoint": 0.5}
POINTS_AT_ONCE = 64


def embedding_path(anatomy: Anatomy, batch: PairBatch, shares: np.ndarray) -> pd.DataFrame:
    """Logit difference, and its slope, where the embedding lies at a share of the way.

    Share 0 is the corrupted prompt's embedding, 1 the clean one's. The slope is the derivative with
    respect to the share: the gradient, times what the embedding changes. Means over pairs.

    Returns:
        share, value (logits), slope (logits per whole way), one row per share.
    """
    clean, other = (anatomy.embed(ids).detach() for ids in (batch.clean_ids, batch.corrupted_ids))
    tables = []
    with frozen(anatomy.model):
        for some in np.array_split(shares, max(1, -(-len(shares) // POINTS_AT_ONCE))):
            share = torch.tensor(some, dtype=clean.dtype, device=clean.device, requires_grad=True)
            given = other + share[:, None, None, None] * (clean - other)
            values = _run(anatomy, batch, given).mean(1)
            (slope,) = torch.autograd.grad(values.sum(), share)
            columns = {"share": some, "value": _numbers(values), "slope": _numbers(slope)}
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def riemann(path: pd.DataFrame, n_steps: int, rule: str) -> float:
    """Mean slope over ``n_steps`` points of ``path``, chosen by one of ``RULES``.

    ``path`` is a table of :func:`embedding_path` on an even grid from 0 to 1.

    Raises:
        KcError: an unknown rule, or a point that the grid does not hold.
    """
    if rule not in RULES:
        raise KcError(f"rule={rule!r} is not one of {', '.join(map(repr, RULES))}.")
    at = (np.arange(n_steps) + RULES[rule]) / n_steps * (len(path) - 1)
    if not np.allclose(at, at.round()):
        raise KcError(f"A path of {len(path)} points has not those of {n_steps} steps ({rule}).")
    return float(path["slope"].to_numpy()[at.round().astype(int)].mean())


def _run(anatomy: Anatomy, batch: PairBatch, embedding: Tensor) -> Tensor:
    times = len(embedding)
    with Hooks() as hooks:
        hooks.output(anatomy.embed, lambda _: embedding.flatten(0, 1))
        hidden = anatomy.hidden(batch.clean_ids.repeat(times, 1))
    logits = anatomy.logits(hidden, batch.read_at.repeat(times, 1))[:, -1]
    right, wrong = batch.right_ids.repeat(times), batch.wrong_ids.repeat(times)
    return logit_diff(logits, right, wrong).unflatten(0, (times, -1))


def _numbers(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()
