"""Where the engine and its floor are timed: on the CPU, or on a CUDA device that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kc_utils.errors import KcError

CPU = torch.device("cpu")


def chosen(name: str) -> torch.device:
    """The device called ``name`` (``cpu``, ``cuda``, ``cuda:1``); KcError if it is not there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise KcError(f"--device {name} is unknown; allowed are cpu, cuda and cuda:<number>.")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= there:
        raise KcError(
            f"--device {name} is not there: PyTorch finds {there or 'no'} CUDA "
            f"device{'s' if there > 1 else ''} on this machine."
        )
    return device


def title(device: torch.device) -> str:
    """What a result says of the device: ``cpu``, or the name of the GPU."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def finished(job: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """``job``, which returns when its work is done: a GPU takes orders and computes later.

    A clock that is read after it has seen all of the work, and, read before the next job, nothing
    of the last one.
    """
    if device.type != "cuda":
        return job

    def waited_for() -> Any:
        result = job()
        torch.cuda.synchronize(device)
        return result

    return waited_for
