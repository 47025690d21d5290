"""Running a circuit: a forward pass in which every reader reads from the kept edges only.

A circuit runs on the clean prompts. The input of each reader v is

    (what is in no node) + sum over writers u of [ (u, v) kept ? u's output in this run : r_u ],

where r_u, the replacement, is u's output in the plain corrupted run (``corrupted``, called patching
elsewhere), nothing (``zero``), or u's mean output (``mean``). What is in no node, learned positions
and attention output biases, stays in every ablation. Each head's q, k and v have an input of
their own, which goes through the normalisation on its own. The run itself is in
:mod:`kc_utils.circuits.forward`, the replacements are in :mod:`kc_utils.circuits.ablation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.ablation import Baseline, CorruptedRun, FixedOutputs, Stacked
from kc_utils.circuits.adapter import Adapter, adapter_of, require_eval
from kc_utils.circuits.forward import CircuitRun
from kc_utils.circuits.metrics import AnswerScores, answer_scores
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.written import Written, record
from kc_utils.errors import KcError

ABLATIONS = ("corrupted", "zero", "mean")
SHARED_BYTES = 2**26  # what the writers of a run put out, if ablations share it


@dataclass(frozen=True)
class References:
    """Plain runs of a batch: logits where they are read, and what the corrupted run wrote.

    Computed once per model and batch, then shared by all circuits that are evaluated there. k = 1,
    the last token, unless the batch has whole answers.
    """

    clean_logits: Float[Tensor, "n k vocab"]
    corrupted_logits: Float[Tensor, "n k vocab"]
    written: Written
    right_ids: Int[Tensor, " n"]
    wrong_ids: Int[Tensor, " n"]

    def of_answers(self, batch: PairBatch) -> References:
        """These, or the same runs with the answers of ``batch`` if it has others."""
        own, others = (self.right_ids, self.wrong_ids), (batch.right_ids, batch.wrong_ids)
        if all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(own, others, strict=True)):
            return self
        return replace(self, right_ids=batch.right_ids, wrong_ids=batch.wrong_ids)

    @cached_property
    def clean(self) -> AnswerScores:
        """Logit difference and rank per pair of the clean run."""
        return answer_scores(self.clean_logits[:, -1], self.right_ids, self.wrong_ids)

    @cached_property
    def corrupted(self) -> AnswerScores:
        """The same of the corrupted run."""
        return answer_scores(self.corrupted_logits[:, -1], self.right_ids, self.wrong_ids)


@dataclass(frozen=True)
class MeanOutputs:
    """Mean output of each writer over prompts and positions of a reference batch."""

    rows: Float[Tensor, "n_forward d_model"]


def references(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> References:
    """Run the clean and the corrupted prompts of ``batch`` plainly."""
    adapter = _ready(bridge)
    batch = batch.to(adapter.device)
    clean, corrupted, written = [], [], []
    width = batch.clean_ids.shape[1]
    with torch.no_grad():
        for start in range(0, len(batch), batch_size):
            block = batch.slice(start, start + batch_size)
            clean.append(
                adapter.logits(adapter.hidden(block.clean_ids, block.read_at), block.read_at)
            )
            hidden, outputs = record(adapter, block.corrupted_ids, True, block.read_at)
            corrupted.append(adapter.logits(hidden, block.read_at))
            written.append(outputs.padded(width))
    return References(
        torch.cat(clean), torch.cat(corrupted), Written.joined(written),
        batch.right_ids, batch.wrong_ids,
    )  # fmt: skip


def mean_outputs(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> MeanOutputs:
    """Mean output of each writer over all real positions of all clean prompts of ``batch``.

    Take a batch of other people than the ones that are evaluated, or the same for a stricter test.
    """
    adapter = _ready(bridge)
    batch = batch.to(adapter.device)
    total, count = 0.0, 0
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        _, written = record(adapter, block.clean_ids)
        position = torch.arange(block.clean_ids.shape[1], device=block.last.device)
        real = position <= block.last[:, None]
        outputs = written.outputs(adapter)
        total = total + torch.einsum("ubpd,bp->ud", outputs, real.to(outputs.dtype))
        count += int(real.sum())
    return MeanOutputs(total / count)


def run_circuit(
    bridge: TransformerBridge,
    batch: PairBatch,
    edges: Bool[np.ndarray, "n_forward n_backward"],
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> Float[Tensor, "n k vocab"]:
    """Logits of the circuit of kept ``edges`` on the clean prompts, where they are read.

    k = 1, the last token, unless the batch has whole answers. ``means`` is needed for ``mean``
    only. ``refs`` (of the same batch) saves the corrupted run.
    """
    return run_ablations(bridge, batch, edges, (ablation,), means, batch_size, refs)[ablation]


def run_ablations(
    bridge: TransformerBridge,
    batch: PairBatch,
    edges: Bool[np.ndarray, "n_forward n_backward"],
    ablations: Sequence[str] = ABLATIONS,
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> dict[str, Float[Tensor, "n k vocab"]]:
    """:func:`run_circuit` under several ablations, which share their runs as far as these stay
    small: a small model takes longer to be called than to compute."""
    adapter = _ready(bridge)
    for ablation in ablations:
        if ablation not in ABLATIONS:
            raise KcError(f"ablation={ablation!r} is not one of {', '.join(ABLATIONS)}.")
    if "mean" in ablations and means is None:
        raise KcError("ablation='mean' needs means, as mean_outputs gives them.")
    if refs is not None and len(refs.clean_logits) != len(batch):
        raise KcError(
            f"The references are of {len(refs.clean_logits)} pairs and the batch has {len(batch)}; "
            "they have to be of the same batch."
        )
    adapter.graph.check_edges(edges)
    batch = batch.to(adapter.device)
    logits: dict[str, list[Tensor]] = {ablation: [] for ablation in ablations}
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        corrupted = None if refs is None else refs.written.slice(start, start + batch_size)
        for some in _shared(adapter, block, ablations):
            parts = [_baseline(adapter, block, ablation, means, corrupted) for ablation in some]
            baseline = parts[0] if len(parts) == 1 else Stacked(parts)
            found = CircuitRun(adapter, edges, baseline).logits(block.repeated(len(some)))
            for ablation, values in zip(some, found.chunk(len(some)), strict=True):
                logits[ablation].append(values)
    return {ablation: torch.cat(values) for ablation, values in logits.items()}


def _shared(adapter: Adapter, block: PairBatch, ablations: Sequence[str]) -> list[Sequence[str]]:
    """Groups of ablations that share a run."""
    rows = adapter.graph.n_forward * block.clean_ids.numel()
    bytes_each = rows * adapter.model.config.hidden_size * adapter.dtype.itemsize
    together = max(1, SHARED_BYTES // bytes_each)
    return [ablations[i : i + together] for i in range(0, len(ablations), together)]


def _baseline(
    adapter: Adapter,
    block: PairBatch,
    ablation: str,
    means: MeanOutputs | None,
    corrupted: Written | None,
) -> Baseline:
    if ablation != "corrupted":
        rows = means.rows if means is not None and ablation == "mean" else None
        return FixedOutputs(adapter, rows)
    if corrupted is None:
        written = record(adapter, block.corrupted_ids, True, block.read_at)[1]
        return CorruptedRun(adapter, written)
    return CorruptedRun(adapter, corrupted.slice(0, len(block), block.clean_ids.shape[1]))


def _ready(bridge: TransformerBridge) -> Adapter:
    require_eval(bridge)
    return adapter_of(bridge)
