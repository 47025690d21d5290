"""Two models whose answers are known in advance: a linear one, and one with a circuit put in.

Both are GPT-2 models of two layers and four heads in double precision. In the linear one there is
no activation function, every token attends to all earlier ones alike, and a huge epsilon makes the
scale of every normalisation a constant. The wired one is the linear one with all weights zero but
those of one circuit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from kc_utils.circuits.pair_batch import PairBatch

WIDTH, HEADS, VOCAB = 32, 4, 40
#: The edges of the wired model's circuit, for its head 1 of layer 0.
CIRCUIT = ("input->a0.h1<v>", "a0.h1->a1.h2<v>", "a1.h2->logits", "a0.h1->m0", "m0->logits")


def linear_model() -> GPT2LMHeadModel:
    """Random weights, but linear in its embedding; the same at every call.

    Epsilon is 10^12 times the variance of anything that comes in.
    """
    config = GPT2Config(n_embd=WIDTH, n_layer=2, n_head=HEADS, n_positions=16, vocab_size=VOCAB,
                        activation_function="linear", layer_norm_epsilon=1e8,
                        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" in name:
                parameter.copy_(torch.full_like(parameter, 1e4 if "weight" in name else 0.0))
            else:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(noise * 0.01)
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, : 2 * WIDTH] = 0  # q and k: every token attends alike
            block.attn.c_attn.bias[: 2 * WIDTH] = 0
    return model


def wired_model(first: int = 1) -> GPT2LMHeadModel:
    """input -> head ``first`` of layer 0 -> (head 2 of layer 1, MLP 0) -> logits; nothing else.

    The stream has four lanes, each a number written as (+x, -x) so that centring leaves it alone:
    the token (0), what layer 0's head wrote (1), what layer 1's head wrote (2), what MLP 0 wrote
    (3). All tokens attend alike.
    """
    model = linear_model()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" not in name:
                parameter.zero_()
        value = torch.linspace(-1, 1, VOCAB, dtype=torch.float64)
        _lane(model.transformer.wte.weight.T, 0, value)
        first_block, second_block = model.transformer.h
        _head(first_block.attn, first, read=0, write=1)
        _head(second_block.attn, 2, read=1, write=2)
        _lane(first_block.mlp.c_fc.weight, 1, torch.eye(4 * WIDTH, dtype=torch.float64)[0])
        _lane(first_block.mlp.c_proj.weight.T, 3, torch.eye(4 * WIDTH, dtype=torch.float64)[0])
        for lane in (2, 3):
            _lane(model.lm_head.weight.T, lane, value)
    return model


def wired_batch() -> PairBatch:
    """Two pairs of three tokens that differ in the middle one."""
    return PairBatch.from_lists([[1, 39, 3], [5, 30, 6]], [[1, 2, 3], [5, 8, 6]], [30, 35], [3, 9])


def _lane(matrix: Tensor, lane: int, row: Tensor) -> None:
    """Put (+row, -row) into the two rows of ``lane``."""
    matrix[2 * lane] += row
    matrix[2 * lane + 1] -= row


def _head(attention: torch.nn.Module, head: int, read: int, write: int) -> None:
    unit = torch.eye(WIDTH, dtype=torch.float64)[head * WIDTH // HEADS]
    _lane(attention.c_attn.weight[:, 2 * WIDTH :], read, unit)
    _lane(attention.c_proj.weight.T, write, unit)
