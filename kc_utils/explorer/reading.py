"""A prompt that a person typed, read by a model: next tokens, logit lens, attention."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis import logit_readout
from transformers import PreTrainedTokenizerBase

from kc_utils.analysis.logit_lens import ROOM
from kc_utils.errors import KcError

TOP = 10  # next tokens that are shown


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model makes of one prompt.

    ``tokens``: the prompt, spaces as a middle dot. ``top``: rank, token, probability of the likely
    next tokens. ``lens``: layer (0 = embedding), position, token, probability of the likeliest next
    token if the stream were read there. ``attention``: from every position to the ones before.
    """

    tokens: tuple[str, ...]
    top: pd.DataFrame
    lens: pd.DataFrame
    attention: Float[Tensor, "layer head destination source"]
    logits: Float[Tensor, " vocab"]


def read_prompt(
    bridge: TransformerBridge, tokenizer: PreTrainedTokenizerBase, prompt: str
) -> Reading:
    """Run ``bridge`` on ``prompt``; KcError as :func:`token_ids`."""
    ids = token_ids(tokenizer, prompt, int(bridge.cfg.n_ctx))
    layers = range(bridge.cfg.n_layers)
    streams = ["blocks.0.hook_resid_pre", *(f"blocks.{i}.hook_resid_post" for i in layers)]
    patterns = [f"blocks.{i}.attn.hook_pattern" for i in layers]
    wanted = {*streams, *patterns}
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(
            torch.tensor([ids], device=bridge.W_U.device),
            return_type="logits",
            names_filter=lambda name: name in wanted,
        )
    residual = torch.stack([cache[name][0] for name in streams])
    last = logits[0, -1].float().cpu()
    chances = last.softmax(-1)
    best = chances.topk(min(TOP, len(chances)))
    top = pd.DataFrame(
        {
            "rank": range(1, len(best.indices) + 1),
            "token": [shown(tokenizer, int(i)) for i in best.indices],
            "probability": best.values.tolist(),
        }
    )
    return Reading(
        tokens=tuple(shown(tokenizer, i) for i in ids),
        top=top,
        lens=_lens(bridge, tokenizer, residual),
        attention=torch.stack([cache[name][0] for name in patterns]).float().cpu(),
        logits=last,
    )


def _lens(
    bridge: TransformerBridge,
    tokenizer: PreTrainedTokenizerBase,
    residual: Float[Tensor, "layer pos d_model"],
) -> pd.DataFrame:
    chunk = max(1, ROOM // bridge.W_U.shape[1])
    found = logit_readout(bridge, residual, return_type="probs", top_k=1, chunk_size=chunk)
    names = {int(i): shown(tokenizer, int(i)) for i in found.top_ids.unique()}
    n_layers, n_positions = residual.shape[:2]
    return pd.DataFrame(
        {
            "layer": [layer for layer in range(n_layers) for _ in range(n_positions)],
            "position": list(range(n_positions)) * n_layers,
            "token": [names[i] for i in found.top_ids[..., 0].flatten().tolist()],
            "probability": found.values[..., 0].flatten().tolist(),
        }
    )


def token_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, context: int) -> list[int]:
    """The tokens of ``prompt``, as in training.

    KcError for an empty prompt, characters that the tokenizer has no token for, or a prompt of more
    than ``context`` tokens.
    """
    if not prompt.strip():
        raise KcError("The prompt is empty; type the beginning of a sentence.")
    found = tokenizer(prompt, return_offsets_mapping=True)
    ids, spans = found["input_ids"], found["offset_mapping"]
    if unknown := _unknown(tokenizer, prompt, ids, spans):
        names = ", ".join(map(repr, unknown))
        raise KcError(f"The tokenizer of this run has no token for {names}.")
    if len(ids) > context:
        raise KcError(f"The prompt has {len(ids)} tokens; this model reads at most {context}.")
    return [int(i) for i in ids]


def _unknown(
    tokenizer: PreTrainedTokenizerBase, prompt: str, ids: list[int], spans: list[tuple[int, int]]
) -> list[str]:
    """Characters in unknown tokens, and characters that belong to no token at all."""
    unknown = None if (tokenizer.unk_token or "") in prompt else tokenizer.unk_token_id  # typed
    known = set()
    for i, (start, stop) in zip(ids, spans, strict=True):
        if i != unknown:
            known.update(range(start, stop))
    lost = [c for i, c in enumerate(prompt) if i not in known and not c.isspace()]
    return list(dict.fromkeys(lost))


def shown(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """A token for people: spaces as a middle dot, line breaks as an arrow.

    Bytes that are no whole character keep the tokenizer's own name for them.
    """
    text = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    if not text or "\ufffd" in text:
        return str(tokenizer.convert_ids_to_tokens(token_id))
    return text.replace(" ", "·").replace("\n", "↵")
