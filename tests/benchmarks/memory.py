"""Peak memory of attribution, taken in a process of its own.

The kernel's high-water mark of a process (``VmHWM``) starts anew when a program is started, unlike
``ru_maxrss``, which a child inherits from its parent on Linux. It counts everything: the
interpreter, the libraries, the model, its wrapped copy, and what attribution holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kc_utils import ROOT
from kc_utils.errors import KcError

STATUS = Path("/proc/self/status")


def peaks(names: Iterable[str], quick: bool = False) -> dict[str, dict[str, int]]:
    """:func:`peak_bytes` of each name, two processes at a time: their memory is their own.

    ``quick``: all in one process, whose marks then mean nothing.
    """
    names = list(names)
    if quick:
        return _run(names, quick)
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(peak_bytes, names), strict=True))


def peak_bytes(name: str, quick: bool = False) -> dict[str, int]:
    """Bytes of a fresh process that attributes once, on one thread, with what is called ``name``:
    a shape of the benchmark or a family.

    ``model``: parameters of the model. ``libraries``, ``booted`` and ``peak``: high-water mark
    after the imports, after the model was made and wrapped, and after attribution.
    """
    return _run([name], quick)[name]


def _run(names: list[str], quick: bool) -> dict[str, dict[str, int]]:
    options = ["--quick"] if quick else []
    command = [sys.executable, "-m", "tests.benchmarks.memory", *options, *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise KcError(
            f"The process that measures the memory of {', '.join(names)} ended with code "
            f"{done.returncode}: "
            f"{lines[-1] if lines else 'it was killed, most likely for want of memory'}."
        )
    return json.loads(done.stdout.splitlines()[-1])


def high_water_mark() -> int:
    """Largest number of bytes that this process held in memory so far; KcError beside Linux."""
    if not STATUS.is_file():
        raise KcError(f"Peak memory is read from {STATUS}, which this system does not have.")
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise KcError(f"{STATUS} has no line VmHWM, so peak memory cannot be read.")


def measure(name: str, quick: bool) -> dict[str, int]:
    """Attribute once in this process; see :func:`peak_bytes`."""
    import torch  # counted as libraries

    from kc_utils.circuits.attribution import AttributionSettings, attribute
    from kc_utils.circuits.bridge import boot_bridge

    from . import shapes
    from .family_models import benchmark_model

    torch.set_num_threads(1)
    peak = {"libraries": high_water_mark()}
    shape, model = benchmark_model(name, quick)
    peak["model"] = sum(p.numel() * p.element_size() for p in model.parameters())
    bridge = boot_bridge(model, shapes.any_tokenizer())
    del model
    peak["booted"] = high_water_mark()
    settings = AttributionSettings("eap-ig", shape.steps, batch_size=shape.batch_size)
    attribute(bridge, shapes.random_batch(shape), settings)
    return peak | {"peak": high_water_mark()}


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1:] if name != "--quick"]
    toy = "--quick" in sys.argv
    print(json.dumps({name: measure(name, toy) for name in chosen}))
