"""One run forwards and backwards of the plain model, and the gradients it leaves at all readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kc_utils.anatomy import Anatomy
from kc_utils.gradients import Backward
from kc_utils.hooks import Hooks
from kc_utils.prompt_batch import PairBatch
from kc_utils.relp import propagate_relevance

Loss = Callable[[Tensor, PairBatch], Tensor]


@dataclass(frozen=True)
class Leaf:
    """What a run takes as given, and from where gradients are wanted.

    ``value`` takes the place of the token embedding [batch, pos, d_model], of the heads' z of
    ``layer`` [batch, pos, n_heads * d_head], or of the output of its MLP [batch, pos, d_model].
    """

    value: Tensor
    kind: str = "embed"
    layer: int = 0


def run_backward(
    anatomy: Anatomy, batch: PairBatch, leaf: Leaf, loss: Loss, relevance: bool = False
) -> Backward:
    """Gradients of the summed loss of the clean prompts of ``batch``, run with ``leaf``.

    ``loss`` maps the final hidden states that are read, [batch, k, d_model], to a number per pair.
    ``relevance``: propagate relevance
    (:mod:`kc_utils.relp`) in the place of gradients. Parameters must not take gradients.
    """
    blocks = anatomy.blocks
    given = leaf.value.detach().requires_grad_(True)
    qkv: list[list[Tensor]] = [[] for _ in blocks]
    attention_in: list[Tensor] = []
    mlp_in: list[Tensor] = []
    mlp: list[Tensor] = []
    final: list[Tensor] = []
    with Hooks() as hooks:
        if leaf.kind == "embed":
            hooks.output(anatomy.embed, lambda _: given)
        elif leaf.kind == "heads":
            hooks.input(blocks[leaf.layer].o, lambda _: given)
        else:
            hooks.output(blocks[leaf.layer].mlp, lambda _: given)
        for block, outputs in zip(blocks, qkv, strict=True):
            hooks.input(block.attention_norm.module, _note(attention_in))
            if not block.shares_norm:
                hooks.input(block.mlp_norm.module, _note(mlp_in))
            for module in block.qkv:
                hooks.output(module, _track(outputs))
            hooks.input(block.mlp, _track(mlp))
        hooks.input(anatomy.final_norm.module, _note(final))
        if relevance:
            propagate_relevance(anatomy, hooks)
        at = batch.read_at
        hidden = anatomy.hidden(batch.clean_ids, at)
        rows = torch.arange(len(batch), device=hidden.device)[:, None]
        read = hidden[rows, at]
        total = loss(read, batch).sum()
    wanted = [x for outputs in qkv for x in outputs] + mlp + [read]
    taking = [x for x in wanted if x.requires_grad]
    grads = torch.autograd.grad(total, taking, allow_unused=True)
    found = {id(x): g for x, g in zip(taking, grads, strict=True)}
    return Backward(
        qkv=[[x.detach() for x in outputs] for outputs in qkv],
        qkv_grads=[_all_grads(outputs, found) for outputs in qkv],
        attention_in=attention_in,
        mlp_in=mlp_in or attention_in,
        mlp_grads=[found.get(id(x)) for x in mlp],
        final_in=final[0][rows, at],
        final_grad=found[id(read)],
        read=(rows * hidden.shape[1] + at).flatten(),
    )


def _all_grads(outputs: list[Tensor], found: dict[int, Tensor | None]) -> list[Tensor] | None:
    """Gradients at a block's q, k, v; zeros where there is none; None if there is none at all."""
    grads = [found.get(id(x)) for x in outputs]
    if all(g is None for g in grads):
        return None
    return [torch.zeros_like(x) if g is None else g for x, g in zip(outputs, grads, strict=True)]


def _note(store: list[Tensor]) -> Callable[[Tensor], None]:
    return lambda x: store.append(x.detach())


def _track(store: list[Tensor]) -> Callable[[Tensor], Float[Tensor, "*shape"]]:
    def track(x: Tensor) -> Tensor:
        store.append(x.view_as(x))  # a node of its own: in Phi one tensor feeds attention and MLP
        return store[-1]

    return track
