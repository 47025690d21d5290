"""Exact activation patching of every edge: the oracle that fast methods are compared with.

For each edge (u, v) the clean prompts are run once more, with u's corrupted output in the place of
its clean one in the input of v alone; everything behind v reacts. The score is how much worse the
metric gets, so it has the sign of the attribution scores. One run per edge: for tiny models.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.anatomy import Anatomy, Block
from kc_utils.hooks import Hooks
from kc_utils.metrics import Metric, evaluate_metric
from kc_utils.prompt_batch import PairBatch
from kc_utils.written import record

PROMPTS_AT_ONCE = 512


@torch.no_grad()
def exact_scores(
    anatomy: Anatomy, batch: PairBatch, metric: str | Metric, batch_size: int
) -> Float[Tensor, "n_forward n_backward"]:
    """Mean over pairs of metric(clean) - metric(edge patched); 0 where there is no edge."""
    scores = torch.zeros(
        anatomy.graph.real_edges.shape, dtype=anatomy.score_dtype, device=anatomy.device
    )
    for start in range(0, len(batch), batch_size):
        _Patching(anatomy, batch.slice(start, start + batch_size), metric).add_to(scores)
    return scores / len(batch)


class _Patching:
    """The plain runs of a block of pairs, and the patched ones."""

    def __init__(self, anatomy: Anatomy, batch: PairBatch, metric: str | Metric) -> None:
        self.anatomy, self.batch, self.metric = anatomy, batch, metric
        hidden, clean = record(anatomy, batch.clean_ids, streams=True)
        self.streams = clean.streams
        _, corrupted = record(anatomy, batch.corrupted_ids)
        self.difference = corrupted.minus(clean).outputs(anatomy)
        self.clean_logits = anatomy.logits(hidden, batch.read_at)
        self.clean = evaluate_metric(metric, self.clean_logits, batch, self.clean_logits)

    def add_to(self, scores: Tensor) -> None:
        """Add the sums over pairs of all edges' effects to ``scores``."""
        graph, blocks = self.anatomy.graph, self.anatomy.blocks
        for i, block in enumerate(blocks):
            heard = graph.before_attention(i)
            inputs = block.attention_norm.apply(self.streams[2 * i] + self.difference[:heard])
            weights = block.w_qkv.flatten(0, 1)
            for reader in range(3 * graph.n_heads):
                part, head = divmod(reader, graph.n_heads)
                values = inputs @ weights[reader].T + block.b_qkv[part, head]
                column = graph.attention_columns(i).start + reader
                self._add(scores, column, values, _replace_head(block, part, head))
            heard = graph.before_mlp(i)
            inputs = block.mlp_norm.apply(self.streams[2 * i + 1] + self.difference[:heard])
            self._add(scores, graph.mlp_column(i), inputs, _replace_input(block.mlp))
        inputs = self.streams[-1] + self.difference
        final = _replace_input(self.anatomy.final_norm.module)
        self._add(scores, graph.n_backward - 1, inputs, final)

    def _add(
        self,
        scores: Tensor,
        column: int,
        values: Float[Tensor, "writers batch pos d"],
        replace: Callable[[Hooks, Tensor], None],
    ) -> None:
        """Patch the reader ``column`` with each writer's value, several writers in a run."""
        at_once = max(1, PROMPTS_AT_ONCE // len(self.batch))
        for start in range(0, len(values), at_once):
            some = values[start : start + at_once]
            with Hooks() as hooks:
                replace(hooks, some.flatten(0, 1))
                metric = self._run(len(some))
            scores[start : start + len(some), column] += (self.clean - metric).sum(1)

    def _run(self, times: int) -> Float[Tensor, "times batch"]:
        ids: Int[Tensor, "prompts pos"] = self.batch.clean_ids.repeat(times, 1)
        hidden = self.anatomy.hidden(ids)
        logits = self.anatomy.logits(hidden, self.batch.read_at.repeat(times, 1))
        logits = logits.unflatten(0, (times, -1))
        return torch.stack(
            [evaluate_metric(self.metric, x, self.batch, self.clean_logits) for x in logits]
        )


def _replace_head(block: Block, part: int, head: int) -> Callable[[Hooks, Tensor], None]:
    """Put values [prompts, pos, d_head] in the place of q, k or v of one head."""

    def change(output: Tensor, values: Tensor) -> Tensor:
        if block.layout == "separate":
            heads = output.unflatten(-1, (block.n_heads, -1)).clone()
            heads[..., head, :] = values
            return heads.flatten(-2)
        heads = block.split([output]).clone()
        heads[..., part, head, :] = values
        return block.join(heads)[0]

    def replace(hooks: Hooks, values: Tensor) -> None:
        module = block.qkv[part if block.layout == "separate" else 0]
        hooks.output(module, lambda output: change(output, values))

    return replace


def _replace_input(module: torch.nn.Module) -> Callable[[Hooks, Tensor], None]:
    return lambda hooks, values: hooks.input(module, lambda _: values)
