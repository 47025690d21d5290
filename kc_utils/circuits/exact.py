"""Exact activation patching of every edge: the oracle that fast methods are compared with.

For each edge (u, v) the clean prompts are run once more, with u's corrupted output instead of
its clean one in the input of v alone; everything behind v reacts. The score is how much worse the
metric gets, so it has the sign of the attribution scores. One run per edge: for tiny models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.batch_sizes import changes_per_run, pairs_per_patching
from kc_utils.circuits.block import Block
from kc_utils.circuits.metrics import Metric, evaluate_metric
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.written import record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

PROMPTS_AT_ONCE = 512


@torch.no_grad()
def exact_scores(
    adapter: Adapter,
    batch: PairBatch,
    metric: str | Metric,
    batch_size: int,
    readers: Sequence[int] | None = None,
    max_bytes: int = 2**31,
) -> Float[Tensor, "n_forward n_backward"]:
    """Mean over pairs of metric(clean) - metric(edge patched); 0 where there is no edge.

    Args:
        adapter: of the model.
        batch: the pairs.
        metric: one of :data:`kc_utils.circuits.metrics.METRICS`, or a function.
        batch_size: most pairs in a run.
        readers: columns of the graph whose edges are patched (None: all); the others stay 0.
        max_bytes: most memory to use beside the model (an estimate).

    Raises:
        KcError: less memory than one pair needs; otherwise as
            :func:`kc_utils.circuits.metrics.evaluate_metric`.
    """
    scores = torch.zeros(
        adapter.graph.real_edges.shape, dtype=adapter.score_dtype, device=adapter.device
    )
    size = pairs_per_patching(adapter, batch, max_bytes, batch_size)
    for start in range(0, len(batch), size):
        scores += exact_sums(adapter, batch.slice(start, start + size), metric, max_bytes, readers)
    return scores / len(batch)


@torch.no_grad()
def exact_sums(
    adapter: Adapter,
    batch: PairBatch,
    metric: str | Metric,
    max_bytes: int,
    readers: Sequence[int] | None = None,
    progress: bool = False,
) -> Float[Tensor, "n_forward n_backward"]:
    """The sum over pairs instead of the mean, of pairs that fit into memory together.

    Arguments are those of :func:`exact_scores`; ``progress`` shows a bar over readers on stderr.
    """
    sums = torch.zeros(
        adapter.graph.real_edges.shape, dtype=adapter.score_dtype, device=adapter.device
    )
    patching = _Patching(adapter, batch, metric, max_bytes)
    columns = range(adapter.graph.n_backward) if readers is None else readers
    for column in tqdm(columns, "patching", unit="reader", leave=False, disable=not progress):
        n_writers = int(adapter.graph.real_edges[:, column].sum())
        effects = patching.effects(column, patching.difference[:n_writers])
        sums[:n_writers, column] += effects.sum(1)
    return sums


@torch.no_grad()
def edge_response(
    adapter: Adapter,
    batch: PairBatch,
    edge: tuple[int, int],
    shares: Float[Tensor, " share"],
    metric: str | Metric = "logit_diff",
) -> Float[Tensor, " share"]:
    """Mean effect when the edge (row, column) carries a share of its writer's change.

    Share 0 is the clean run, share 1 the exact patch.

    Args:
        adapter: of the model.
        batch: the pairs.
        edge: row and column of the graph.
        shares: of the writer's change.
        metric: one of :data:`kc_utils.circuits.metrics.METRICS`, or a function.

    Raises:
        KcError: there is no such edge; otherwise as
            :func:`kc_utils.circuits.metrics.evaluate_metric`.
    """
    names = adapter.graph
    if not names.real_edges[edge]:
        writer, reader = names.rows[edge[0]], names.columns[edge[1]]
        raise KcError(f"{writer}->{reader} is not a possible edge: the reader comes first.")
    patching = _Patching(adapter, batch, metric)
    change = shares.to(patching.difference)[:, None, None, None] * patching.difference[edge[0]]
    return patching.effects(edge[1], change).mean(1)


class _Patching:
    """The plain runs of a block of pairs, and the patched ones."""

    def __init__(
        self, adapter: Adapter, batch: PairBatch, metric: str | Metric, max_bytes: int = 2**31
    ) -> None:
        self.adapter, self.batch, self.metric = adapter, batch, metric
        self.at_once = changes_per_run(adapter, batch, max_bytes, PROMPTS_AT_ONCE)
        hidden, clean = record(adapter, batch.clean_ids, streams=True)
        self.streams = clean.streams
        _, corrupted = record(adapter, batch.corrupted_ids)
        self.difference = corrupted.minus(clean).outputs(adapter)
        self.clean_logits = adapter.logits(hidden, batch.read_at)
        self.clean = evaluate_metric(metric, self.clean_logits, batch, self.clean_logits)

    def effects(
        self, column: int, changes: Float[Tensor, "changes batch pos d_model"]
    ) -> Float[Tensor, "changes batch"]:
        """metric(clean) - metric where the reader ``column`` alone reads a changed stream.

        One run per change, several of them at once.
        """
        found = []
        for some in changes.split(self.at_once):
            with Hooks() as hooks:
                self._replace(hooks, column, some)
                found.append(self.clean - self._run(len(some)))
        return torch.cat(found)

    def _replace(self, hooks: Hooks, column: int, changes: Tensor) -> None:
        graph, blocks = self.adapter.graph, self.adapter.blocks
        layer = int(graph.column_layer[column])
        if layer == graph.n_layers:
            values = self.streams[-1] + changes
            _replace_input(self.adapter.final_norm.module)(hooks, values.flatten(0, 1))
            return
        block, first = blocks[layer], graph.attention_columns(layer).start
        if column == graph.mlp_column(layer):
            values = block.mlp_norm.apply(self.streams[2 * layer + 1] + changes)
            _replace_input(block.mlp)(hooks, values.flatten(0, 1))
            return
        part, head = divmod(column - first, graph.n_heads)
        values = block.attention_norm.apply(self.streams[2 * layer] + changes)
        values = values @ block.w_qkv[part, head].T + block.b_qkv[part, head]
        _replace_head(block, part, head)(hooks, values.flatten(0, 1))

    def _run(self, times: int) -> Float[Tensor, "times batch"]:
        ids: Int[Tensor, "prompts pos"] = self.batch.clean_ids.repeat(times, 1)
        hidden = self.adapter.hidden(ids)
        logits = self.adapter.logits(hidden, self.batch.read_at.repeat(times, 1))
        logits = logits.unflatten(0, (times, -1))
        return torch.stack(
            [evaluate_metric(self.metric, x, self.batch, self.clean_logits) for x in logits]
        )


def _replace_head(block: Block, part: int, head: int) -> Callable[[Hooks, Tensor], None]:
    """Put values [prompts, pos, d_head] in place of q, k or v of one head."""

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
