"""Edge attribution: how much does every edge matter, from a few runs of the model.

For a writer u and a reader v::

    score[u, v] = mean over pairs and steps of  sum over positions, width of
                  (corrupted_u - clean_u) * d loss / d input_v,

where loss is minus the metric (the logit difference, unless another is chosen) at the end of the
clean prompt. A positive score means: corrupting the edge makes the answer worse, so the edge helps.
``input_v`` is the residual stream in front of v's normalisation, and every head's q, k and v have
an input of their own. Writer differences come from the plain clean and corrupted runs. The methods
differ in the runs that gradients are taken in:

- ``eap``: the clean run (Syed et al. 2023, arXiv 2310.10348);
- ``eap-ig``: runs whose token embedding lies at k/m of the way from the corrupted to the clean one,
  k = 1..m, the published formula, or k = 0..m-1, the published code (Hanna et al. 2024, arXiv
  2403.17806);
- ``eap-ig-activations``: for the rows of one embedding, attention layer or MLP, clean runs in which
  its own output lies at k/m of the way (2 L + 1 times as many runs; Mueller et al. 2025, arXiv
  2504.13151);
- ``clean-corrupted``: the clean and the corrupted run, averaged (Hanna et al. 2024);
- ``relp``: the clean run, with RelP's rules in the backward pass (:mod:`kc_utils.circuits.relp`;
  Jafari et al. 2025, arXiv 2508.21258);
- ``exact``: no gradients: every edge is patched in turn (:mod:`kc_utils.circuits.exact`), for tiny
  models.

How gradients are multiplied with differences is in :mod:`kc_utils.circuits.gradients`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial as bound
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.adapter import Adapter, frozen, require_eval
from kc_utils.circuits.answers import mean_at
from kc_utils.circuits.batch_sizes import (
    pairs_per_block,
    pairs_per_patching,
    pairs_per_product,
    steps_per_run,
)
from kc_utils.circuits.block import bias_of, weight_of
from kc_utils.circuits.checks import check_ids
from kc_utils.circuits.exact import exact_sums
from kc_utils.circuits.gradients import Backward, Gradients, Leaf, Loss, run_backward
from kc_utils.circuits.metrics import (
    Metric,
    check_batch,
    evaluate_metric,
    finite,
    named,
)
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.partial_scores import PartialScores
from kc_utils.circuits.precision import own_precision
from kc_utils.circuits.settings import AttributionSettings, check_settings
from kc_utils.circuits.written import Recording, Written, record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

log = logging.getLogger(__name__)
#: Groups of tokens (pair * pos + position) that are scored apart, of pairs with pos positions.
Split = Callable[[PairBatch, int], list[Int[Tensor, " _"]]]


def attribute(
    bridge: TransformerBridge,
    batch: PairBatch,
    settings: AttributionSettings,
    progress: bool = False,
    partial: str | Path | None = None,
) -> Float[Tensor, "n_forward n_backward"]:
    """Score every edge of ``bridge`` on ``batch``, in units of the metric (logits, by default).

    A score says how much worse the metric gets when the edge is corrupted, as the mean over pairs:
    an estimate, or the effect itself with the method ``exact``. On the CPU, in float32, or float64
    for a float64 model; exactly 0 where there is no edge. The result does not depend on
    ``batch_size`` and ``max_bytes`` beyond rounding. Parameters get no gradients, and none
    of ``torch.no_grad``, ``torch.inference_mode`` and ``torch.autocast`` around the call changes
    anything: for scores in another precision, load the model in that dtype. ``progress`` shows a
    bar over blocks of pairs on stderr.

    ``partial`` names a file that keeps the sums over finished blocks. A call that was stopped and
    is made again with it goes on behind the last of them; a finished one removes it. The file is as
    large as the scores, and a block has at most ``batch_size`` pairs.

    Raises:
        KcError: a model in training mode, an empty batch, prompts of unequal shape, pairs that the
            metric cannot tell apart, tokens outside of the vocabulary, prompts longer than a table
            of positions, a memory bound below what one pair needs, a metric without a gradient
            (but for ``exact``), and scores that are not finite. With ``partial``: a metric that
            is a function, and a file that is damaged, cannot be written, or is of another model,
            other pairs or other settings.
    """
    return scores_of_parts(bridge, batch, settings, progress=progress, partial=partial)[0]


def check_pairs(adapter: Adapter, batch: PairBatch, metric: str | Metric = "logit_diff") -> None:
    """KcError for an empty batch, prompts of unequal shape, a pair without a contrast, tokens that
    the model does not have, or a prompt that is too long for it."""
    check_ids(adapter, batch)
    check_batch(metric, batch)


@own_precision()
@torch.inference_mode(False)  # what is made in that mode can never take part in a gradient
def scores_of_parts(
    bridge: TransformerBridge,
    batch: PairBatch,
    settings: AttributionSettings,
    split: Split | None = None,
    n_parts: int = 1,
    progress: bool = False,
    partial: str | Path | None = None,
) -> Float[Tensor, "parts n_forward n_backward"]:
    """:func:`attribute` with ``n_parts`` groups of tokens kept apart (None: all together).

    The errors are the same, and a KcError for parts of the method ``exact``.
    """
    check_settings(settings)
    if split and settings.method == "exact":
        raise KcError("method='exact' patches an edge at all positions at once.")
    adapter = require_eval(bridge)
    check_pairs(adapter, batch, settings.metric)
    kept = None if partial is None else PartialScores(partial, adapter, batch, settings)
    batch = batch.to(adapter.device)
    shape = (n_parts, *adapter.graph.real_edges.shape)
    scores = torch.zeros(shape, dtype=adapter.score_dtype, device=adapter.device)
    exact, bounds = settings.method == "exact", (settings.max_bytes, settings.batch_size)
    steps = 1 if exact else len(settings.shares_of_clean)
    size = (
        pairs_per_patching(adapter, batch, *bounds)
        if exact
        else pairs_per_block(adapter, batch, steps, *bounds)
    )
    scores, done = (scores, 0) if kept is None else kept.start(scores)
    with frozen(adapter.model):
        blocks = range(done, len(batch), size)
        for start in tqdm(blocks, settings.method, unit="block", disable=not progress):
            block = batch.slice(start, start + size)
            log.debug("attribution of pairs %d-%d of %d", start, start + len(block), len(batch))
            if exact:
                metric, room = settings.metric, settings.max_bytes
                scores[0] += exact_sums(adapter, block, metric, room, progress=progress)
            else:
                _Block(adapter, block, settings, split, scores).add()
            if kept is not None:
                kept.store(scores, start + len(block))
    if kept is not None:
        kept.remove()
    return finite((scores / (len(batch) * steps)).cpu(), settings.metric)


class _Block:
    """A block of pairs: its plain runs, and its share of the scores."""

    def __init__(
        self,
        adapter: Adapter,
        batch: PairBatch,
        settings: AttributionSettings,
        split: Split | None,
        scores: Tensor,
    ) -> None:
        self.adapter, self.batch, self.settings, self.scores = adapter, batch, settings, scores
        self.split = split
        _, self.corrupted = record(adapter, batch.corrupted_ids, at=batch.read_at)
        self.clean_run: Backward | None = None
        if settings.starts_clean:
            self.loss: Loss = bound(loss_of_read, adapter, settings, None)
            self.clean = self._run_clean()
        else:
            hidden, self.clean = record(adapter, batch.clean_ids, at=batch.read_at)
            with torch.no_grad():
                known = adapter.logits(hidden, batch.read_at) if settings.metric == "kl" else None
            self.loss = bound(loss_of_read, adapter, settings, known)
        self.difference = self.corrupted.minus(self.clean)

    def _run_clean(self) -> Written:
        """Run the clean prompts once, for what they write and for the gradients there."""
        leaf = Leaf(self.adapter.embed(self.batch.clean_ids))
        with Hooks() as hooks:
            recording = Recording(self.adapter, hooks)
            self.clean_run = run_backward(self.adapter, self.batch, leaf, self.loss)
        return recording.written()

    def add(self) -> None:
        """Add this block's sums over pairs and steps to the scores."""
        if self.settings.method != "eap-ig-activations":
            self._add_rows("embed", 0, slice(None))
            return
        graph = self.adapter.graph
        self._add_rows("embed", 0, slice(0, 1))
        for layer in range(graph.n_layers):
            self._add_rows("heads", layer, graph.heads(layer))
            self._add_rows("mlp", layer, slice(graph.mlp(layer), graph.mlp(layer) + 1))

    def _add_rows(self, kind: str, layer: int, rows: slice) -> None:
        """Score the writers ``rows`` with runs along the path of one writer's output."""
        relp = self.settings.method == "relp"
        gradients = Gradients(self.adapter, constant_scale=relp)
        clean, corrupted = (output_of(w, kind, layer) for w in (self.clean, self.corrupted))
        shares = list(self.settings.shares_of_clean)
        if self.clean_run is not None:
            gradients.add(self.clean_run)
            shares.remove(1.0)
            self.clean_run = None  # its memory is for the other steps
        at_once = steps_per_run(self.adapter, self.batch, len(shares), self.settings.max_bytes)
        for start in range(0, len(shares), at_once):
            some = shares[start : start + at_once]
            values = torch.cat([corrupted + share * (clean - corrupted) for share in some])
            batch = self.batch.repeated(len(some))
            leaf = Leaf(values, kind, layer)
            gradients.add(run_backward(self.adapter, batch, leaf, self.loss, relp), len(some))
        size = pairs_per_product(self.adapter, self.batch, self.settings.max_bytes)
        pos = self.batch.clean_ids.shape[1]
        for start in range(0, len(self.batch), size):
            some = self.batch.slice(start, start + size)
            written = self.difference.slice(start, start + size)
            rows_written = written.outputs(self.adapter, self.adapter.score_dtype)
            centred = self.adapter.centre(rows_written).flatten(1, 2)
            parts = self.split(some, pos) if self.split else [slice(None)]
            gradients.score(centred, start * pos, parts, self.scores, rows)


def output_of(written: Written, kind: str, layer: int) -> Tensor:
    """What a :class:`~kc_utils.circuits.gradients.Leaf` of this kind stands in for."""
    if kind == "embed":
        return written.embed
    return written.z[layer].flatten(-2) if kind == "heads" else written.mlp[layer]


def loss_of_read(
    adapter: Adapter,
    settings: AttributionSettings,
    clean_logits: Tensor | None,
    read: Float[Tensor, "n k d_model"],
    batch: PairBatch,
) -> Float[Tensor, " n"]:
    """Minus the metric, from the hidden states that are read."""
    metric, relp = settings.metric, settings.method == "relp"
    # Needs the answers' rows of the unembedding, not all of the vocabulary.
    if metric == "logit_diff":
        weight, bias = weight_of(adapter.unembed), bias_of(adapter.unembed)
        if adapter.logit_cap is None:
            right, wrong = batch.answers.directions(weight)
            constant, other = batch.answers.directions(bias)
            return -((read[:, -1] * (right - wrong)).sum(-1) + (constant - other))
        right, wrong = (
            mean_at(adapter.capped((read[:, -1:] * weight[ids]).sum(-1) + bias[ids], relp), ids)
            for ids in (batch.answers.right, batch.answers.wrong)
        )
        return wrong - right
    logits = adapter.capped(adapter.unembed(read.flatten(0, 1)), relp).unflatten(0, read.shape[:2])
    if clean_logits is not None:
        clean_logits = clean_logits.repeat(len(read) // len(clean_logits), 1, 1)
    values = evaluate_metric(metric, logits, batch, clean_logits)
    if not values.requires_grad:  # as after .detach(), .item() or .argmax()
        raise KcError(
            f"metric={named(metric)} gives numbers without a gradient; they have to depend on the "
            "logits through differentiable operations of torch."
        )
    return -values
