"""The sizes of model and batch that are measured."""

from __future__ import annotations

from dataclasses import replace

from kc_utils.errors import KcError

from .shapes import Shape, tiny_profile

GPT2_SMALL = Shape(12, 12, 768, 50257, n_pairs=32, n_tokens=12, batch_size=16)
GPT2_XL = Shape(48, 25, 1600, 50257, n_pairs=4, n_tokens=12, batch_size=4)
TOY = Shape(2, 2, 32, 600, n_pairs=6, n_tokens=5, batch_size=4, steps=2)


def named(name: str, quick: bool = False) -> Shape:
    """The shape called ``name``, or a toy that stands for it; KcError for an unknown name."""
    known = {"gpt2_small": GPT2_SMALL, "gpt2_xl": GPT2_XL, "tiny": tiny_profile()}
    if name not in known:
        raise KcError(f"{name!r} is not a shape of the benchmark; allowed are {', '.join(known)}.")
    return replace(TOY, activation=known[name].activation) if quick else known[name]
