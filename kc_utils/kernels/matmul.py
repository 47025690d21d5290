"""Float32 matrix products of training, on a CPU by the faster of PyTorch's two libraries.

PyTorch computes float32 products with MKL, which is at its best on Intel's processors only; on
others with AVX-512, oneDNN is up to twice as fast. PyTorch's one way to choose oneDNN is to
permit it to round the factors to bfloat16. It makes use of that only on processors with tiles for
bfloat16 (AMX), so the permission is given only where a probe shows that nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

_PERMITTED = "bf16"
_SIZE = 64  # of the probe: smaller products never go to oneDNN


@contextmanager
def fast_products() -> Iterator[bool]:
    """Let oneDNN compute float32 products inside, where that is faster and as precise.

    Yields whether it does; where it does not, nothing is changed. The choice is the whole
    process's. PyTorch's fused attention is slower with it.
    """
    if not (is_faster() and is_exact()):
        yield False
        return
    with _permitted():
        yield True


@contextmanager
def _permitted() -> Iterator[None]:
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = _PERMITTED
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def is_faster() -> bool:
    """Whether oneDNN outruns MKL here: on processors with AVX-512 that are not Intel's."""
    if not torch.backends.mkldnn.is_available():
        return False
    name = torch.cpu.get_capabilities().get("cpu_name", "Intel")
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and "Intel" not in name


@cache
def is_exact() -> bool:
    """Whether oneDNN can be chosen on this processor without rounding the factors.

    A number that needs all 24 bits of float32 is multiplied by one, in products of two matrices
    and of two batches of them, with either factor transposed; rounded, it would be one.
    """
    with _permitted():
        return all(_keeps_bits(shape) for shape in ((_SIZE, _SIZE), (4, _SIZE, _SIZE)))


def _keeps_bits(shape: tuple[int, ...]) -> bool:
    fine = torch.full(shape, 1 + torch.finfo(torch.float32).eps)
    one = torch.eye(_SIZE).expand(shape).contiguous()
    products = (fine @ one, one @ fine, fine.mT @ one, one @ fine.mT)
    return all(bool((product == fine).all()) for product in products)
