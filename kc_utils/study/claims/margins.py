"""The smallest difference that counts for each claim, and why: the file ``margins.toml``.

Margins are fixed before the runs that they judge. Where the paper publishes an effect, the margin
is a quarter of it; elsewhere the reason says where the number is from. Every row of the ledger
carries margin and reason, and a run keeps the margin that it was judged by.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kc_utils.errors import KcError


class Margin(BaseModel):
    """``margin`` in the unit of the claim's quantity, and the reason for it in one sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(gt=0)
    reason: str = Field(min_length=10)


@cache
def margins() -> dict[str, Margin]:
    """All margins by the claim's id.

    Raises:
        KcError: the file is damaged; names the claim.
    """
    text = files("kc_utils.study.claims").joinpath("margins.toml").read_text(encoding="utf-8")
    found = {}
    for name, values in tomllib.loads(text).items():
        try:
            found[name] = Margin.model_validate(values)
        except ValidationError as error:
            raise KcError(f"margins.toml: {name} has no margin above 0 with a reason.") from error
    return found


def margin_of(name: str) -> Margin:
    """The margin of one claim.

    Raises:
        KcError: margins.toml has none.
    """
    if name not in margins():
        raise KcError(f"margins.toml has no margin for the claim {name!r}.")
    return margins()[name]
