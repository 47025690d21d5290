"""What every part of the configuration is made of: a frozen section, and kinds of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of every part: unknown keys are errors and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
