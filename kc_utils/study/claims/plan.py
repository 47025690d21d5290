"""The plan of the confirmatory study, ``confirmatory.toml``: fixed before its first run."""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kc_utils.errors import KcError
from kc_utils.study.claims.claim import claims

FILE = "confirmatory.toml"


class _Fixed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prediction(_Fixed):
    """What is expected of a primary claim in both made models, and from what."""

    claim: str
    verdict: str
    because: str


class Arm(_Fixed):
    """An experiment beyond the stages of a run: design, one quantity, prediction, decision rule."""

    name: str
    question: str
    design: str
    n: str
    quantity: str
    unit: str
    control: str
    gate: str
    margin: float = Field(gt=0)
    reason: str
    prediction: str
    decision: str
    hours: float = Field(gt=0)


class Plan(_Fixed):
    """Seeds, models, null runs, the claims by their digest, predictions and arms."""

    date: str
    seeds: tuple[int, ...]
    profiles: tuple[str, ...]
    null_runs: str
    exclusions: str
    family: Literal["primary claims of one model"]
    claims_sha256: str
    seen_before: str
    hours: float
    hours_from: str
    prediction: tuple[Prediction, ...]
    arm: tuple[Arm, ...]


@cache
def plan() -> Plan:
    """The plan, with the claims that it was made for.

    Raises:
        KcError: a primary claim, gate or margin has changed since the plan was fixed.
    """
    text = files("kc_utils.study.claims").joinpath(FILE).read_text(encoding="utf-8")
    found = Plan.model_validate(tomllib.loads(text))
    if found.claims_sha256 != primary_digest():
        then, now = found.claims_sha256[:12], primary_digest()[:12]
        raise KcError(
            f"{FILE} was fixed for primary claims {then}; those of claims.toml are {now}."
        )
    return found


def primary_digest() -> str:
    """SHA-256 of everything that judges the primary claims: measures, controls, gates, margins."""
    judged = {"id", "measure", "args", "control", "gate", "gates", "direction", "margin", "reason"}
    rows = [claim.model_dump(include=judged) for claim in claims() if claim.primary]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def digest() -> str:
    """SHA-256 of the file of the plan."""
    return hashlib.sha256(files("kc_utils.study.claims").joinpath(FILE).read_bytes()).hexdigest()
