"""Attention patterns of single heads for one prompt, and which heads are worth a look."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.bridge_hooks import layer_names, read_hooks
from kc_utils.errors import KcError


@torch.no_grad()
def attention_patterns(
    bridge: TransformerBridge, ids: Int[Tensor, " pos"], heads: Sequence[tuple[int, int]]
) -> Float[Tensor, "head pos pos"]:
    """How much each token (rows, destinations) attends to each token (columns, sources).

    Args:
        bridge: the model.
        ids: token ids of one prompt, without padding.
        heads: (layer, head) of the heads wanted, in the order of the result.

    Raises:
        KcError: no head or no token is given, or the model has no such head.
    """
    if not len(heads) or not len(ids):
        raise KcError(f"{len(heads)} heads and {len(ids)} tokens; at least 1 of each is needed.")
    n_layers, n_heads = bridge.cfg.n_layers, bridge.cfg.n_heads
    for layer, head in heads:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise KcError(
                f"Head a{layer}.h{head} is not in this model of {n_layers} layers with {n_heads} "
                "heads each."
            )
    names = {layer: layer_names(layer).pattern for layer, _ in heads}
    seen = read_hooks(bridge, ids[None].to(bridge.W_U.device), list(names.values()))
    return torch.stack([seen[names[layer]][0, head] for layer, head in heads]).cpu()


def top_heads(roles: pd.DataFrame, per_role: int = 2) -> pd.DataFrame:
    """The heads of each role that contribute most, movers first.

    Movers are ranked by what they read from the subject, relation heads by what they read from the
    rest of the prompt. Mixture heads, by the larger of both, stand in where a role has no head.

    Args:
        roles: layer, head, role, subject_abs and relation_abs of heads of one model, as in
            :func:`~kc_utils.analysis.head_attribution.assign_roles`.
        per_role: number of heads of a role.

    Raises:
        KcError: there is no head.
    """
    if roles.empty:
        raise KcError("There is no head to choose from; the table of roles is empty.")
    size = roles[["subject_abs", "relation_abs"]].max(axis=1)
    ranked = roles.assign(size=size).sort_values("size", ascending=False, kind="stable")
    chosen = [ranked[ranked["role"] == role].head(per_role) for role in ("mover", "relation")]
    missing = 2 * per_role - sum(map(len, chosen))
    mixtures = ranked[ranked["role"] == "mixture"].head(missing)
    return pd.concat([*chosen, mixtures]).drop(columns="size").reset_index(drop=True)
