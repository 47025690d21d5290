"""Which heads move the subject, and which carry the relation: direct logit attribution (DLA).

The last residual stream is a sum of what every component wrote, and the final normalisation and
the unembedding are linear once the normalisation's scale is held at its value in that run. So a
component's contribution to a logit, or to a difference of two, is a dot product. A head's output
at the last position is itself a sum over source positions s of attention[last, s] * v[s] @ W_O.
That splits its contribution into the part read from the subject's tokens, the part read from the
other tokens of the prompt (the relation), and the part read from a BOS token, if there is one
(Ou et al. 2025, specialised heads).

Direction: "difference" projects on W_U[right] - W_U[wrong], the logit difference that circuits are
scored with; it ignores what raises all logits alike. "right" projects on W_U[right], as the
paper does.

Values keep their bias; it is shared among the sources as the attention is. Without a BOS token
the first token of the prompt takes the surplus attention of idle heads, and here that token
usually belongs to the subject.

Not implemented: models that normalise after a block, scale the residual stream or cap logits.
Memory: one batch of attention patterns and values at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.bridge_hooks import EMBED, FINAL_IN, layer_names, read_hooks, split_heads
from kc_utils.circuits.adapter import adapter_of, require_eval
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

DIRECTIONS = ("difference", "right")
PARTS = ("subject", "relation", "bos")
ROLES = ("mover", "mixture", "relation")


def source_attribution(
    bridge: TransformerBridge,
    batch: PairBatch,
    *,
    direction: str = "difference",
    batch_size: int = 64,
) -> Float[Tensor, "pair layer head part"]:
    """Contribution in logits of each head at the last clean position, by source tokens.

    The last axis follows ``PARTS``; its sum is the head's whole contribution, without the bias of
    the output projection, which belongs to no head.
    """
    _check(bridge, batch, direction)
    pieces = []
    for start in range(0, len(batch), batch_size):
        part = batch.slice(start, start + batch_size).to(bridge.W_U.device)
        tokens = _tokens(bridge, part, direction)
        pieces.append((tokens @ _part_masks(bridge, part).to(tokens.dtype)[:, None]).cpu())
    return torch.cat(pieces)


def token_attribution(
    bridge: TransformerBridge, batch: PairBatch, *, direction: str = "difference"
) -> Float[Tensor, "pair layer head pos"]:
    """The same by single source tokens, in one run: attention times what the value there writes."""
    _check(bridge, batch, direction)
    return _tokens(bridge, batch.to(bridge.W_U.device), direction).cpu()


def head_attribution(
    bridge: TransformerBridge,
    batch: PairBatch,
    *,
    direction: str = "difference",
    batch_size: int = 64,
) -> pd.DataFrame:
    """Mean contribution in logits of each head over the pairs, one row per head.

    Columns: layer, head, subject, relation, bos, total (means), subject_abs, relation_abs (means
    of the absolute values, in which pairs of opposite sign do not cancel), n_pairs.
    """
    values = source_attribution(bridge, batch, direction=direction, batch_size=batch_size).double()
    n_pairs, n_layers, n_heads, _ = values.shape
    means, sizes = values.mean(0).numpy(), values.abs().mean(0).numpy()
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    return pd.DataFrame(
        {
            "layer": layer,
            "head": head,
            **{part: means[..., i].ravel() for i, part in enumerate(PARTS)},
            "total": means.sum(-1).ravel(),
            "subject_abs": sizes[..., 0].ravel(),
            "relation_abs": sizes[..., 1].ravel(),
            "n_pairs": n_pairs,
        }
    )


def assign_roles(heads: pd.DataFrame, role_ratio: float = 10.0) -> pd.DataFrame:
    """Add ``ratio`` = subject_abs / relation_abs and ``role`` to :func:`head_attribution`'s table.

    "mover" above ``role_ratio``, "relation" below its inverse, "mixture" between. A head that
    contributes nothing has ratio NaN and is a mixture head.

    Raises:
        KcError: if ``role_ratio`` is not above 1.
    """
    if not role_ratio > 1:
        raise KcError(f"role_ratio={role_ratio} must be above 1.")
    subject = heads["subject_abs"].to_numpy(float)
    relation = heads["relation_abs"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = subject / relation
    role = np.select([ratio > role_ratio, ratio < 1 / role_ratio], ["mover", "relation"], "mixture")
    return heads.assign(ratio=ratio, role=role)


def role_shares(roles: pd.DataFrame, nodes: Iterable[str] | None = None) -> pd.DataFrame:
    """How many of a circuit's heads play each role, one row per role.

    ``nodes`` are node names such as "a3.h1" (others are ignored); None means all heads.

    Returns:
        role, count, share (of the circuit's heads), expected (share among all heads of the model:
        what a circuit that picks heads at random has) and mean_layer of those heads.
    """
    names = "a" + roles["layer"].astype(str) + ".h" + roles["head"].astype(str)
    chosen = roles if nodes is None else roles[names.isin(set(nodes))]
    rows = []
    for role in ROLES:
        inside = chosen[chosen["role"] == role]
        share = len(inside) / len(chosen) if len(chosen) else float("nan")
        expected = float((roles["role"] == role).mean())
        rows.append((role, len(inside), share, expected, inside["layer"].mean()))
    return pd.DataFrame(rows, columns=["role", "count", "share", "expected", "mean_layer"])


def component_attribution(
    bridge: TransformerBridge,
    batch: PairBatch,
    *,
    direction: str = "difference",
    batch_size: int = 64,
) -> pd.DataFrame:
    """Mean contribution in logits of every component, complete: the values sum to the metric.

    Columns: component ("embedding", "position", "head", "attention bias", "mlp", "final bias"),
    layer (-1 where there is none), head (-1 where there is none), value (mean over pairs). The
    metric is the logit difference, or the right token's logit, at the last clean position.
    """
    _check(bridge, batch, direction)
    total: dict[tuple[str, int, int], float] = {}
    for start in range(0, len(batch), batch_size):
        part = batch.slice(start, start + batch_size).to(bridge.W_U.device)
        for key, values in _components(bridge, part, direction):
            total[key] = total.get(key, 0.0) + float(values.double().sum())
    rows = [(*key, value / len(batch)) for key, value in total.items()]
    return pd.DataFrame(rows, columns=["component", "layer", "head", "value"])


@torch.no_grad()
def _tokens(
    bridge: TransformerBridge, batch: PairBatch, direction: str
) -> Float[Tensor, "pair layer head pos"]:
    blocks = adapter_of(bridge).blocks
    names = [layer_names(i) for i in range(len(blocks))]
    wanted = [point for n in names for point in (n.pattern, n.qkv[2])]
    seen = read_hooks(bridge, batch.clean_ids, [*wanted, FINAL_IN])
    towards, _ = _projection(bridge, batch, seen[FINAL_IN], direction)
    contributions = []
    for block, name in zip(blocks, names, strict=True):
        attention = _at_last(seen[name.pattern].transpose(1, 2), batch)
        values = split_heads(seen[name.qkv[2]], block.n_heads)
        reading = torch.einsum("hdm,nm->nhd", block.w_o, towards)
        contributions.append(torch.einsum("nshd,nhd->nhs", values, reading) * attention)
    return torch.stack(contributions, dim=1)


@torch.no_grad()
def _components(
    bridge: TransformerBridge, batch: PairBatch, direction: str
) -> list[tuple[tuple[str, int, int], Float[Tensor, " pair"]]]:
    blocks = adapter_of(bridge).blocks
    names = [layer_names(i) for i in range(len(blocks))]
    first = names[0].attention_in
    wanted = [EMBED, first, FINAL_IN, *(point for n in names for point in (n.z, n.mlp_out))]
    seen = read_hooks(bridge, batch.clean_ids, wanted)
    towards, constant = _projection(bridge, batch, seen[FINAL_IN], direction)
    embedding = (_at_last(seen[EMBED], batch) * towards).sum(-1)
    entering = (_at_last(seen[first], batch) * towards).sum(-1)
    found = [
        (("final bias", -1, -1), constant),
        (("embedding", -1, -1), embedding),
        (("position", -1, -1), entering - embedding),
    ]
    for i, (block, name) in enumerate(zip(blocks, names, strict=True)):
        z = _at_last(split_heads(seen[name.z], block.n_heads), batch)
        heads = torch.einsum("nhd,hdm,nm->nh", z, block.w_o, towards)
        found += [(("head", i, h), heads[:, h]) for h in range(block.n_heads)]
        found.append((("attention bias", i, -1), towards @ block.b_o))
        mlp = _at_last(seen[name.mlp_out], batch)
        found.append((("mlp", i, -1), (mlp * towards).sum(-1)))
    return found


def _projection(
    bridge: TransformerBridge,
    batch: PairBatch,
    final: Float[Tensor, "pair pos d_model"],
    direction: str,
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, " pair"]]:
    """What a vector in the last residual stream is multiplied with, and the constant of the metric.

    The final norm's scale is the one of this run; centring, weight and bias are linear.
    """
    w_u, b_u, norm = bridge.W_U, bridge.b_U, adapter_of(bridge).final_norm
    (unembed, wrong), (constant, other) = map(batch.answers.directions, (w_u.T, b_u))
    if direction == "difference":
        unembed, constant = unembed - wrong, constant - other
    if norm.bias is not None:
        constant = constant + unembed @ norm.bias
    return norm.centre(unembed * norm.weight) / norm.scale(_at_last(final, batch)), constant


def _part_masks(bridge: TransformerBridge, batch: PairBatch) -> Bool[Tensor, "pair pos part"]:
    """Which positions are subject, relation and BOS (the order of ``PARTS``).

    Padding counts as relation; the last position does not attend to it.
    """
    position = torch.arange(batch.clean_ids.shape[1], device=batch.clean_ids.device)[None]
    inside = (position >= batch.subject_start[:, None]) & (position < batch.subject_stop[:, None])
    bos_id = getattr(bridge.tokenizer, "bos_token_id", None)
    starts = batch.clean_ids[:, :1] == (-1 if bos_id is None else bos_id)
    bos = (position == 0) & starts & ~inside
    return torch.stack([inside, ~inside & ~bos, bos], dim=-1)


def _at_last(values: Float[Tensor, "pair pos *rest"], batch: PairBatch) -> Tensor:
    return values[torch.arange(len(batch), device=values.device), batch.last]


def _check(bridge: TransformerBridge, batch: PairBatch, direction: str) -> None:
    if direction not in DIRECTIONS:
        raise KcError(f"direction={direction!r} must be 'difference' or 'right'.")
    if not len(batch):
        raise KcError("Direct logit attribution of 0 pairs is not defined; at least 1 is needed.")
    require_eval(bridge)
