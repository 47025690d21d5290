"""Gradients at the inputs of all readers, in the factored form that makes attribution cheap.

One run forwards and backwards of the plain model (:func:`run_backward`) leaves gradients at the
outputs of all projections. All heads of a layer read the same residual x through the same
normalisation y = w x^ + bias, with x^ = c(x) / s, c the centring (or nothing) and s the scale. With
g the gradient at a head's q (or k, v) and W its projection, the gradient at that head's input is

    [ c(w W'g) - x^ mean(x^ . w W'g) ] / s.

The first term is linear in g / s, which is summed over steps in head space. In the second, the mean
is (g . u) / d_model with u = W (w x^), which is the head's own q without its constant, so a step
leaves one number per token and head, and x^. Against a writer's difference D the score is then

    sum over tokens  [ c(D) . w W' sum_k (g / s)_k  -  sum_k (D . x^_k) (g . u / s d_model)_k ],

one matrix product per layer for the first term, and a small one for the second. Per-head copies of
the residual stream are never made. Readers without a normalisation in front have the first term
only, with s = 1. What stands behind the projections (norms of q and k, caps, windows) and behind a
block is in the gradients g already, which autograd computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.block import Block, zero_input
from kc_utils.circuits.norms import Norm
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.relp import apply_relp_rules
from kc_utils.kernels.hooks import Hooks


@dataclass
class Readers:
    """Gradients at one group of readers behind one normalisation, summed over steps.

    ``scaled``: sum over steps of g / s, [tokens, readers, d]; d is the width of a head, or d_model
    for the one reader that takes the normalisation's output itself.
    ``shares`` and ``normalised``: of each step, the factor of the rank-one part [tokens, readers]
    and x^ [tokens, d_model]. ``constant_scale``: the normalisation's scale is a constant (by the LN
    rule of RelP, or because there is no normalisation), which leaves only the first term.
    """

    norm: Norm
    constant_scale: bool = False
    scaled: Tensor | None = None

    def __post_init__(self) -> None:
        self.constant_scale = self.constant_scale or self.norm.linear
        self.shares: list[Tensor] = []
        self.normalised: list[Tensor] = []

    def add(
        self,
        x: Float[Tensor, "tokens d_model"],
        grad: Float[Tensor, "tokens readers d"],
        projected: Float[Tensor, "tokens readers d"] | None,
        steps: int,
    ) -> None:
        """Add steps, one behind another: residual ``x``, gradient ``grad`` and W (w x^) at the
        readers.

        ``projected`` is None for a reader that takes the normalisation's output itself.
        """
        normalised, scale = self.norm.normalise(x)
        scaled = grad / scale[..., None]
        if not self.constant_scale:
            if projected is None:
                projected = self.norm.fold(normalised)[:, None]
            self.shares += ((scaled * projected).sum(-1) / x.shape[-1]).chunk(steps)
            self.normalised += normalised.chunk(steps)
        scaled = scaled if steps == 1 else scaled.unflatten(0, (steps, -1)).sum(0)
        self.scaled = scaled if self.scaled is None else self.scaled.add_(scaled)

    def score(
        self,
        written: Float[Tensor, "writers tokens d_model"],
        tokens: Int[Tensor, " some"] | slice,
        weights: Float[Tensor, "readers d d_model"] | None,
    ) -> Float[Tensor, "writers readers"]:
        """Products of writers' centred differences at ``tokens`` with the gradients there."""
        scaled = self.scaled[tokens]
        if weights is None:
            inputs = self.norm.fold(scaled).transpose(0, 1)
        else:
            inputs = torch.bmm(scaled.transpose(0, 1), weights)
        scores = written.flatten(1) @ inputs.flatten(1).T
        if self.constant_scale:
            return scores
        normalised = torch.stack([x[tokens] for x in self.normalised])
        shares = torch.stack([x[tokens] for x in self.shares], dim=1)
        along = torch.bmm(written.transpose(0, 1), normalised.permute(1, 2, 0))
        return scores.sub_(along.transpose(0, 1).flatten(1) @ shares.flatten(0, 1))


@dataclass(frozen=True)
class Backward:
    """What one run forwards and backwards leaves, per block; None for readers before the leaf.

    ``qkv`` and ``qkv_grads``: outputs of the q, k, v projections and the loss' gradients there;
    ``attention_in`` and ``mlp_in``: residual streams [batch, pos, d_model]; ``mlp_grads``: at the
    MLPs' inputs; ``final_in``, ``final_grad``: before and after the final normalisation
    [batch, k, d_model], at the tokens ``read`` (batch * pos + position).
    """

    qkv: list[list[Tensor]]
    qkv_grads: list[list[Tensor] | None]
    attention_in: list[Tensor]
    mlp_in: list[Tensor]
    mlp_grads: list[Tensor | None]
    final_in: Float[Tensor, "batch k d_model"]
    final_grad: Float[Tensor, "batch k d_model"]
    read: Int[Tensor, " reads"]


class Gradients:
    """All readers' gradients: per layer those of the heads and of the MLP, and those of logits."""

    def __init__(self, adapter: Adapter, constant_scale: bool = False) -> None:
        self.adapter = adapter
        blocks = adapter.blocks
        self.heads = [Readers(b.attention_norm, constant_scale) for b in blocks]
        self.mlps = [Readers(b.mlp_norm, constant_scale) for b in blocks]
        self.logits = Readers(adapter.final_norm, constant_scale)
        self.read = torch.empty(0, dtype=torch.long)
        self.constants = [zero_input(block) for block in blocks]

    def add(self, run: Backward, steps: int = 1) -> None:
        """Add what one run forwards and backwards left at all readers (summed over steps).

        The run is of as many steps as ``steps`` says, one behind another along the batch. ``read``,
        the tokens at which the final residual stream was read, must not change from step to step.
        """
        for i, block in enumerate(self.adapter.blocks):
            if (grads := run.qkv_grads[i]) is not None:
                grad = block.split(grads).flatten(2, 3).flatten(0, 1)
                qkv = block.split(run.qkv[i]).flatten(2, 3).flatten(0, 1)
                projected = None if self.heads[i].constant_scale else qkv - self.constants[i]
                self.heads[i].add(run.attention_in[i].flatten(0, 1), grad, projected, steps)
            if (grad := run.mlp_grads[i]) is not None:
                grad = grad.flatten(0, 1)[:, None]
                self.mlps[i].add(run.mlp_in[i].flatten(0, 1), grad, None, steps)
        final_grad = run.final_grad.flatten(0, 1)[:, None]
        self.logits.add(run.final_in.flatten(0, 1), final_grad, None, steps)
        self.read = run.read[: len(run.read) // steps]

    def score(
        self,
        written: Float[Tensor, "n_forward tokens d_model"],
        start: int,
        parts: list[Int[Tensor, " _"] | slice],
        scores: Float[Tensor, "parts n_forward n_backward"],
        rows: slice = slice(None),
    ) -> None:
        """Add to ``scores`` the products of ``written`` with the gradients of the same tokens.

        ``written``: centred differences at consecutive tokens, of which the first is token
        ``start`` of the gradients. ``parts``: groups of its tokens, scored apart. ``rows``: writers
        to score.
        """
        graph = self.adapter.graph
        for readers, n_writers, columns, weights in self._groups():
            first, last, _ = rows.indices(n_writers)
            if first >= last:
                continue
            for part, tokens in enumerate(parts):
                some, at = written[first:last], slice(start, start + written.shape[1])
                if not isinstance(tokens, slice):
                    some, at = some[:, tokens], tokens + start
                scores[part, first:last, columns] += readers.score(some, at, weights)
        first, last, _ = rows.indices(graph.n_forward)
        every = torch.arange(written.shape[1], device=written.device)
        for part, tokens in enumerate(parts):
            reads = torch.isin(self.read - start, every[tokens]).nonzero().flatten()
            some = written[first:last, self.read[reads] - start]
            scores[part, first:last, -1:] += self.logits.score(some, reads, None)

    def _groups(self) -> Iterator[tuple[Readers, int, slice, Tensor | None]]:
        """Groups of readers: how many writers they read from, their columns, their weights."""
        graph = self.adapter.graph
        for i, block in enumerate(self.adapter.blocks):
            if self.heads[i].scaled is not None:
                weights = block.w_qkv.flatten(0, 1).to(self.adapter.score_dtype)
                weights = block.attention_norm.fold(weights)
                yield self.heads[i], graph.before_attention(i), graph.attention_columns(i), weights
            if self.mlps[i].scaled is not None:
                column = graph.mlp_column(i)
                yield self.mlps[i], graph.before_mlp(i), slice(column, column + 1), None


Loss = Callable[[Tensor, PairBatch], Tensor]


@dataclass(frozen=True)
class Leaf:
    """What a run takes as given, and from where gradients are wanted.

    ``value`` replaces the token embedding [batch, pos, d_model], of the heads' z of
    ``layer`` as in ``Written`` [batch, pos, n_heads * d_head], or of what its MLP writes [batch,
    pos, d_model].
    """

    value: Tensor
    kind: str = "embed"
    layer: int = 0


def run_backward(
    adapter: Adapter, batch: PairBatch, leaf: Leaf, loss: Loss, relp: bool = False
) -> Backward:
    """Gradients of the summed loss of the clean prompts of ``batch``, run with ``leaf``.

    ``loss`` maps the final hidden states that are read, [batch, k, d_model], to a number per pair.
    ``relp``: with RelP's rules (:mod:`kc_utils.circuits.relp`). Parameters must not take
    gradients.
    """
    blocks = adapter.blocks
    given = leaf.value.detach().requires_grad_(True)
    qkv: list[list[Tensor]] = [[] for _ in blocks]
    attention_in: list[Tensor] = []
    mlp_in: list[Tensor] = []
    mlp: list[Tensor] = []
    final: list[Tensor] = []
    with Hooks() as hooks:
        give(hooks, adapter, leaf, given)
        for block, outputs in zip(blocks, qkv, strict=True):
            hooks.input(block.attention_norm.module, _note(attention_in))
            if not block.shares_norm:
                hooks.input(block.mlp_norm.module, _note(mlp_in))
            for module in block.qkv:
                hooks.output(module, _track(outputs))
            hooks.input(block.mlp, _track(mlp))
        hooks.input(adapter.final_norm.module, _note(final))
        if relp:
            apply_relp_rules(adapter, hooks)
        at = batch.read_at
        hidden = adapter.hidden(batch.clean_ids, at)
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


def give(hooks: Hooks, adapter: Adapter, leaf: Leaf, value: Tensor) -> None:
    """Run with ``value`` in the place that ``leaf`` names."""
    if leaf.kind == "embed":
        hooks.output(adapter.embed, lambda _: value)
    elif leaf.kind == "heads":
        _give_heads(hooks, adapter.blocks[leaf.layer], value)
    else:
        hooks.output(adapter.blocks[leaf.layer].mlp_writer, lambda _: value)


def _give_heads(hooks: Hooks, block: Block, z: Tensor) -> None:
    """Let the heads of ``block`` write what follows from ``z``."""
    if block.attention_post is None:
        hooks.input(block.o, lambda _: z)
    else:  # z is over the scale already
        weights, constant = block.w_out.flatten(0, 1), block.b_out
        hooks.output(block.attention_post.module, lambda _: z @ weights + constant)


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
