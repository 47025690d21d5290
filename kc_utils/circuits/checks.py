"""Whether a model is what the engine takes it for: refused in a sentence, or found by numbers.

What a family adds without saying so (a multiplier, a gate, a cap, another order of its parts) would
make scores wrong and not fail. So before anything is scored, every residual stream has to be the
sum of what was written before, every reader has to read that stream through its normalisation, and
the logits have to be those of the model, also where they are large enough to meet a cap. And before
a batch is run, its tokens have to be those of the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.rope import growing_type
from kc_utils.circuits.written import Recording
from kc_utils.errors import KcError, shown
from kc_utils.kernels.hooks import Hooks

TOLERANCE = 1e-4  # largest error of what is compared, over the largest number there
LOOSE = 0.05  # the same in float16 and bfloat16
LOUD = 1e3  # largest logit of the run that looks for caps
LARGEST = 1e4  # largest hidden state there: float16 ends at 65504


def check_kind(model: PreTrainedModel) -> None:
    """KcError for an encoder-decoder, a mixture of experts, more than a language model, no heads,
    no logits, positions that depend on the length of a run, and parameters that no gradient can
    pass."""
    name, config = type(model).__name__, model.config
    if any(p.is_inference() for p in model.parameters()):
        raise KcError(
            f"{name} was made in torch.inference_mode, whose tensors take part in no gradient; "
            "it has to be made outside of that mode."
        )
    if getattr(config, "is_encoder_decoder", False):
        raise KcError(f"{name} is an encoder-decoder; circuits are those of decoders only.")
    if config.get_text_config() is not config:
        raise KcError(f"{name} is more than a language model; load its language model alone.")
    modules = ((name, type(m).__name__.lower()) for name, m in model.named_modules())
    if any("expert" in path.lower() or "expert" in kind or "moe" in kind for path, kind in modules):
        raise KcError(f"{name} is a mixture of experts, which has no graph of heads and MLPs.")
    if not hasattr(config, "num_attention_heads"):
        raise KcError(
            f"The configuration of {name} names no num_attention_heads; without attention heads "
            "there is no graph of heads and MLPs."
        )
    if model.get_output_embeddings() is None:
        raise KcError(f"{name} gives no logits; load the model with AutoModelForCausalLM.")
    if kind := growing_type(config):
        raise KcError(
            f"{name} has rope_type={kind!r}, with which the length of a run changes how "
            "positions are rotated, so one pair's scores would depend on the others in its run; "
            "allowed are types of one rotation for all lengths, such as 'default' or 'yarn'."
        )


@torch.no_grad()
def check_decomposition(adapter: Adapter, ids: Int[Tensor, "batch pos"]) -> None:
    """KcError unless every residual stream is the sum of what was written before it, and every
    reader reads it through its normalisation.

    ``ids``: at least two rows with other tokens at the same positions, so that what depends on the
    position only is told from what depends on the token.
    """
    name = type(adapter.model).__name__
    qkv: list[list[Tensor]] = [[] for _ in adapter.blocks]
    mlp: list[Tensor] = []
    with Hooks() as hooks:
        recording = Recording(adapter, hooks, streams=True)
        for block, outputs in zip(adapter.blocks, qkv, strict=True):
            for module in block.qkv:
                hooks.output(module, outputs.append)
            hooks.input(block.mlp, mlp.append)
        adapter.hidden(ids)
    written = recording.written()
    positions = written.streams[0] - written.embed
    if _differ(positions[:-1], positions[1:], written.streams[0]):
        raise KcError(f"{name} changes its token embedding before the first block reads it.")
    if any(len(found) != len(block.qkv) for found, block in zip(qkv, adapter.blocks, strict=True)):
        raise KcError(f"{name} does not compute q, k and v once in every layer.")
    sums = _streams(adapter, positions, written.outputs(adapter, adapter.score_dtype))
    for stream, total in zip(written.streams, sums, strict=True):
        if error := _differ(total, stream):
            raise KcError(
                f"The residual stream of {name} is not the sum of its embedding, heads and MLPs "
                f"(relative error {error:.1e}), so it has no edges to score."
            )
    for i, block in enumerate(adapter.blocks):
        here = block.attention_norm.closed_form(written.streams[2 * i])
        expected = torch.einsum("bpm,xhdm->bpxhd", here, block.w_qkv) + block.b_qkv
        read = block.mlp_norm.closed_form(written.streams[2 * i + 1])
        if _differ(block.split(qkv[i]), expected) or _differ(mlp[i], read):
            raise KcError(
                f"The heads or the MLP of layer {i} of {name} read something else than the "
                "normalised residual stream."
            )


def _streams(
    adapter: Adapter,
    positions: Float[Tensor, "batch pos d_model"],
    rows: Float[Tensor, "n_forward batch pos d_model"],
) -> Iterator[Float[Tensor, "batch pos d_model"]]:
    """What each of ``Written.streams`` should be."""
    graph, total = adapter.graph, positions + rows[0]
    for layer, block in enumerate(adapter.blocks):
        yield total
        attention = rows[graph.heads(layer)].sum(0) + block.b_out
        yield total if graph.parallel else total + attention
        total = total + attention + rows[graph.mlp(layer)]
    yield total


@torch.no_grad()
def check_logits_of(
    adapter: Adapter, ids: Int[Tensor, "batch pos"], expected: Float[Tensor, "batch pos vocab"]
) -> None:
    """KcError unless the adapter's logits are ``expected``, and the model's own where they are
    large: the plain model runs once, with its last hidden states scaled up."""
    hidden: list[Tensor] = []
    wanted = LOUD / expected.abs().max().clamp_min(1e-6)

    def amplify(x: Tensor) -> Tensor:
        loud = torch.minimum(wanted, LARGEST / x.abs().max()).clamp_min(1.0).to(x.dtype)
        hidden.extend((x, loud * x))
        return hidden[-1]

    with Hooks() as hooks:
        hooks.output(adapter.final_norm.module, amplify)
        large = adapter.model(input_ids=ids, use_cache=False).logits
    every = torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
    check_logits(adapter.model, adapter.logits(hidden[0], every), expected)
    check_logits(adapter.model, adapter.logits(hidden[1], every), large)


def check_filled(batch: PairBatch) -> None:
    """KcError for an empty batch, and for something else in its place."""
    if not isinstance(batch, PairBatch):
        raise KcError(
            f"batch={shown(batch)} is no PairBatch; PairBatch.from_texts and PairBatch.from_lists "
            "make one."
        )
    if len(batch) == 0:
        raise KcError("The batch holds no pair; at least 1 is needed.")


def check_ids(adapter: Adapter, batch: PairBatch) -> None:
    """KcError for a pair with a token outside of the vocabulary, or more tokens than the model has
    positions for, or rotates alike; for prompts of unequal shape, or that end elsewhere than the
    batch says; otherwise as :func:`check_filled`."""
    check_filled(batch)
    n_read, n_predicted = len(adapter.embed.weight), len(adapter.unembed.weight)
    whole = batch.answer_ids is not None  # a row then has one answer, and -1 where it is shorter
    fewer = [-1 if x is not None else 0 for x in (batch.right_sets, batch.wrong_sets)]
    bounds = {
        "clean prompt": (batch.clean_ids, 0, n_read),
        "corrupted prompt": (batch.corrupted_ids, 0, n_read),
        "right answer": (batch.answers.right, fewer[0], n_predicted),
        "wrong answer": (batch.answers.wrong, -1 if whole else fewer[1], n_predicted),
        "answer": (batch.answer_ids, -1, n_predicted),
    }
    for name, (ids, low, high) in bounds.items():
        if ids is not None and (outside := (ids < low) | (ids >= high)).any():
            pair = int(outside.reshape(len(ids), -1).any(1).nonzero()[0])
            raise KcError(
                f"Pair {pair}: the {name} has token {int(ids[outside][0])}; the vocabulary of "
                f"{type(adapter.model).__name__} has the tokens 0 to {high - 1}."
            )
    if batch.clean_ids.shape != batch.corrupted_ids.shape:
        raise KcError(
            f"Clean prompts have shape {tuple(batch.clean_ids.shape)} and corrupted ones "
            f"{tuple(batch.corrupted_ids.shape)}; they need to be equal."
        )
    pos = batch.clean_ids.shape[1]
    if beyond := ((batch.last < 0) | (batch.last >= pos)).nonzero().flatten().tolist():
        raise KcError(
            f"Pair {beyond[0]}: the last token is at {int(batch.last[beyond[0]])}; its prompts "
            f"have the positions 0 to {pos - 1}."
        )
    for most, why in (
        (adapter.n_positions, "has {} positions"),
        (adapter.n_alike, "rotates those of more than {} tokens otherwise ('longrope'), so one "
         "pair's scores would depend on the others in its run"),
    ):  # fmt: skip
        if most is not None and (too_long := (batch.last >= most).nonzero().flatten().tolist()):
            raise KcError(
                f"Pair {too_long[0]}: the prompt has {int(batch.last[too_long[0]]) + 1} tokens; "
                f"{type(adapter.model).__name__} {why.format(most)}."
            )


def check_logits(model: PreTrainedModel, actual: Tensor, expected: Tensor) -> None:
    """KcError unless the model's logits are finite, and the actual ones agree with them."""
    if wrong := int((~torch.isfinite(expected)).sum()):
        raise KcError(
            f"{wrong} of {expected.numel()} logits of {type(model).__name__} are not finite "
            "numbers; its weights have to be, and its activations in its dtype."
        )
    if error := _differ(actual, expected):
        raise KcError(
            f"The TransformerBridge of {type(model).__name__} gives other logits than the model: "
            f"relative error {error:.1e}, allowed is {_tolerance(expected):.0e}."
        )


def _differ(actual: Tensor, expected: Tensor, size: Tensor | None = None) -> float:
    """The error relative to the largest number (of ``size``, or of ``expected``); 0 if allowed."""
    largest = (expected if size is None else size).abs().max().clamp_min(1e-6)
    error = ((actual - expected).abs().max() / largest).item()
    return 0.0 if error <= _tolerance(expected) else error


def _tolerance(x: Tensor) -> float:
    return TOLERANCE if x.dtype in (torch.float32, torch.float64) else LOOSE
