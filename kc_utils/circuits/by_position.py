"""Edge scores with the positions of the prompt kept apart: three groups of tokens, or every token.

The position of an edge is the one at which its reader reads. Keys and values are read at the token
that is attended to; queries, MLPs and logits at the token where the reader stands.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.attribution import AttributionSettings, scores_of_parts
from kc_utils.circuits.checks import check_filled
from kc_utils.circuits.pair_batch import PairBatch

#: Parts of a prompt whose scores :func:`attribute_by_position` keeps apart.
POSITIONS = ("subject", "relation", "last")


def attribute_by_position(
    bridge: TransformerBridge, batch: PairBatch, settings: AttributionSettings
) -> dict[str, Float[Tensor, "n_forward n_backward"]]:
    """Scores of the tokens of the subject, of the relation and of the last token, kept apart.

    Named as in :data:`POSITIONS`, they sum to what :func:`attribute` gives. The position is the one
    at which the reader reads; the last token is the last that is read, and the relation is
    everything else: all of it where the batch does not know its subjects, whose scores are then 0.

    Raises:
        KcError: the method ``exact``, which has no such parts; otherwise as :func:`attribute`.
    """
    scores = scores_of_parts(bridge, batch, settings, _groups, len(POSITIONS))
    return dict(zip(POSITIONS, scores, strict=True))


def attribute_by_token(
    bridge: TransformerBridge, batch: PairBatch, settings: AttributionSettings
) -> Float[Tensor, "pos n_forward n_backward"]:
    """Scores of every position of the prompts, kept apart: the products before they are summed.

    They sum to what :func:`attribute` gives. Each is a mean over all pairs; prompts that end
    earlier add 0 behind their end.

    Raises:
        KcError: the method ``exact``, which has no such parts; otherwise as :func:`attribute`.
    """
    check_filled(batch)
    pos = batch.clean_ids.shape[1]
    return scores_of_parts(bridge, batch, settings, single_tokens, pos)


def single_tokens(batch: PairBatch, pos: int) -> list[Int[Tensor, " n"]]:
    """For each of ``pos`` positions its tokens (pair * pos + position)."""
    tokens = torch.arange(len(batch) * pos, device=batch.last.device)
    return list(tokens.view(-1, pos).T)


def _groups(batch: PairBatch, pos: int) -> list[Int[Tensor, " _"]]:
    """Tokens (pair * pos + position) of the subject, the relation and the last position."""
    position = torch.arange(pos, device=batch.last.device)[None]
    last = position == batch.last[:, None]
    subject = (position >= batch.subject_start[:, None]) & (position < batch.subject_stop[:, None])
    subject = subject & ~last
    relation = ~subject & ~last
    return [mask.flatten().nonzero().flatten() for mask in (subject, relation, last)]
