"""The least that a measurement can cost: the passes of the plain model that it cannot do without.

The floor runs the model of ``transformers`` itself, on the same tokens in the same blocks. The
unembedding is applied to the last hidden state as one 2-D product: on a CPU that is several times
faster than the model's own ``logits_to_keep=1``, which multiplies a 3-D tensor. All prompts of a
batch have to be of one length. A measurement can come out below its floor: attribution takes the
clean run for the last step of its path, and computes attention and GELU by faster kernels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from kc_utils.circuits.adapter import frozen
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError


def attribution_floor(
    model: PreTrainedModel, batch: PairBatch, steps: int, batch_size: int
) -> Float[Tensor, "n pos d_model"]:
    """Clean and corrupted forward passes, and ``steps`` forward and backward passes.

    Returns the sum over steps of the gradient of -(logit[right] - logit[wrong]) of each pair with
    respect to its token embedding, at k/m of the way from the corrupted to the clean embedding,
    k = 1..m. This is what EAP-IG needs of the model, without any edge.
    """
    _check(batch)
    blocks = []
    with frozen(model):
        for block in _blocks(batch, batch_size):
            with torch.no_grad():
                clean, corrupted = (
                    _embed(model, ids) for ids in (block.clean_ids, block.corrupted_ids)
                )
                last_logits(model, clean)
                last_logits(model, corrupted)
            total = torch.zeros_like(clean)
            for step in range(1, steps + 1):
                path = corrupted + step / steps * (clean - corrupted)
                total += embedding_gradient(model, block, path)
            blocks.append(total)
    return torch.cat(blocks)


def embedding_gradient(
    model: PreTrainedModel, batch: PairBatch, embed: Float[Tensor, "n pos d_model"]
) -> Float[Tensor, "n pos d_model"]:
    """Gradient of the summed loss -(logit[right] - logit[wrong]) with respect to ``embed``."""
    embed = embed.detach().requires_grad_(True)
    logits = last_logits(model, embed)
    rows = torch.arange(len(batch), device=logits.device)
    loss = (logits[rows, batch.wrong_ids] - logits[rows, batch.right_ids]).sum()
    return torch.autograd.grad(loss, embed)[0]


def two_forwards(
    model: PreTrainedModel, batch: PairBatch, batch_size: int
) -> tuple[Float[Tensor, "n vocab"], Float[Tensor, "n vocab"]]:
    """Last-token logits of the clean and of the corrupted prompts, without gradients."""
    _check(batch)
    clean, corrupted = [], []
    with torch.no_grad():
        for block in _blocks(batch, batch_size):
            clean.append(last_logits(model, _embed(model, block.clean_ids)))
            corrupted.append(last_logits(model, _embed(model, block.corrupted_ids)))
    return torch.cat(clean), torch.cat(corrupted)


def last_logits(
    model: PreTrainedModel, embed: Float[Tensor, "n pos d_model"]
) -> Float[Tensor, "n vocab"]:
    """Logits at the last position, from token embeddings, as the model itself computes them:
    with the bias, scale (Cohere) and cap (Gemma 2) that it may have behind its unembedding."""
    hidden = model.base_model(inputs_embeds=embed, use_cache=False)[0]
    unembed, config = model.get_output_embeddings(), model.config
    logits = nn.functional.linear(hidden[:, -1], unembed.weight, unembed.bias)
    if (scale := getattr(config, "logit_scale", None)) is not None:
        logits = logits * scale
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = torch.tanh(logits / cap) * cap
    return logits


def _embed(model: PreTrainedModel, ids: Int[Tensor, "n pos"]) -> Float[Tensor, "n pos d_model"]:
    return model.get_input_embeddings()(ids)


def _blocks(batch: PairBatch, batch_size: int) -> Iterator[PairBatch]:
    for start in range(0, len(batch), batch_size):
        yield batch.slice(start, start + batch_size)


def _check(batch: PairBatch) -> None:
    width = batch.clean_ids.shape[1]
    shorter = torch.nonzero(batch.last != width - 1).flatten().tolist()
    if shorter:
        raise KcError(
            f"Pair {shorter[0]} has {int(batch.last[shorter[0]]) + 1} tokens and the longest has "
            f"{width}; the floor is measured on prompts of one length."
        )
