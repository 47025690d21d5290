"""Measuring the sections: their values, the targets, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch

from kc_utils.book.stored_results import TARGETS
from kc_utils.errors import KcError
from kc_utils.runs.machine import memory_bytes, processor

from .on_device import CPU, title
from .sections import SECTIONS
from .timing import Rounds, threads

PACKAGES = ("torch", "transformers", "transformer-lens", "numpy")
N_THREADS = 1
DATE = "%Y-%m-%dT%H:%MZ"


def measure(
    names: list[str] | None = None,
    quick: bool = False,
    rounds: Rounds | None = None,
    progress: Callable[[str], None] = lambda name: None,
    device: torch.device = CPU,
) -> dict[str, Any]:
    """Measure the named sections, or all: the content of ``bench.json``.

    ``quick`` takes toy shapes and two rounds. ``progress`` is called with each section's name
    before it starts. Models are on ``device``. KcError for a section that does not exist.
    """
    names = list(SECTIONS) if names is None else names
    if unknown := [name for name in names if name not in SECTIONS]:
        raise KcError(
            f"{unknown[0]!r} is not a section of the benchmark; allowed are {', '.join(SECTIONS)}."
        )
    rounds = rounds or (Rounds(least=2, most=2) if quick else Rounds())
    started, date = time.perf_counter(), datetime.now(UTC)
    values: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with threads(N_THREADS):
        for name in names:
            progress(name)
            start = time.perf_counter()
            values |= SECTIONS[name](quick, rounds, device)
            seconds[name] = round(time.perf_counter() - start, 2)
    return values | {
        "targets": {
            key: {"most": target.most, "unit": target.unit, "met": target.met(values[key])}
            for key, target in TARGETS.items()
            if key in values
        },
        "machine": machine(device),
        "date": date.strftime(DATE),
        "section_dates": dict.fromkeys(names, date.strftime(DATE)),
        "seconds": round(time.perf_counter() - started, 1),
        "section_seconds": seconds,
        "quick": quick,
    }


def machine(device: torch.device = CPU) -> dict[str, Any]:
    """Processor, device, cores, memory and versions; no names or paths of the machine."""
    return {
        "processor": processor(),
        "device": title(device),
        "cores": os.cpu_count(),
        "threads": N_THREADS,
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
