"""What is looked at: one circuit of one run, and one prompt."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from kc_utils.stages.common import Cell


@dataclass(frozen=True)
class Choice:
    """One value for every control.

    ``step`` is the checkpoint (optimiser steps), ``n`` the number of edges kept before pruning,
    ``layer`` the one whose attention is shown.
    """

    task: str
    kind: str
    band: str
    step: int
    n: int
    ablation: str
    prompt: str
    layer: int

    @property
    def cell(self) -> Cell:
        """Task, type and band: whose circuit it is."""
        return Cell(self.task, self.kind, self.band)

    def of(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of some controls."""
        values = asdict(self)
        return tuple(values[name] for name in names)


FIELDS = tuple(field.name for field in fields(Choice))
