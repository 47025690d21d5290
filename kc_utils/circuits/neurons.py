"""Nodes and neurons: how much each writer matters, and each coordinate of what it writes.

A node here is a writer of the graph, and its neurons are the d_model coordinates of what it adds to
the residual stream, as in the published library (Hanna et al. 2024, arXiv 2403.17806; Mueller et
al. 2025, arXiv 2504.13151). With the gradient at the residual stream right behind writer u::

    score[u, d] = mean over pairs and steps of  sum over positions of
                  (corrupted_u - clean_u)[d] * d loss / d stream_u[d]

A node's score is the sum over d. All later readers read that stream, so a node's score is also the
sum of the scores of its edges (:func:`kc_utils.circuits.attribution.attribute`).

A circuit of neurons is a run in which every coordinate that is not kept carries its value in the
corrupted run (or nothing, or its mean). With whole rows it is the circuit of all edges between the
kept nodes, except where a normalisation takes in all heads of a layer: here its scale is that of
the mixed run, there that of heads which read from kept edges only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.ablation import MeanOutputs, References
from kc_utils.circuits.adapter import Adapter, frozen, require_eval
from kc_utils.circuits.arguments import whole
from kc_utils.circuits.attribution import (
    AttributionSettings,
    check_pairs,
    loss_of_read,
    output_of,
)
from kc_utils.circuits.batch_sizes import pairs_per_block
from kc_utils.circuits.checks import check_ids
from kc_utils.circuits.circuit import as_array
from kc_utils.circuits.circuit_run import check_ablations
from kc_utils.circuits.evaluation import BatchEvaluation, EvaluationResult
from kc_utils.circuits.gradients import Leaf, Loss, give
from kc_utils.circuits.metrics import Metric, finite
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.precision import own_precision
from kc_utils.circuits.relp import apply_relp_rules
from kc_utils.circuits.settings import check_settings
from kc_utils.circuits.written import Written, record, write_heads
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks


@own_precision()
@torch.inference_mode(False)  # as for edges
def attribute_neurons(
    bridge: TransformerBridge, batch: PairBatch, settings: AttributionSettings
) -> Float[Tensor, "n_forward d_model"]:
    """Score every coordinate of what every writer writes, in units of the metric.

    Settings, sign, dtype and device are as in :func:`kc_utils.circuits.attribution.attribute`.

    Raises:
        KcError: the method ``exact``, which patches edges; otherwise as ``attribute``.
    """
    check_settings(settings)
    if settings.method == "exact":
        raise KcError("method='exact' patches edges; nodes and neurons have no such scores.")
    adapter = require_eval(bridge)
    check_pairs(adapter, batch, settings.metric)
    batch = batch.to(adapter.device)
    width = adapter.model.config.hidden_size
    shape = (adapter.graph.n_forward, width)
    scores = torch.zeros(shape, dtype=adapter.score_dtype, device=adapter.device)
    size = pairs_per_block(adapter, batch, 1, settings.max_bytes, settings.batch_size)
    with frozen(adapter.model):
        for start in range(0, len(batch), size):
            _add_block(adapter, batch.slice(start, start + size), settings, scores)
    scores /= len(batch) * len(settings.shares_of_clean)
    return finite(scores.cpu(), settings.metric)


def attribute_nodes(
    bridge: TransformerBridge, batch: PairBatch, settings: AttributionSettings
) -> Float[Tensor, " n_forward"]:
    """Score every writer: the sum of its neurons' scores, and of its edges' scores.

    Raises:
        KcError: as :func:`attribute_neurons`.
    """
    return attribute_neurons(bridge, batch, settings).sum(-1)


def strongest(
    scores: Float[Tensor, "*shape"] | Float[np.ndarray, "*shape"], n: int
) -> Bool[np.ndarray, "*shape"]:
    """True for the ``n`` nodes or neurons of largest absolute score; equal ones in their order.

    Raises:
        KcError: there are not so many, or a score is not a finite number.
    """
    values = np.abs(as_array(scores)).ravel()
    if whole(n, "n", 0) > values.size:
        raise KcError(f"n={n} were asked for; there are {values.size}.")
    if not np.isfinite(values).all():
        raise KcError(f"{int((~np.isfinite(values)).sum())} scores are not finite numbers.")
    kept = np.zeros(values.size, dtype=bool)
    kept[np.argsort(-values, kind="stable")[:n]] = True
    return kept.reshape(scores.shape)


@own_precision()
def evaluate_neurons(
    bridge: TransformerBridge,
    batch: PairBatch,
    kept: Bool[np.ndarray, "n_forward d_model"] | Bool[Tensor, "n_forward d_model"],
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
    metric: str | Metric = "logit_diff",
) -> EvaluationResult:
    """Logit difference, or another metric, and rank per pair when only the ``kept`` neurons carry
    their own values.

    The other arguments and the result are those of
    :func:`kc_utils.circuits.evaluation.evaluate_circuit`.

    Raises:
        KcError: neurons of another shape or dtype; otherwise as ``evaluate_circuit``.
    """
    adapter = require_eval(bridge)
    shape = (adapter.graph.n_forward, adapter.model.config.hidden_size)
    if not isinstance(kept, Tensor | np.ndarray):
        raise KcError(
            f"Kept neurons are a boolean matrix of shape {shape}, not {type(kept).__name__}."
        )
    mask = torch.as_tensor(kept, device=adapter.device)
    if tuple(mask.shape) != shape or mask.dtype != torch.bool:
        raise KcError(
            f"Kept neurons have shape {tuple(mask.shape)} and {mask.dtype}; the model needs "
            f"{shape} and torch.bool."
        )
    check_ids(adapter, batch)
    check_ablations(adapter, (ablation,), means, refs, batch)
    # the checks of the metric, its plain runs and how it is taken are those of circuits of edges
    judge = BatchEvaluation(bridge, batch, means, batch_size, refs, metric)
    corrupted = judge.references.written
    device_batch = batch.to(adapter.device)
    logits = []
    for start in range(0, len(batch), batch_size):
        block = device_batch.slice(start, start + batch_size)
        written = corrupted.slice(start, start + batch_size, block.clean_ids.shape[1])
        replaced = partial(_replacement, adapter, ablation, means, written)
        logits.append(_logits(adapter, block, mask, replaced))
    return judge.result_of(torch.cat(logits))


def _add_block(
    adapter: Adapter, batch: PairBatch, settings: AttributionSettings, scores: Tensor
) -> None:
    """Add a block's sums over pairs, positions and steps to ``scores``."""
    hidden, clean = record(adapter, batch.clean_ids, at=batch.read_at)
    _, corrupted = record(adapter, batch.corrupted_ids, at=batch.read_at)
    with torch.no_grad():
        known = adapter.logits(hidden, batch.read_at) if settings.metric == "kl" else None
    loss = partial(loss_of_read, adapter, settings, known)
    difference = corrupted.minus(clean)
    relp = settings.method == "relp"
    for leaf_kind, leaf_layer in _leaves(adapter, settings.method):
        ends = [output_of(w, leaf_kind, leaf_layer) for w in (clean, corrupted)]
        for share in settings.shares_of_clean:
            leaf = Leaf(torch.lerp(ends[1], ends[0], share), leaf_kind, leaf_layer)
            streams = _stream_gradients(adapter, batch, leaf, loss, relp)
            for kind, layer, rows, stream in _writers(adapter):
                if settings.method == "eap-ig-activations" and (kind, layer) != (
                    leaf_kind, leaf_layer):  # fmt: skip
                    continue
                gradient = streams[stream]
                if gradient is not None:
                    products = _outputs(adapter, difference, kind, layer) * gradient
                    scores[rows] += products.sum((1, 2), dtype=scores.dtype)


def _leaves(adapter: Adapter, method: str) -> Iterator[tuple[str, int]]:
    """What is interpolated: the embedding, or every writer's own output in turn."""
    yield "embed", 0
    if method == "eap-ig-activations":
        for layer in range(adapter.graph.n_layers):
            yield "heads", layer
            yield "mlp", layer


def _writers(adapter: Adapter) -> Iterator[tuple[str, int, slice, int]]:
    """Kind, layer, rows of the graph, and the first stream that holds what they write.

    Streams are counted as in ``Written.streams``: in front of each attention and MLP, then the
    final one.
    """
    graph = adapter.graph
    yield "embed", 0, slice(0, 1), 0
    for layer in range(graph.n_layers):
        behind = 2 * layer + 2
        yield "heads", layer, graph.heads(layer), behind if graph.parallel else behind - 1
        yield "mlp", layer, slice(graph.mlp(layer), graph.mlp(layer) + 1), behind


def _stream_gradients(
    adapter: Adapter, batch: PairBatch, leaf: Leaf, loss: Loss, relp: bool
) -> list[Tensor | None]:
    """Gradients of the summed loss at every residual stream [batch, pos, d_model]; None in front of
    the leaf."""
    streams: list[Tensor] = []
    with Hooks() as hooks:
        give(hooks, adapter, leaf, leaf.value.detach().requires_grad_(True))
        for block in adapter.blocks:
            for norm in (block.attention_norm, block.mlp_norm):
                hooks.input(norm.module, streams.append)
        hooks.input(adapter.final_norm.module, streams.append)
        if relp:
            apply_relp_rules(adapter, hooks)
        hidden = adapter.hidden(batch.clean_ids, batch.read_at)
        rows = torch.arange(len(batch), device=hidden.device)[:, None]
        total = loss(hidden[rows, batch.read_at], batch).sum()
    taking = [x for x in streams if x.requires_grad]
    found = iter(torch.autograd.grad(total, taking, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in streams]


def _outputs(
    adapter: Adapter, written: Written, kind: str, layer: int
) -> Float[Tensor, "rows batch pos d_model"]:
    """What the writers of one kind and layer write."""
    if kind != "heads":
        return output_of(written, kind, layer)[None]
    z, block = written.z[layer], adapter.blocks[layer]
    out = z.new_empty(block.n_heads, *written.embed.shape)
    write_heads(z, block.w_out, out)
    return out


def _replacement(
    adapter: Adapter,
    ablation: str,
    means: MeanOutputs | None,
    corrupted: Written,
    kind: str,
    layer: int,
    rows: slice,
) -> Float[Tensor, "rows batch pos d_model"]:
    """What stands in for neurons that are not kept; sizes of 1 are for all pairs and positions."""
    if ablation == "corrupted":
        return _outputs(adapter, corrupted, kind, layer)
    if ablation == "mean" and means is not None:
        return means.rows[rows][:, None, None]
    return corrupted.embed.new_zeros(1, 1, 1, 1)


def _logits(
    adapter: Adapter,
    batch: PairBatch,
    mask: Bool[Tensor, "n_forward d_model"],
    replaced: Callable[[str, int, slice], Tensor],
) -> Float[Tensor, "batch k vocab"]:
    """Run the clean prompts with every writer's output mixed from its own and its replacement."""

    def mixed(own: Tensor, kind: str, layer: int, rows: slice) -> Tensor:
        return torch.where(mask[rows][:, None, None], own, replaced(kind, layer, rows)).sum(0)

    with torch.no_grad(), Hooks() as hooks:
        for kind, layer, rows, _ in _writers(adapter):
            if kind == "heads":
                _mix_heads(hooks, adapter, layer, partial(mixed, kind=kind, layer=layer, rows=rows))
                continue
            module = adapter.embed if kind == "embed" else adapter.blocks[layer].mlp_writer
            mix = partial(mixed, kind=kind, layer=layer, rows=rows)
            hooks.output(module, lambda own, mix=mix: mix(own[None]))
        hidden = adapter.hidden(batch.clean_ids)
        return adapter.logits(hidden, batch.read_at)


def _mix_heads(hooks: Hooks, adapter: Adapter, layer: int, mix: Callable[[Tensor], Tensor]) -> None:
    """Let the attention of ``layer`` add the mixed outputs of its heads and its bias."""
    block = adapter.blocks[layer]
    taken: list[Tensor] = []

    def write(_: Tensor) -> Tensor:
        z = block.passed(taken.pop().unflatten(-1, (block.n_heads, -1)))
        out = z.new_empty(block.n_heads, *z.shape[:2], block.w_out.shape[-1])
        write_heads(z, block.w_out, out)
        return mix(out) + block.b_out

    hooks.input(block.o, taken.append)
    post = block.attention_post
    hooks.output(block.o if post is None else post.module, write)
