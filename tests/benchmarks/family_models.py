"""Every family at one shape, with random weights as ``transformers`` draws them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from . import shapes
from .served_families import FAMILIES, TIMED, model_of
from .shapes import Shape
from .sizes import TOY, named

SHAPE = Shape(4, 8, 512, 8192, n_pairs=8, n_tokens=16, batch_size=8)
HEADS_PER_GROUP = 4  # query heads that share keys and values, where the family has groups
WIDER = 3  # the MLP's inner width over that of the stream


def family_shape(quick: bool = False) -> Shape:
    """The one shape of all families."""
    return TOY if quick else SHAPE


def family_model(name: str, shape: Shape) -> PreTrainedModel:
    """A float32 model of the family in evaluation mode, always the same."""
    family, settings = FAMILIES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(shapes.SEED)
        return model_of(family, _plain(shape) | _at(settings, shape)).eval()


def benchmark_model(name: str, quick: bool = False) -> tuple[Shape, PreTrainedModel]:
    """Shape and model of a family that is timed, or of a shape of the benchmark, by name."""
    if name in TIMED:
        shape = family_shape(quick)
        return shape, family_model(name, shape)
    shape = named(name, quick)
    return shape, shapes.random_model(shape)


def described(shape: Shape) -> dict[str, Any]:
    """What ``bench.json`` says of a shape."""
    known = ("n_layers", "n_heads", "d_model", "vocab_size", "n_pairs", "n_tokens", "steps")
    return {name: getattr(shape, name) for name in known}


def _plain(shape: Shape) -> dict[str, Any]:
    return {
        "hidden_size": shape.d_model,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "intermediate_size": WIDER * shape.d_model,
        "max_position_embeddings": 8 * shape.n_tokens,
        "vocab_size": shape.vocab_size,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


def _at(settings: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """A family's settings with the numbers of this shape in place of a toy model's."""
    sizes = {
        "num_key_value_heads": max(1, shape.n_heads // HEADS_PER_GROUP),
        "head_dim": shape.d_model // shape.n_heads,
        "query_pre_attn_scalar": shape.d_model // shape.n_heads,
        "sliding_window": shape.n_tokens // 2,
        "n_embd": shape.d_model,
        "n_layer": shape.n_layers,
        "n_head": shape.n_heads,
        "n_positions": 8 * shape.n_tokens,
    }
    found = {key: sizes.get(key, value) for key, value in settings.items()}
    factors = found.get("rope_parameters", {}).keys() & {"short_factor", "long_factor"}
    if factors:  # one for each pair of a head's dimensions
        rope = found["rope_parameters"]
        pairs = shape.d_model // shape.n_heads // 2
        found["rope_parameters"] = rope | {key: rope[key][:1] * pairs for key in factors}
    if kinds := found.get("layer_types"):
        found["layer_types"] = [kinds[i % len(kinds)] for i in range(shape.n_layers)]
    return found
