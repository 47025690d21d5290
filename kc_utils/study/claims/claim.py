"""The claims as data: ``claims.toml`` read and checked."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kc_utils.errors import KcError

Direction = Literal["above", "below", "equal"]


class Claim(BaseModel):
    """One claim: the sentence, what measures it, its control, its gate and its margin.

    ``measure`` names a function in :data:`kc_utils.study.claims.measures.MEASURES`, called with
    ``args`` and the thresholds in ``gates``. ``margin`` is in ``unit``. ``direction`` is where the
    claim expects the effect, own value minus control.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    claim: str = Field(min_length=10)
    topic: str
    notebook: str
    primary: bool = False
    claimed_by: Literal["the paper", "another paper", "this book"] = "the paper"
    paper: str
    quantity: str
    unit: str
    measure: str
    args: dict[str, Any] = {}
    control: str = Field(min_length=3)
    gate: str
    gates: dict[str, float] = {}
    direction: Direction
    margin: float = Field(gt=0)
    reason: str = Field(min_length=10)


@cache
def claims() -> tuple[Claim, ...]:
    """All claims in the order of the file, primary ones first.

    Raises:
        KcError: an entry is incomplete or given twice; names the claim.
    """
    text = files("kc_utils.study.claims").joinpath("claims.toml").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> tuple[Claim, ...]:
    """The claims in the text of such a file (:func:`claims` has the errors)."""
    found: dict[str, Claim] = {}
    for entry in tomllib.loads(text).get("claim", []):
        name = entry.get("id", "?")
        try:
            claim = Claim.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise KcError(f"claims.toml: {where} of the claim {name!r}: {first['msg']}.") from None
        if name in found:
            raise KcError(f"claims.toml: the claim {name!r} stands there twice.")
        found[name] = claim
    return tuple(sorted(found.values(), key=lambda claim: not claim.primary))
