"""How edges are scored: method, path, metric, and what a run may cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kc_utils.circuits.arguments import whole
from kc_utils.circuits.metrics import Metric, check_metric
from kc_utils.errors import KcError, shown

#: Names of the methods.
METHODS = ("eap", "eap-ig", "eap-ig-activations", "clean-corrupted", "relp", "exact")
#: Values of k on the path from the corrupted run, k = 0, to the clean one, k = m.
PATHS = ("1..m", "0..m-1")
#: Methods whose only gradient is that of the clean run, where KL to the clean run has none.
FLAT_IN_KL = ("eap", "relp")


@dataclass(frozen=True)
class AttributionSettings:
    """How to score edges.

    Args:
        method: one of :data:`METHODS`, which :mod:`kc_utils.circuits.attribution` describes.
        steps: number m of steps of the two integrated gradients.
        path: which k of the path, one of :data:`PATHS`.
        metric: one of :data:`kc_utils.circuits.metrics.METRICS`, or a function of last-token logits
            [n, vocab] and batch.
        batch_size: most pairs in a run. Like ``max_bytes`` it changes memory and speed only.
        max_bytes: most memory to use beside the model (an estimate; runs are made smaller to stay
            below).

    Raises:
        KcError: names a value that is not allowed, or a method that has no gradient by the metric.
    """

    method: str = "eap-ig"
    steps: int | np.integer = 5
    path: str = "1..m"
    metric: str | Metric = "logit_diff"
    batch_size: int | np.integer = 64
    max_bytes: int | np.integer = 2**31

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("path", PATHS)):
            if getattr(self, name) not in allowed:
                raise KcError(
                    f"{name}={getattr(self, name)!r} is not one of {', '.join(map(repr, allowed))}."
                )
        for name in ("steps", "batch_size", "max_bytes"):
            object.__setattr__(self, name, whole(getattr(self, name), name, 1))
        check_metric(self.metric)
        if self.metric == "kl" and self.method in FLAT_IN_KL:
            raise KcError(
                f"metric='kl' has no gradient at the clean run, the only one that "
                f"method={self.method!r} takes; allowed are 'eap-ig', 'eap-ig-activations' and "
                "'clean-corrupted'."
            )

    @property
    def shares_of_clean(self) -> tuple[float, ...]:
        """Share of the clean output at each step, k/m."""
        if self.method in ("eap", "relp"):
            return (1.0,)
        if self.method == "clean-corrupted":
            return (1.0, 0.0)
        first = 1 if self.path == "1..m" else 0
        return tuple((first + k) / self.steps for k in range(self.steps))

    @property
    def starts_clean(self) -> bool:
        """Whether a step is the plain clean run itself, which then need not run twice.

        KL needs that run's logits before its own loss; RelP changes the backward pass, and the
        activation path takes it for each writer anew.
        """
        plain = self.method not in ("relp", "eap-ig-activations", "exact")
        return plain and self.metric != "kl" and 1.0 in self.shares_of_clean


def check_settings(settings: AttributionSettings) -> None:
    """KcError for something else, such as the name of a method."""
    if not isinstance(settings, AttributionSettings):
        raise KcError(
            f"settings={shown(settings)} are no AttributionSettings; one of a method is "
            "AttributionSettings(method='eap')."
        )
