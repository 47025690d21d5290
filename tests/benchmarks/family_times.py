"""The engine in every family of models: attribution, a circuit, and the memory of both."""

from __future__ import annotations

import torch

from .both_sides import (
    Values,
    attribution_over_floor,
    case,
    circuit_over_forwards,
    recorded,
    strongest_half,
    within,
)
from .family_models import described, family_model, family_shape
from .memory import peaks
from .served_families import TIMED
from .timing import Rounds

SECONDS = 3.0  # for attribution in one family; half of it for the circuit


def families(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """EAP-IG over its floor, a circuit over two forward passes, and peak memory, by family.

    All in float32 at one shape. The floor is the family's plain model, which shares keys and values
    between heads where the family does. Memory is that of a process on the CPU, on every device.
    ``quick`` takes every fourth family.
    """
    shape, names = family_shape(quick), list(TIMED)[:: 4 if quick else 1]
    found: dict[str, Values] = {}
    for name in names:
        it = case(shape, device, family_model(name, shape))
        scores = attribution_over_floor(it, within(rounds, SECONDS))
        circuit = circuit_over_forwards(it, strongest_half(it), within(rounds, SECONDS / 2))
        found[name] = {
            "family": TIMED[name],
            **recorded("eapig_over_floor", scores),
            **recorded("circuit_over_two_forwards", circuit),
        }
    for name, peak in peaks(names, quick).items():
        found[name]["peak_bytes_over_model"] = peak["peak"] - peak["model"]
        found[name] |= {f"peak_bytes_{stage}": value for stage, value in peak.items()}
    return {"families_shape": described(shape), "families": found}
