"""Which device computes: the one that ``accelerate`` gives this process, or the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from accelerate import PartialState


def device() -> torch.device:
    """The GPU of this process, or the CPU when there is none.

    Only CUDA counts as a GPU: the numbers of the book need float64 in places.
    """
    return PartialState(cpu=not torch.cuda.is_available()).device


def has_gpu() -> bool:
    """Whether models of this process run on a GPU."""
    return device().type != "cpu"


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` writes them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    return [part.strip() for part in named.split(",") if part.strip()][: torch.cuda.device_count()]
