"""How facts are studied: numbers with limits, the same for every model and every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from kc_utils.errors import KcError
from kc_utils.section import PositiveInt, Section

Shares = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2)]


class FactSettings(Section):
    """Settings of a study of facts."""

    seed: int = Field(0, ge=0, description="seed of the split, the pairs and the random circuits")
    pairs: PositiveInt = Field(40, description="most pairs per relation, group and side")
    only_known: bool = Field(True, description="keep facts that the model answers right")
    known_by: Literal["first", "whole"] = Field(
        "first", description="right: the answer's first token, or all of its tokens"
    )
    top_share: float = Field(0.05, gt=0, le=1, description="share of all edges in the circuit")
    shares: Shares = Field(
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        description="shares of the size curve",
    )
    steps: PositiveInt = Field(5, description="steps of EAP-IG")
    random_circuits: PositiveInt = Field(3, description="random circuits beside each circuit")
    held_out: float = Field(0.5, gt=0, lt=1, description="share of subjects kept for evaluation")
    batch_size: PositiveInt = Field(64, description="most pairs in a pass")
    role_ratio: float = Field(10.0, gt=1, description="as analysis.role_ratio")


def checked(values: Mapping[str, Any]) -> FactSettings:
    """Settings from the command line's values; KcError for one that is impossible."""
    try:
        return FactSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise KcError(f"--{option} {first['input']!r} is not allowed: {first['msg']}.") from None
