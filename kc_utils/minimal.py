"""How small a circuit may be and still do a wanted part of the work, by bisection over its size.

The size that reaches the same faithfulness makes circuits of different models comparable, which
circuits of one size are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from kc_utils.errors import KcError

TARGETS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class MinimalSize:
    """A size that reaches ``target``, and the next smaller size that was tested and does not.

    ``status`` is ``reached``; ``not reached`` if no tested size does, all edges included; or
    ``undefined`` if a tested size has no faithfulness. Without ``reached``, ``n`` is None and
    ``faithfulness`` nan. ``below`` is None if 0 edges reach the target.
    """

    target: float
    status: Literal["reached", "not reached", "undefined"]
    n: int | None
    faithfulness: float
    below: int | None
    faithfulness_below: float
    n_evaluations: int


def minimal_size(
    evaluate: Callable[[int], float],
    target: float,
    n_max: int,
    known: Mapping[int, float] | None = None,
    tolerance: float = 0.0,
) -> MinimalSize:
    """Bisection for a size n in 0..n_max with ``evaluate(n) >= target``.

    Faithfulness need not rise with n. What is returned is therefore the smallest size among those
    *tested* that reaches the target; every smaller tested size falls short, and ``below``, the
    largest of these, is no farther away than ``max(1, tolerance * n)``. Sizes that were never
    tested may reach it with fewer edges.

    ``known`` holds values that need no evaluation, such as those of a size curve; they make the
    search start closer and count as tested. At most 3 + log2(n_max) evaluations are made.

    KcError for a target outside of 0 < target < 1, a negative ``n_max``, a known size outside of
    0..n_max, or a tolerance outside of 0 <= tolerance < 1.
    """
    known = {} if known is None else known
    _check(target, n_max, known, tolerance)
    tested: dict[int, float] = dict(known)
    n_evaluations = 0

    def value(n: int) -> float:
        nonlocal n_evaluations
        if n not in tested:
            tested[n] = float(evaluate(n))
            n_evaluations += 1
        return tested[n]

    def found(status: Literal["reached", "not reached", "undefined"]) -> MinimalSize:
        if status != "reached":
            return MinimalSize(target, status, None, math.nan, None, math.nan, n_evaluations)
        n = min(size for size, f in tested.items() if f >= target)
        below = max((size for size in tested if size < n), default=None)
        beside = math.nan if below is None else tested[below]
        return MinimalSize(target, status, n, tested[n], below, beside, n_evaluations)

    for n in (0, n_max):
        value(n)
    while not any(map(math.isnan, tested.values())):
        reached = [n for n, f in tested.items() if f >= target]
        if not reached:
            return found("not reached")
        high = min(reached)
        low = max((n for n in tested if n < high), default=high)
        if high - low <= max(1, tolerance * high):
            return found("reached")
        value((low + high) // 2)
    return found("undefined")


def _check(target: float, n_max: int, known: Mapping[int, float], tolerance: float) -> None:
    if not 0 < target < 1:
        raise KcError(f"target={target} is not a faithfulness above 0 and below 1.")
    if n_max < 0:
        raise KcError(f"n_max={n_max} is not a number of edges of at least 0.")
    if outside := [n for n in known if not 0 <= n <= n_max]:
        raise KcError(f"The known size {outside[0]} is not in 0 to {n_max}.")
    if not 0 <= tolerance < 1:
        raise KcError(f"tolerance={tolerance} is not at least 0 and below 1.")
