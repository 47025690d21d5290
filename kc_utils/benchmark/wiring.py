"""Putting a circuit into a GPT-2 by hand: lanes of the residual stream, heads and lookups.

All weights are zero at first. A *lane* holds one number per symbol, each written as (+x, -x), so
that centring leaves it alone; a huge epsilon makes the scale of every normalisation a constant.
A component reads one lane and writes one, so which edges carry something is known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

N_HEADS, N_LAYERS, N_POSITIONS = 4, 2, 8
#: How much larger the attention score of what a head looks for is than that of anything else: a
#: head that matches symbols leaves a little weight to others, one that looks at a place none.
MATCH, PLACE = 10.0, 40.0
EPSILON = 1e16


class Wiring:
    """A GPT-2 of two layers and four heads in float64, without a weight until one is put in.

    Args:
        lanes: number of symbols of each lane, by name.
        vocab_size: tokens; those without a symbol in the lane of :meth:`tokens` are blanks.
    """

    def __init__(self, lanes: Mapping[str, int], vocab_size: int) -> None:
        width = max(2 * sum(lanes.values()), N_HEADS * max(lanes.values()))
        width += -width % N_HEADS
        self.d_head = width // N_HEADS
        self._lanes, start = {}, 0
        for name, size in lanes.items():
            self._lanes[name] = torch.arange(size) * 2 + start
            start += 2 * size
        config = GPT2Config(
            n_embd=width, n_layer=N_LAYERS, n_head=N_HEADS, n_positions=N_POSITIONS,
            vocab_size=vocab_size, activation_function="relu", layer_norm_epsilon=EPSILON,
            tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        self.model = GPT2LMHeadModel(config).double().eval()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                is_scale = "ln_" in name and name.endswith("weight")
                parameter.fill_(math.sqrt(EPSILON) if is_scale else 0.0)
        self._neurons = [0] * N_LAYERS

    @torch.no_grad()
    def tokens(self, lane: str) -> None:
        """Token i is symbol i of the lane; tokens beyond its size write nothing."""
        at = self._lanes[lane]
        self._write(self.model.transformer.wte.weight[: len(at)], lane, torch.eye(len(at)))

    @torch.no_grad()
    def positions(self, lane: str) -> None:
        """Position i is symbol i of the lane."""
        at = self._lanes[lane]
        self._write(self.model.transformer.wpe.weight[: len(at)], lane, torch.eye(len(at)))

    @torch.no_grad()
    def answers(self, lane: str, gain: float = 4.0) -> None:
        """The logit of token i is ``gain`` times what symbol i of the lane holds."""
        at = self._lanes[lane]
        self._read(self.model.lm_head.weight[: len(at)].T, lane, gain * torch.eye(len(at)))

    @torch.no_grad()
    def move(self, layer: int, head: int, read: str, write: str, gain: float = 1.0) -> None:
        """The head's values are what one lane holds, and go into another, times ``gain``."""
        attention = self.model.transformer.h[layer].attn
        size = len(self._lanes[read])
        columns = slice(head * self.d_head, head * self.d_head + size)
        width = N_HEADS * self.d_head
        self._read(attention.c_attn.weight[:, 2 * width :][:, columns], read, torch.eye(size))
        self._write(attention.c_proj.weight[columns], write, gain * torch.eye(size))

    @torch.no_grad()
    def look_at(self, layer: int, head: int, lane: str, symbol: int) -> None:
        """Every query looks for positions where the lane holds one symbol."""
        attention, at = self.model.transformer.h[layer].attn, head * self.d_head
        width, size = N_HEADS * self.d_head, len(self._lanes[lane])
        attention.c_attn.bias[at] = PLACE * math.sqrt(self.d_head)
        wanted = torch.zeros(size, 1)
        wanted[symbol] = 1
        self._read(attention.c_attn.weight[:, width + at : width + at + 1], lane, wanted)

    @torch.no_grad()
    def match(
        self, layer: int, head: int, query: str, key: str, pairs: Sequence[tuple[int, int]]
    ) -> None:
        """A query with symbol i in one lane looks for keys with symbol j in another."""
        weight = self.model.transformer.h[layer].attn.c_attn.weight
        at, width = head * self.d_head, N_HEADS * self.d_head
        for place, (i, j) in enumerate(pairs):
            columns = slice(at + place, at + place + 1)
            for start, lane, symbol, size in (
                (0, query, i, MATCH * math.sqrt(self.d_head)),
                (width, key, j, 1.0),
            ):
                wanted = torch.zeros(len(self._lanes[lane]), 1)
                wanted[symbol] = size
                self._read(weight[:, start:][:, columns], lane, wanted)

    @torch.no_grad()
    def look_up(
        self, layer: int, read: Sequence[str], write: str, table: Sequence[int], saturates: bool
    ) -> None:
        """The MLP turns symbol i of the lanes it reads into symbol ``table[i]`` of another.

        A neuron answers where the lanes sum to more than one half, with 2 x - 1; if it
        ``saturates``, as soon as they hold anything, with at most 1.
        """
        block = self.model.transformer.h[layer].mlp
        eye, target = torch.eye(len(table)), torch.eye(len(self._lanes[write]))[list(table)]
        parts = ((1.0, 0.0, 1.0), (1.0, -1.0, -1.0)) if saturates else ((2.0, -1.0, 1.0),)
        for slope, bias, sign in parts:
            start = self._neurons[layer]
            neurons = slice(start, start + len(table))
            for lane in read:
                self._read(block.c_fc.weight[:, neurons], lane, slope * eye)
            block.c_fc.bias[neurons] = bias
            self._write(block.c_proj.weight[neurons], write, sign * target)
            self._neurons[layer] = neurons.stop

    @torch.no_grad()
    def noise(self, level: float, seed: int) -> None:
        """Add normal weights to every head and MLP, the same for a seed.

        ``level``: standard deviation of what a component would write for an input of length one.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.model.named_parameters():
            if parameter.ndim == 2 and ".h." in name:
                drawn = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter += level / math.sqrt(parameter.shape[0]) * drawn

    def _read(self, matrix: Float[Tensor, "width n"], lane: str, values: Tensor) -> None:
        at = self._lanes[lane]
        matrix[at] += 0.5 * values.to(matrix)
        matrix[at + 1] -= 0.5 * values.to(matrix)

    def _write(self, matrix: Float[Tensor, "n width"], lane: str, values: Tensor) -> None:
        at = self._lanes[lane]
        matrix[:, at] += values.to(matrix)
        matrix[:, at + 1] -= values.to(matrix)
