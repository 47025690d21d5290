"""Edge scores by another way: the gradient of an explicit edge mask in TransformerLens' forks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import Graph, PairBatch, graph_of


def error(ours: Tensor, golden: Any) -> float:
    """Largest difference, relative to the largest golden score."""
    golden = torch.as_tensor(golden)
    return float((ours.double() - golden.double()).abs().max() / golden.abs().max())


def minus_logit_diff(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
    """Loss of one unpadded pair, from logits [pos, vocab]."""
    return logits[-1, pair.wrong_ids[0]] - logits[-1, pair.right_ids[0]]


def mask_gradient(
    bridge: TransformerBridge,
    batch: PairBatch,
    share: float,
    loss: Any = minus_logit_diff,
    point: str = "embed.hook_out",
) -> Tensor:
    """d loss / d M at 0, where M[u, v] adds M[u, v] * (corrupted_u - clean_u) to the input of v.

    The run is clean but for ``point``, which is at ``share`` of the way from the corrupted to the
    clean run. One pair at a time, unpadded, in TransformerLens' own per-head forks of the residual
    stream, whose flags stay set on ``bridge``.
    """
    graph = graph_of(bridge)
    bridge.set_use_attn_result(True)
    total = torch.zeros(graph.n_forward, graph.n_backward, dtype=torch.float64)
    for i in range(len(batch)):
        pair = batch.slice(i, i + 1)
        bridge.set_use_split_qkv_input(False)
        bridge.set_use_hook_mlp_in(False)
        clean, corrupted = (outputs(bridge, graph, x) for x in (pair.clean_ids, pair.corrupted_ids))
        ends = [
            bridge.run_with_cache(x, use_cache=False)[1][point].detach()
            for x in (pair.clean_ids, pair.corrupted_ids)
        ]
        given = share * ends[0] + (1 - share) * ends[1]
        difference = corrupted - clean
        mask = torch.zeros_like(total, requires_grad=True)
        bridge.set_use_split_qkv_input(True)
        bridge.set_use_hook_mlp_in(True)
        hooks = [(point, lambda x, hook, given=given: given)]
        hooks += masked(bridge, graph, mask, difference)
        with bridge.hooks(fwd_hooks=hooks):
            logits = bridge(pair.clean_ids, use_cache=False)[0]
        bridge.set_use_split_qkv_input(False)
        bridge.set_use_hook_mlp_in(False)
        plain = bridge(pair.clean_ids, use_cache=False)[0].detach()
        total += torch.autograd.grad(loss(logits, plain, pair), mask)[0]
    return total / len(batch) * torch.from_numpy(graph.real_edges.copy())


def outputs(bridge: TransformerBridge, graph: Graph, ids: Tensor) -> Tensor:
    """What every writer writes [n_forward, batch, pos, d_model], with ``use_attn_result`` set."""
    _, cache = bridge.run_with_cache(ids, use_cache=False)
    rows = [cache["embed.hook_out"]]
    for layer in range(graph.n_layers):
        heads, name = cache[f"blocks.{layer}.attn.hook_result"], f"blocks.{layer}.ln1_post"
        if hasattr(bridge.blocks[layer], "ln1_post"):
            # The block multiplies each number by what it divides and weights it with.
            factor = cache[f"{name}.hook_out"] / cache[f"{name}.hook_in"]
            heads = heads * factor[:, :, None]
        rows += list(heads.unbind(2))
        rows.append(cache[mlp_out(bridge, layer)])
    return torch.stack(rows).detach()


def mlp_out(bridge: TransformerBridge, layer: int) -> str:
    """Where the stream gets what the MLP writes."""
    behind = hasattr(bridge.blocks[layer], "ln2_post")
    return f"blocks.{layer}.{'ln2_post' if behind else 'mlp'}.hook_out"


def circuit_by_hooks(
    bridge: TransformerBridge, ids: Tensor, edges: Tensor, replaced: Tensor
) -> Tensor:
    """Last logits of a run in which reader v reads ``replaced[u]`` in place of what u writes,
    for every edge (u, v) that is not in ``edges``; ids [1, pos], rows [n_forward, 1, pos, d].
    """
    graph = graph_of(bridge)
    missing = torch.from_numpy(graph.real_edges.copy()) & ~edges
    rows, total = torch.zeros_like(replaced), {}

    def write(row: int) -> Any:
        def keep(x: Tensor, hook: Any) -> None:
            rows[row] = x

        return keep

    def write_heads(layer: int) -> Any:
        def keep(x: Tensor, hook: Any) -> None:
            rows[graph.heads(layer)] = x.movedim(2, 0)

        return keep

    def pass_norm(layer: int) -> Any:
        def divide(x: Tensor, hook: Any) -> None:
            rows[graph.heads(layer)] *= x / total[layer]

        return divide

    def read(columns: slice, heads: bool) -> Any:
        def change(x: Tensor, hook: Any) -> Tensor:
            moved = missing[:, columns].to(rows).T @ (replaced - rows).flatten(1)
            moved = moved.unflatten(1, rows.shape[1:])
            return x + (moved.movedim(0, 2) if heads else moved[0])

        return change

    hooks = [("embed.hook_out", write(0))]
    for layer, block in enumerate(bridge.blocks):
        name, start = f"blocks.{layer}", graph.attention_columns(layer).start
        for i, x in enumerate("qkv"):
            columns = slice(start + i * graph.n_heads, start + (i + 1) * graph.n_heads)
            hooks.append((f"{name}.attn.hook_{x}_input", read(columns, True)))
        hooks.append((f"{name}.attn.hook_result", write_heads(layer)))
        if hasattr(block, "ln1_post"):

            def note(x: Tensor, hook: Any, layer: int = layer) -> None:
                total[layer] = x

            hooks += [(f"{name}.ln1_post.hook_in", note)]
            hooks += [(f"{name}.ln1_post.hook_out", pass_norm(layer))]
        column = graph.mlp_column(layer)
        hooks += mlp_reads(bridge, layer, read(slice(column, column + 1), False))
        hooks.append((mlp_out(bridge, layer), write(graph.mlp(layer))))
    hooks.append(("ln_final.hook_in", read(slice(graph.n_backward - 1, None), False)))
    for use in (bridge.set_use_attn_result, bridge.set_use_split_qkv_input):
        use(True)
    bridge.set_use_hook_mlp_in(True)
    with torch.no_grad(), bridge.hooks(fwd_hooks=hooks):
        return bridge(ids, use_cache=False)[0, -1]


def masked(
    bridge: TransformerBridge, graph: Graph, mask: Tensor, difference: Tensor
) -> list[tuple[str, Any]]:
    real = mask * torch.from_numpy(graph.real_edges.copy())
    added = torch.einsum("uv,ubpd->bpvd", real, difference)

    def add(columns: slice, heads: bool) -> Any:
        def hook_function(x: Tensor, hook: Any) -> Tensor:
            return x + (added[:, :, columns] if heads else added[:, :, columns.start])

        return hook_function

    hooks = []
    for layer in range(graph.n_layers):
        start = graph.attention_columns(layer).start
        for i, x in enumerate("qkv"):
            columns = slice(start + i * graph.n_heads, start + (i + 1) * graph.n_heads)
            hooks.append((f"blocks.{layer}.attn.hook_{x}_input", add(columns, True)))
        column = graph.mlp_column(layer)
        hooks += mlp_reads(bridge, layer, add(slice(column, None), False))
    return [*hooks, ("ln_final.hook_in", add(slice(graph.n_backward - 1, None), False))]


def mlp_reads(bridge: TransformerBridge, layer: int, read: Any) -> list[tuple[str, Any]]:
    """Hooks that let the MLP read what ``read`` makes of the stream."""
    block = bridge.blocks[layer]
    if hasattr(block, "ln1") and not hasattr(block, "ln2"):
        # Phi: one normalisation for attention and MLP, so there is no such hook
        return shared_norm(layer, block.ln1.original_component, read)
    return [(f"blocks.{layer}.hook_mlp_in", read)]


def shared_norm(layer: int, norm: torch.nn.Module, read: Any) -> list[tuple[str, Any]]:
    seen = {}

    def keep(x: Tensor, hook: Any) -> None:
        seen["residual"] = x

    def replace_input(x: Tensor, hook: Any) -> Tensor:
        return norm(read(seen["residual"], hook))

    name = f"blocks.{layer}"
    return [(f"{name}.hook_in", keep), (f"{name}.mlp.hook_in", replace_input)]
