"""Train some heads and MLPs and leave the others exactly as they are.

Heads of a layer share weight matrices, so a head is frozen as slices: their gradients are set to
zero before gradients are clipped, and their weights are put back after every optimiser step,
because AdamW moves weights without a gradient too (weight decay, and what is left of momentum). A
matrix that is frozen as a whole takes no gradient at all, which also saves its computation.

Embeddings, normalisations and the bias behind the heads' output, which belongs to no head, are
trained in any case.

Which parts of a model does its circuit use most?

A part is an attention head or an MLP, one row of the graph. The masks are boolean [n_forward]; the
row of ``input`` is never among the parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback
from transformers.pytorch_utils import Conv1D

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.block import Block
from kc_utils.circuits.graph import Graph


def trained_masks(
    model: PreTrainedModel, adapter: Adapter, trained: Bool[np.ndarray, " n_forward"]
) -> dict[str, Bool[Tensor, "*shape"]]:
    """True where a parameter is trained; only parameters of heads and MLPs are named.

    Args:
        model: the model that is trained.
        adapter: the parts of its bridge, whose modules have the same names.
        trained: which writers are trained (:mod:`kc_utils.study.experiments.strategies.freezing`).

    Grouped key/value heads are trained where any of their query heads is.
    """
    names = {id(module): name for name, module in adapter.model.named_modules()}
    masks: dict[str, Tensor] = {}
    for layer, block in enumerate(adapter.blocks):
        heads = torch.from_numpy(trained[adapter.graph.heads(layer)])
        width = block.w_qkv.shape[2]
        for module, keep in zip(block.qkv, _qkv_rows(block, heads), strict=True):
            own = model.get_submodule(names[id(module)])
            outputs = own.weight.shape[1 if isinstance(own, Conv1D) else 0]
            rows = keep.view(outputs // width, -1, width).any(1).flatten()
            masks[f"{names[id(module)]}.weight"] = _along(own, rows, outputs=True)
            if own.bias is not None:
                masks[f"{names[id(module)]}.bias"] = rows
        columns = heads.repeat_interleave(block.w_o.shape[1])
        masks[f"{names[id(block.o)]}.weight"] = _along(block.o, columns, outputs=False)
        keep_mlp = bool(trained[adapter.graph.mlp(layer)])
        for name, parameter in block.mlp.named_parameters(prefix=names[id(block.mlp)]):
            masks[name] = torch.full(parameter.shape, keep_mlp)
    return masks


def _qkv_rows(block: Block, heads: Bool[Tensor, " n_heads"]) -> list[Bool[Tensor, " rows"]]:
    """Which outputs of each of the block's q, k, v projections belong to the given heads."""
    width = block.w_qkv.shape[2]
    kept = heads.float()[None, None, None, :, None].expand(1, 1, 3, len(heads), width)
    return [rows[0, 0] > 0.5 for rows in block.join(kept)]


def _along(
    module: nn.Module, keep: Bool[Tensor, " features"], *, outputs: bool
) -> Bool[Tensor, "rows columns"]:
    """``keep`` over a linear layer's outputs or inputs, in the shape of its weight."""
    first = isinstance(module, Conv1D) != outputs  # Conv1D stores [inputs, outputs]
    wide = keep[:, None] if first else keep[None, :]
    return wide.expand(module.weight.shape).clone()


class Freezer(TrainerCallback):
    """Holds the untrained slices of a model in place from :meth:`freeze` on."""

    def __init__(self) -> None:
        self._kept: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        self._hooks: list[Any] = []
        self._whole: list[nn.Parameter] = []

    def freeze(self, model: PreTrainedModel, masks: dict[str, Bool[Tensor, "*shape"]]) -> int:
        """Freeze where a mask is False; returns the number of parameters that stay trained."""
        parameters = dict(model.named_parameters())
        for name, mask in masks.items():
            parameter, keep = parameters[name], mask.to(parameters[name].device)
            if not mask.any():
                parameter.requires_grad_(False)
                parameter.grad = None
                self._whole.append(parameter)
            elif not mask.all():
                self._hooks.append(parameter.register_hook(lambda g, keep=keep: g * keep))
                self._kept.append((parameter, keep, parameter.detach().clone()))
        frozen = sum(int((~mask).sum()) for mask in masks.values())
        return sum(p.numel() for p in parameters.values()) - frozen

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put the frozen slices back."""
        with torch.no_grad():
            for parameter, keep, start in self._kept:
                parameter.copy_(torch.where(keep, parameter, start))

    def release(self) -> None:
        """Let everything be trained again."""
        for hook in self._hooks:
            hook.remove()
        for parameter in self._whole:
            parameter.requires_grad_(True)
        self._kept, self._hooks, self._whole = [], [], []


KINDS = ("head", "mlp")


def part_importance(
    scores: Float[Tensor, "n_forward n_backward"], graph: Graph
) -> Float[np.ndarray, " n_forward"]:
    """Sum of |score| over all edges that leave or enter each writer's node."""
    strength = np.where(graph.real_edges, np.abs(scores.double().numpy()), 0.0)
    importance = strength.sum(axis=1)
    entering = graph.column_row >= 0
    np.add.at(importance, graph.column_row[entering], strength.sum(axis=0)[entering])
    return importance


def circuit_parts(
    importance: Float[np.ndarray, " n_forward"], graph: Graph, share: float
) -> Bool[np.ndarray, " n_forward"]:
    """The most important ``share`` of the heads, and of the MLPs, at least one of each.

    Heads and MLPs are ranked apart: an MLP has many times the parameters of a head, and only equal
    numbers of both make another choice of parts comparable.
    """
    chosen = np.zeros(graph.n_forward, dtype=bool)
    for kind in KINDS:
        rows = _rows(graph, kind)
        order = rows[np.argsort(-importance[rows], kind="stable")]
        chosen[order[: max(1, round(share * len(rows)))]] = True
    return chosen


def random_parts(
    chosen: Bool[np.ndarray, " n_forward"], graph: Graph, rng: np.random.Generator
) -> Bool[np.ndarray, " n_forward"]:
    """As many heads and as many MLPs as ``chosen`` has, drawn at random."""
    drawn = np.zeros(graph.n_forward, dtype=bool)
    for kind in KINDS:
        rows = _rows(graph, kind)
        drawn[rng.permutation(rows)[: int(chosen[rows].sum())]] = True
    return drawn


def _rows(graph: Graph, kind: str) -> np.ndarray:
    return np.flatnonzero(np.array(graph.row_kind) == kind)
