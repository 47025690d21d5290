"""What edge attribution costs beside the model's own runs, counted for one token in one layer."""

from __future__ import annotations

import numpy as np

from kc_utils.circuits.graph import Graph


def per_token_and_layer(width: int, graph: Graph, steps: int) -> dict[str, float]:
    """Numbers held and multiplications of EAP-IG, per token and layer, in both forms.

    "copies" gives every head a copy of the stream for each of q, k and v; "factored" is the form of
    :mod:`kc_utils.circuits.gradients`. ``width`` is that of the stream, ``steps`` the number of
    backward passes. Writers before a layer are averaged over layers. The plain model multiplies
    with about 12 width^2 weights, once in the forward and once in the backward pass of each step.
    """
    readers, layers = 3 * graph.n_heads, range(graph.n_layers)
    writers = float(np.mean([graph.before_attention(layer) for layer in layers]))
    found = {
        "held at q, k, v, copies": readers * width,
        "held at q, k, v, factored": 3 * width + steps * (readers + width),
        "multiplications, plain model": steps * 24 * width**2,
        "multiplications by writers, copies": steps * writers * readers * width,
        "multiplications by writers, factored": (
            writers * readers * width + 3 * width**2 + steps * writers * (width + readers)
        ),
    }
    return {name: float(value) for name, value in found.items()}
