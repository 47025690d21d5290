"""Edge attribution patching (EAP) and its integrated gradients (EAP-IG).

For a writer u and a reader v,

    score[u, v] = mean over pairs and steps of  sum over positions, width of
                  (corrupted_u - clean_u) * d loss / d input_v,

loss = -(logit[right] - logit[wrong]) at the last token of the clean prompt. A positive score means:
corrupting the edge raises the loss, so the edge helps. ``input_v`` is the residual stream in front
of v's normalisation, and every head's q, k and v have an input of their own. Writer differences
come from the plain clean and corrupted runs. Gradients come from runs whose token embedding is the
clean one (EAP; Syed et al. 2023) or lies at k/m of the way from the corrupted to the clean one
(EAP-IG; Hanna et al. 2024), k = 1..m or k = 0..m-1.

How it is computed. All heads of a layer read the same residual x through the same normalisation
y = w c(x) / s, with c the centring (or nothing) and s the scale. With g the gradient at a head's q,
W its projection, and x^ = c(x) / s, the gradient at the head's input is

    [ c(w W'g) - x^ mean(x^ . w W'g) ] / s.

The mean is (g . u) / d_model with u the head's projection of w x^. So a step leaves g / s behind,
one number per token and head, and x^. Steps are summed in head space, and only then are the
gradients at the inputs formed, a layer at a time, and multiplied with all earlier writers'
differences.

Memory: q, k, v gradients and two residual streams per layer and step for ``batch_size`` pairs, plus
about ``BLOCK`` numbers for the writers' differences. Not implemented: other losses, and scores per
position or per pair.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.errors import KcError
from kc_utils.parts import (
    EMBED,
    FINAL_IN,
    FINAL_OUT,
    Layer,
    Norm,
    Parts,
    frozen,
    last_only,
    record,
    require_eval,
    split_heads,
    take_apart,
)
from kc_utils.prompt_batch import PairBatch

log = logging.getLogger(__name__)
METHODS = ("eap", "eap-ig")
PATHS = ("1..m", "0..m-1")
BLOCK = 2**25  # numbers held at once for the writers' differences


@dataclass(frozen=True)
class AttributionSettings:
    """How to score edges.

    ``method``: ``eap`` (one gradient, at the clean embedding) or ``eap-ig`` (``steps`` gradients).
    ``path``: which k of the path from corrupted (k = 0) to clean (k = m). ``batch_size``: pairs per
    block; it changes memory and speed, never the scores.
    """

    method: str = "eap-ig"
    steps: int = 5
    path: str = "1..m"
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("path", PATHS)):
            if getattr(self, name) not in allowed:
                raise KcError(
                    f"{name}={getattr(self, name)!r} is not one of {', '.join(map(repr, allowed))}."
                )
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise KcError(f"{name}={value!r} is not an integer of at least 1.")

    @property
    def shares_of_clean(self) -> tuple[float, ...]:
        """Share of the clean embedding at each step."""
        if self.method == "eap":
            return (1.0,)
        first = 1 if self.path == "1..m" else 0
        return tuple((first + k) / self.steps for k in range(self.steps))


def attribute(
    bridge: TransformerBridge, batch: PairBatch, settings: AttributionSettings
) -> Float[Tensor, "n_forward n_backward"]:
    """Score every edge of ``bridge`` on ``batch``: logits per pair (mean over pairs), on the CPU.

    float32, or float64 for a float64 model; exactly 0 where there is no edge. The result does not
    depend on ``settings.batch_size`` beyond rounding. Parameters get no gradients.
    """
    require_eval(bridge)
    check_pairs(batch)
    parts = take_apart(bridge)
    batch = batch.to(parts.final_norm.weight.device)
    dtype = torch.promote_types(parts.final_norm.weight.dtype, torch.float32)
    graph = parts.graph
    scores = torch.zeros(graph.n_forward, graph.n_backward, dtype=dtype, device=batch.last.device)
    with frozen(bridge):
        for start in range(0, len(batch), settings.batch_size):
            block = batch.slice(start, start + settings.batch_size)
            log.debug("attribution of pairs %d-%d of %d", start, start + len(block), len(batch))
            _add_scores(parts, block, settings.shares_of_clean, scores)
    return (scores / (len(batch) * len(settings.shares_of_clean))).cpu()


def check_pairs(batch: PairBatch) -> None:
    """KcError for an empty batch, prompts of unequal shape, or a pair without a contrast."""
    if len(batch) == 0:
        raise KcError("The batch holds no pair; attribution needs at least 1.")
    if batch.clean_ids.shape != batch.corrupted_ids.shape:
        raise KcError(
            f"Clean prompts have shape {tuple(batch.clean_ids.shape)} and corrupted ones "
            f"{tuple(batch.corrupted_ids.shape)}; they need to be equal."
        )
    same = torch.nonzero(batch.right_ids == batch.wrong_ids).flatten().tolist()
    if same:
        token = int(batch.right_ids[same[0]])
        raise KcError(f"Pair {same[0]}: right and wrong answer share their first token {token}.")


class _StepSum:
    """Gradients at the outputs of one normalisation's readers, summed over steps.

    ``scaled``: sum of g / s, [batch, pos, readers, d]; ``shares`` and ``normalised``: of each step,
    the factor of the rank-one part [batch, pos, readers] and x^ [batch, pos, d_model].
    """

    def __init__(self, norm: Norm) -> None:
        self.norm = norm
        self.scaled: Tensor | float = 0.0
        self.shares: list[Tensor] = []
        self.normalised: list[Tensor] = []

    def add(self, x: Tensor, grad: Tensor, weights: Tensor | None) -> None:
        """Add a step: residual ``x`` and gradient ``grad`` at the readers.

        ``weights`` are the heads' [readers, d_head, d_model], or None for a reader that takes the
        normalisation's output itself.
        """
        scale = self.norm.scale(x)
        normalised = self.norm.centre(x) / scale
        weighted = normalised * self.norm.weight
        if weights is None:
            projected = weighted[:, :, None]
        else:
            projected = torch.einsum("bpd,red->bpre", weighted, weights)
        scaled = grad / scale[..., None]
        self.scaled = self.scaled + scaled
        self.shares.append((scaled * projected).sum(-1) / x.shape[-1])
        self.normalised.append(normalised)

    def input_gradient(
        self, start: int, stop: int, weights: Tensor | None
    ) -> Float[Tensor, "readers batch pos d_model"]:
        """Gradients at the readers' inputs, summed over steps, of pairs ``start`` to ``stop``."""
        scaled = self.scaled[start:stop]
        back = scaled if weights is None else torch.einsum("bpre,red->bprd", scaled, weights)
        total = self.norm.centre(back * self.norm.weight)
        for share, normalised in zip(self.shares, self.normalised, strict=True):
            total = total - share[start:stop, ..., None] * normalised[start:stop, :, None]
        return total.permute(2, 0, 1, 3)


class _Gradients:
    """All readers' gradients: per layer those of the heads and of the MLP, and those of logits."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.weights = [torch.cat(layer.w_qkv) for layer in parts.layers]
        self.heads = [_StepSum(layer.attention_norm) for layer in parts.layers]
        self.mlps = [_StepSum(layer.mlp_norm) for layer in parts.layers]
        self.logits = _StepSum(parts.final_norm)

    def add(self, batch: PairBatch, embed: Float[Tensor, "batch pos d_model"]) -> None:
        """Run the model forwards and backwards from one token embedding."""
        seen, n_heads = _backward(self.parts, batch, embed)
        for layer, weights, heads, mlp in zip(
            self.parts.layers, self.weights, self.heads, self.mlps, strict=True
        ):
            qkv = [split_heads(seen.grads[name], n_heads) for name in layer.qkv]
            heads.add(seen.values[layer.attention_in], torch.cat(qkv, dim=2), weights)
            mlp.add(seen.values[layer.mlp_residual], seen.grads[layer.mlp_in][:, :, None], None)
        self.logits.add(seen.values[FINAL_IN], seen.grads[FINAL_OUT][:, :, None], None)

    def at_inputs(
        self, start: int, stop: int
    ) -> Iterator[tuple[int, slice, Float[Tensor, "readers batch pos d_model"]]]:
        """For each group of readers: how many writers it hears, its columns, its gradients."""
        graph = self.parts.graph
        for i, weights in enumerate(self.weights):
            heads = self.heads[i].input_gradient(start, stop, weights)
            yield graph.before_attention(i), graph.attention_columns(i), heads
            column = graph.mlp_column(i)
            mlp = self.mlps[i].input_gradient(start, stop, None)
            yield graph.before_mlp(i), slice(column, column + 1), mlp
        last = graph.n_backward - 1
        yield graph.n_forward, slice(last, last + 1), self.logits.input_gradient(start, stop, None)


def _add_scores(
    parts: Parts, batch: PairBatch, shares_of_clean: tuple[float, ...], scores: Tensor
) -> None:
    """Add the sums over the pairs of ``batch`` and over steps to ``scores``."""
    only_last = last_only(batch.last)
    _, clean = record(parts, batch.clean_ids, [only_last])
    _, corrupted = record(parts, batch.corrupted_ids, [only_last])
    gradients = _Gradients(parts)
    for share in shares_of_clean:
        gradients.add(batch, corrupted.embed + share * (clean.embed - corrupted.embed))
    difference = corrupted.minus(clean)
    per_pair = parts.graph.n_forward * clean.embed[0].numel()
    size = max(1, BLOCK // per_pair)
    for start in range(0, len(batch), size):
        written = difference.slice(start, start + size).outputs(parts).flatten(1)
        for heard, columns, gradient in gradients.at_inputs(start, start + size):
            scores[:heard, columns] += (written[:heard] @ gradient.flatten(1).T).to(scores.dtype)


@dataclass(frozen=True)
class _Seen:
    """Residual streams and gradients of one run, by hook name."""

    values: dict[str, Tensor]
    grads: dict[str, Tensor]


def _gradient_names(layer: Layer) -> tuple[str, ...]:
    return (*layer.qkv, layer.mlp_in)


def _backward(
    parts: Parts, batch: PairBatch, embed: Float[Tensor, "batch pos d_model"]
) -> tuple[_Seen, int]:
    """Gradients of the summed loss of ``batch`` when the token embedding is ``embed``."""
    leaf = embed.detach().requires_grad_(True)
    values: dict[str, Tensor] = {}
    tracked: dict[str, Tensor] = {}

    def replace(tensor: Tensor, hook: Any) -> Tensor:
        return leaf

    def note(tensor: Tensor, hook: Any) -> None:
        values[hook.name] = tensor.detach()

    def track(tensor: Tensor, hook: Any) -> Tensor:
        tracked[hook.name] = tensor.view_as(tensor)  # a node of its own: in Phi, one tensor feeds
        return tracked[hook.name]  # both attention and MLP

    residuals = {n for layer in parts.layers for n in (layer.attention_in, layer.mlp_residual)}
    outputs = [n for layer in parts.layers for n in _gradient_names(layer)] + [FINAL_OUT]
    hooks = [(EMBED, replace), *((n, note) for n in (*sorted(residuals), FINAL_IN))]
    hooks += [*((n, track) for n in outputs), last_only(batch.last)]
    logits = parts.forward(batch.clean_ids, hooks)[:, 0]
    rows = torch.arange(len(batch), device=logits.device)
    loss = -(logits[rows, batch.right_ids] - logits[rows, batch.wrong_ids]).sum()
    grads = torch.autograd.grad(loss, [tracked[n] for n in outputs])
    return _Seen(values, dict(zip(outputs, grads, strict=True))), parts.graph.n_heads
