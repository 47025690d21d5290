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
    return _state().device


def _state() -> PartialState:
    return PartialState(cpu=not torch.cuda.is_available())


def has_gpu() -> bool:
    """Whether models of this process run on a GPU."""
    return device().type != "cpu"


def has_bfloat16() -> bool:
    """Whether this device multiplies matrices of bfloat16 with instructions of its own.

    On a CPU: tiles (AMX, Intel since 2023) or vectors (AVX512-BF16, AMD since Zen 4).
    """
    if has_gpu():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def n_processes() -> int:
    """How many processes ``accelerate launch`` has started; 1 without it."""
    return _state().num_processes


def is_first() -> bool:
    """Whether this is the process that writes."""
    return _state().is_main_process


def wait_for_all() -> None:
    """Return when every process of the launch has come here; at once where there is one."""
    _state().wait_for_everyone()


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` writes them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    return [part.strip() for part in named.split(",") if part.strip()][: torch.cuda.device_count()]
