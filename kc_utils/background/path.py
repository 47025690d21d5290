"""The straight path from the corrupted to the clean embedding, and sums of gradients along it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.background.patching import repeated_logit_diff
from kc_utils.circuits.adapter import Adapter, adapter_of, frozen
from kc_utils.circuits.attribution import AttributionSettings, attribute, loss_of_read
from kc_utils.circuits.by_position import single_tokens
from kc_utils.circuits.gradients import Gradients, Leaf, run_backward
from kc_utils.circuits.graph import QKV, Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.written import record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

#: Where in each of m intervals of the path the gradient is taken, as a share of the interval.
RULES = {"k = 1..m": 1.0, "k = 0..m-1": 0.0, "midpoint": 0.5}
POINTS_AT_ONCE = 64


def embedding_path(adapter: Adapter, batch: PairBatch, shares: np.ndarray) -> pd.DataFrame:
    """Logit difference, and its slope, where the embedding lies at a share of the way.

    Share 0 is the corrupted prompt's embedding, 1 the clean one's. The slope is the derivative with
    respect to the share: the gradient, times what the embedding changes. Means over pairs.

    Returns:
        share, value (logits), slope (logits per whole way), one row per share.
    """
    clean, other = (adapter.embed(ids).detach() for ids in (batch.clean_ids, batch.corrupted_ids))
    tables = []
    with frozen(adapter.model):
        for some in np.array_split(shares, max(1, -(-len(shares) // POINTS_AT_ONCE))):
            share = torch.tensor(some, dtype=clean.dtype, device=clean.device, requires_grad=True)
            given = other + share[:, None, None, None] * (clean - other)
            values = _run(adapter, batch, given).mean(1)
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


def _run(adapter: Adapter, batch: PairBatch, embedding: Tensor) -> Tensor:
    times = len(embedding)
    with Hooks() as hooks:
        hooks.output(adapter.embed, lambda _: embedding.flatten(0, 1))
        return repeated_logit_diff(adapter, batch, batch.clean_ids.repeat(times, 1), times)


def _numbers(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def edge_errors(
    bridge: TransformerBridge,
    batch: PairBatch,
    exact: Float[Tensor, "n_forward n_backward"],
    columns: Sequence[int],
    counts: Sequence[int],
) -> pd.DataFrame:
    """How far EAP-IG is from exact patching, by rule and number of steps.

    ``exact``: effects of the edges into the readers ``columns``. The error is the root of the
    squared error's sum over these edges, relative to that of the effects. The midpoint rule with m
    points is twice the rule 0..m-1 with 2 m points less the one with m points.

    Returns:
        rule, steps, error.
    """
    real = adapter_of(bridge).graph.real_edges[:, columns]
    wanted = exact.cpu().numpy()[:, columns][real]
    rows = []

    def scores(steps: int, path: str) -> np.ndarray:
        found = attribute(bridge, batch, AttributionSettings(steps=steps, path=path))
        return found.numpy()[:, columns][real]

    for m in counts:
        left = scores(m, "0..m-1")
        by_rule = {"k = 1..m": scores(m, "1..m"), "k = 0..m-1": left}
        by_rule["midpoint"] = 2 * scores(2 * m, "0..m-1") - left
        for rule, found in by_rule.items():
            error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
            rows.append((rule, m, float(error)))
    return pd.DataFrame(rows, columns=["rule", "steps", "error"])


def edge_along_path(
    adapter: Adapter, batch: PairBatch, edge: tuple[int, int], shares: np.ndarray
) -> pd.DataFrame:
    """The products that EAP-IG sums for one edge (row, column), token by token along the path.

    Returns:
        share (0 is the corrupted embedding, 1 the clean one), position, change (size of what the
        writer's output changes from clean to corrupted), slope (of the loss, minus the logit
        difference, at the reader's input in the direction of that change: logits per unit), product
        (change times slope, logits). The mean over an edge's shares of the products' sum over
        positions is the score that :func:`attribute` gives for these shares.

    Raises:
        KcError: there is more than one pair, or no such edge.
    """
    graph = adapter.graph
    if len(batch) != 1:
        raise KcError(f"An edge is followed on one pair of prompts, not on {len(batch)}.")
    if not graph.real_edges[edge]:
        names = graph.rows[edge[0]], graph.columns[edge[1]]
        raise KcError(f"{names[0]}->{names[1]} is not a possible edge: the reader comes first.")
    batch = batch.to(adapter.device)
    clean, other = (
        record(adapter, ids, at=batch.read_at)[1] for ids in (batch.clean_ids, batch.corrupted_ids)
    )
    changes = other.minus(clean).outputs(adapter, adapter.score_dtype)
    centred, size = adapter.centre(changes).flatten(1, 2), changes[edge[0], 0].norm(dim=-1)
    loss = partial(loss_of_read, adapter, AttributionSettings(), None)
    pos, tables = len(size), []
    for share in shares:
        gradients = Gradients(adapter)
        products = torch.zeros(pos, *graph.real_edges.shape, dtype=size.dtype, device=size.device)
        with frozen(adapter.model):
            leaf = Leaf(other.embed + share * (clean.embed - other.embed))
            gradients.add(run_backward(adapter, batch, leaf, loss))
        gradients.score(centred, 0, single_tokens(batch, pos), products)
        product = _numbers(products[:, *edge])
        slope = np.divide(product, _numbers(size), out=np.zeros(pos), where=_numbers(size) > 0)
        columns = {"change": _numbers(size), "slope": slope, "product": product}
        tables.append(pd.DataFrame(columns).assign(share=share).rename_axis("position"))
    return pd.concat(tables).reset_index()[["share", "position", "change", "slope", "product"]]


def edge_to_follow(scores: Float[Tensor, "n_forward n_backward"], graph: Graph) -> tuple[int, int]:
    """The edge of largest |score| from a head or an MLP into a head; of all, if there is none."""
    size = scores.abs().cpu().numpy()
    inside = np.outer(np.array(graph.row_kind) != "input", np.isin(graph.column_kind, QKV))
    inside &= graph.real_edges
    size = np.where(inside, size, -1.0) if inside.any() else size
    row, column = np.unravel_index(size.argmax(), size.shape)
    return int(row), int(column)
