"""Head roles by the statistic of the published code, beside the one its paper describes.

The code released with Ou et al. (2025) does not look at the answer. For each head it takes the
head's output at every source position (its own z there, through the output weights), weights it by
the last position's attention to that position, projects the product to the vocabulary with the
unembedding and its bias, and sums the logits over the whole vocabulary; it divides by the same sum
for the layer. Position 0 belongs to neither group, and the ratio of subject to relation keeps its
sign. The division by the layer's sum cancels in that ratio.

What the paper's text describes, the contribution of value vectors to the logit of the right answer
by source token, is :mod:`kc_utils.analysis.head_attribution`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.bridge_hooks import layer_names, read_hooks, split_heads
from kc_utils.circuits.adapter import adapter_of, require_eval
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError


def published_head_sums(
    bridge: TransformerBridge, batch: PairBatch, *, batch_size: int = 64
) -> pd.DataFrame:
    """Per head the vocabulary sums of subject and relation positions, means over clean prompts.

    Columns: layer, head, subject, relation (sums of logits over the vocabulary), n_pairs.

    Raises:
        KcError: the batch is empty or the model is in training mode.
    """
    if not len(batch):
        raise KcError("Head roles of 0 pairs are not defined; at least 1 is needed.")
    require_eval(bridge)
    parts = [
        _sums(bridge, batch.slice(start, start + batch_size).to(bridge.W_U.device))
        for start in range(0, len(batch), batch_size)
    ]
    means = torch.cat(parts).double().mean(0).cpu().numpy()
    n_layers, n_heads, _ = means.shape
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    return pd.DataFrame(
        {
            "layer": layer,
            "head": head,
            "subject": means[..., 0].ravel(),
            "relation": means[..., 1].ravel(),
            "n_pairs": len(batch),
        }
    )


def published_roles(sums: pd.DataFrame, role_ratio: float = 10.0) -> pd.DataFrame:
    """Add ``ratio`` = subject / relation, signed, and ``role`` to :func:`published_head_sums`.

    "mover" above ``role_ratio``, "relation" below its inverse (negative ratios too), "mixture"
    between; a head without any sum is a mixture head.

    Raises:
        KcError: if ``role_ratio`` is not above 1.
    """
    if not role_ratio > 1:
        raise KcError(f"role_ratio={role_ratio} must be above 1.")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sums["subject"].to_numpy(float) / sums["relation"].to_numpy(float)
    role = np.select([ratio > role_ratio, ratio < 1 / role_ratio], ["mover", "relation"], "mixture")
    return sums.assign(ratio=ratio, role=role)


@torch.no_grad()
def _sums(bridge: TransformerBridge, batch: PairBatch) -> Float[Tensor, "pair layer head part"]:
    blocks = adapter_of(bridge).blocks
    names = [layer_names(i) for i in range(len(blocks))]
    wanted = [point for n in names for point in (n.pattern, n.z)]
    seen = read_hooks(bridge, batch.clean_ids, wanted)
    over_vocabulary, bias = bridge.W_U.sum(dim=1), bridge.b_U.sum()
    position = torch.arange(batch.clean_ids.shape[1], device=batch.clean_ids.device)[None]
    subject = (position >= batch.subject_start[:, None]) & (position < batch.subject_stop[:, None])
    read = (position <= batch.last[:, None]) & (position > 0)
    groups = torch.stack([subject & read, ~subject & read], dim=-1).to(bridge.W_U.dtype)
    found = []
    for block, name in zip(blocks, names, strict=True):
        rows = torch.arange(len(batch), device=batch.last.device)
        attention = seen[name.pattern].transpose(1, 2)[rows, batch.last]  # [pair, head, pos]
        z = split_heads(seen[name.z], block.n_heads)
        towards = torch.einsum("hdm,m->hd", block.w_o, over_vocabulary)
        logits = torch.einsum("nshd,hd->nhs", z, towards) * attention + bias
        found.append(logits @ groups)
    return torch.stack(found, dim=1)
