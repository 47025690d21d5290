"""Running a circuit: a forward pass in which every reader hears only the kept edges.

A circuit runs on the clean prompts. The input of each reader v is

    (what is in no node) + sum over writers u of [ (u, v) kept ? u's output in this run : r_u ],

where r_u, the replacement, is u's output in the plain corrupted run (``corrupted``, called patching
elsewhere), nothing (``zero``), or u's mean output (``mean``). What is in no node, learned positions
and attention output biases, stays in every ablation. Each head's q, k and v have an input of
their own, which goes through the normalisation on its own. The run itself is in
:mod:`kc_utils.circuit_run`, the replacements are in :mod:`kc_utils.baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.anatomy import Anatomy, anatomy_of, require_eval
from kc_utils.baselines import Baseline, CorruptedRun, FixedOutputs
from kc_utils.circuit_run import CircuitRun
from kc_utils.errors import KcError
from kc_utils.prompt_batch import PairBatch
from kc_utils.written import Written, record

ABLATIONS = ("corrupted", "zero", "mean")


@dataclass(frozen=True)
class References:
    """Plain runs of a batch: logits where they are read, and what the corrupted run wrote.

    Computed once per model and batch, then shared by all circuits that are evaluated there. k = 1,
    the last token, unless the batch has whole answers.
    """

    clean_logits: Float[Tensor, "n k vocab"]
    corrupted_logits: Float[Tensor, "n k vocab"]
    corrupted: Written


@dataclass(frozen=True)
class MeanOutputs:
    """Mean output of each writer over prompts and positions of a reference batch."""

    rows: Float[Tensor, "n_forward d_model"]


def references(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> References:
    """Run the clean and the corrupted prompts of ``batch`` plainly."""
    anatomy = _ready(bridge)
    batch = batch.to(anatomy.device)
    clean, corrupted, written = [], [], []
    width = batch.clean_ids.shape[1]
    with torch.no_grad():
        for start in range(0, len(batch), batch_size):
            block = batch.slice(start, start + batch_size)
            clean.append(anatomy.logits(anatomy.hidden(block.clean_ids), block.read_at))
            hidden, outputs = record(anatomy, block.corrupted_ids, streams=True)
            corrupted.append(anatomy.logits(hidden, block.read_at))
            written.append(outputs.padded(width))
    return References(torch.cat(clean), torch.cat(corrupted), Written.joined(written))


def mean_outputs(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> MeanOutputs:
    """Mean output of each writer over all real positions of all clean prompts of ``batch``.

    Take a batch of other people than the ones that are evaluated, or the same for a stricter test.
    """
    anatomy = _ready(bridge)
    batch = batch.to(anatomy.device)
    total, count = 0.0, 0
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        _, written = record(anatomy, block.clean_ids)
        position = torch.arange(block.clean_ids.shape[1], device=block.last.device)
        real = position <= block.last[:, None]
        outputs = written.outputs(anatomy)
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
    anatomy = _ready(bridge)
    if ablation not in ABLATIONS:
        raise KcError(f"ablation={ablation!r} is not one of {', '.join(ABLATIONS)}.")
    if ablation == "mean" and means is None:
        raise KcError("ablation='mean' needs means, as mean_outputs gives them.")
    if refs is not None and len(refs.clean_logits) != len(batch):
        raise KcError(
            f"The references are of {len(refs.clean_logits)} pairs and the batch has {len(batch)}; "
            "they have to be of the same batch."
        )
    anatomy.graph.check_edges(edges)
    batch = batch.to(anatomy.device)
    rows = means.rows if ablation == "mean" else None
    logits = []
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        if ablation != "corrupted":
            baseline: Baseline = FixedOutputs(anatomy, rows)
        elif refs is None:
            baseline = CorruptedRun(anatomy, record(anatomy, block.corrupted_ids, streams=True)[1])
        else:
            stop, width = start + len(block), block.clean_ids.shape[1]
            baseline = CorruptedRun(anatomy, refs.corrupted.slice(start, stop, width))
        logits.append(CircuitRun(anatomy, edges, baseline).logits(block))
    return torch.cat(logits)


def _ready(bridge: TransformerBridge) -> Anatomy:
    require_eval(bridge)
    return anatomy_of(bridge)
