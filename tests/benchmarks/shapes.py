"""Models with random weights and pairs of random tokens, to measure how long things take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.config import profiles
from kc_utils.models.tokenizers import train_bpe

SEED = 0
STANDARD_DEVIATION = 0.02  # of GPT-2's initial weights


@dataclass(frozen=True)
class Shape:
    """A GPT-2-shaped model and the pairs it is measured on.

    ``n_pairs`` pairs of ``n_tokens`` tokens each; ``batch_size`` pairs at a time; ``steps`` of
    EAP-IG.
    """

    n_layers: int
    n_heads: int
    d_model: int
    vocab_size: int
    n_pairs: int
    n_tokens: int
    batch_size: int
    steps: int = 5
    activation: str = "gelu_new"

    @property
    def graph(self) -> Graph:
        """A new graph of this shape."""
        return Graph(self.n_layers, self.n_heads)


def tiny_profile() -> Shape:
    """The shape and settings of profile ``tiny``, 60 pairs of 16 tokens."""
    settings = profiles.load("tiny")
    model, circuit = settings.model, settings.circuit
    return Shape(
        model.n_layers,
        model.n_heads,
        model.d_model,
        model.vocab_size,
        n_pairs=60,
        n_tokens=16,
        batch_size=circuit.batch_size,
        steps=circuit.steps,
        activation="gelu_pytorch_tanh",
    )


def random_model(shape: Shape, seed: int = SEED) -> GPT2LMHeadModel:
    """A float32 model in evaluation mode: normal weights, unit norms, biases of zero.

    The usual initialisation is skipped, it takes minutes for a large model. Every parameter exists
    once from the start.
    """
    config = GPT2Config(
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        n_embd=shape.d_model,
        vocab_size=shape.vocab_size,
        activation_function=shape.activation,
        bos_token_id=0,
        eos_token_id=0,
    )
    with no_init_weights():
        model = GPT2LMHeadModel(config)
    model.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, STANDARD_DEVIATION, generator=generator)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return model.eval()


def random_batch(shape: Shape, seed: int = SEED) -> PairBatch:
    """Pairs of random tokens, all of one length, with different right and wrong answers."""
    generator = torch.Generator().manual_seed(seed)
    size = (2, shape.n_pairs, shape.n_tokens)
    clean, corrupted = torch.randint(shape.vocab_size, size, generator=generator)
    answers = torch.randint(shape.vocab_size - 1, (shape.n_pairs,), generator=generator).tolist()
    return PairBatch.from_lists(
        clean.tolist(), corrupted.tolist(), answers, [answer + 1 for answer in answers]
    )


def any_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer for a bridge that is never asked to tokenise."""
    return train_bpe([], 258)
