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
    bridge: TransformerBridge, batch: PairBatch, share: float, loss: Any = minus_logit_diff
) -> Tensor:
    """d loss / d M at 0, where M[u, v] adds M[u, v] * (corrupted_u - clean_u) to the input of v.

    One pair at a time, unpadded, in TransformerLens' own per-head forks of the residual stream,
    whose flags stay set on ``bridge``.
    """
    graph = graph_of(bridge)
    bridge.set_use_attn_result(True)
    total = torch.zeros(graph.n_forward, graph.n_backward, dtype=torch.float64)
    for i in range(len(batch)):
        pair = batch.slice(i, i + 1)
        bridge.set_use_split_qkv_input(False)
        bridge.set_use_hook_mlp_in(False)
        clean, corrupted = (outputs(bridge, graph, x) for x in (pair.clean_ids, pair.corrupted_ids))
        difference = corrupted - clean
        mask = torch.zeros_like(total, requires_grad=True)
        bridge.set_use_split_qkv_input(True)
        bridge.set_use_hook_mlp_in(True)
        embed = corrupted[0] + share * (clean[0] - corrupted[0])
        hooks = [("embed.hook_out", lambda x, hook, embed=embed: embed)]
        hooks += masked(bridge, graph, mask, difference)
        with bridge.hooks(fwd_hooks=hooks):
            logits = bridge(pair.clean_ids, use_cache=False)[0]
        bridge.set_use_split_qkv_input(False)
        bridge.set_use_hook_mlp_in(False)
        plain = bridge(pair.clean_ids, use_cache=False)[0].detach()
        total += torch.autograd.grad(loss(logits, plain, pair), mask)[0]
    return total / len(batch) * torch.from_numpy(graph.real_edges.copy())


def outputs(bridge: TransformerBridge, graph: Graph, ids: Tensor) -> Tensor:
    _, cache = bridge.run_with_cache(ids, use_cache=False)
    rows = [cache["embed.hook_out"]]
    for layer in range(graph.n_layers):
        rows += list(cache[f"blocks.{layer}.attn.hook_result"].unbind(2))
        rows.append(cache[f"blocks.{layer}.mlp.hook_out"])
    return torch.stack(rows).detach()


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
        block, read = bridge.blocks[layer], add(slice(column, None), False)
        if hasattr(block, "ln2"):
            hooks.append((f"blocks.{layer}.hook_mlp_in", read))
        else:  # Phi: one normalisation for attention and MLP, so there is no such hook
            hooks += shared_norm(layer, block.ln1.original_component, read)
    return [*hooks, ("ln_final.hook_in", add(slice(graph.n_backward - 1, None), False))]


def shared_norm(layer: int, norm: torch.nn.Module, read: Any) -> list[tuple[str, Any]]:
    seen = {}

    def keep(x: Tensor, hook: Any) -> None:
        seen["residual"] = x

    def replace_input(x: Tensor, hook: Any) -> Tensor:
        return norm(read(seen["residual"], hook))

    name = f"blocks.{layer}"
    return [(f"{name}.hook_in", keep), (f"{name}.mlp.hook_in", replace_input)]
