"""What a changed parameter makes a run compute again, found from the keys of the stages.

Nothing is listed by hand: a parameter is given another allowed value, and the stages whose key
differs are those that depend on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kc_utils import config
from kc_utils.config import Config
from kc_utils.config.sections import Section
from kc_utils.errors import KcError
from kc_utils.study.stages import STAGES


def parameter_names() -> list[str]:
    """Every parameter as ``section.key``, in the order of the configuration; not the profile."""
    names = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        nested = isinstance(section, type) and issubclass(section, Section)
        names += [f"{name}.{key}" for key in section.model_fields] if nested else [name]
    return [name for name in names if name != "profile"]


def changed(settings: Config, parameter: str) -> Config:
    """The same configuration with another allowed value of one parameter.

    Raises:
        KcError: an unknown parameter, or none of the values that were tried is allowed.
    """
    if parameter not in parameter_names():
        raise KcError(f"Unknown parameter {parameter!r}; see 'All parameters' for what there is.")
    section, _, key = parameter.rpartition(".")
    owner = Config.model_fields[section].annotation if section else Config
    schema = owner.model_json_schema()["properties"][key]
    plain = settings.model_dump(mode="json")
    unset = owner.model_fields[key].default  # of what is written only where it is used
    for value in _others((plain[section] if section else plain).get(key, unset), schema):
        values = json.loads(json.dumps(plain))
        (values[section] if section else values)[key] = value
        if parameter == "model.revision":  # only what comes from the hub has one
            values["model"]["source"] = "hub"
        if parameter == "world.share_strange" and values["model"]["source"] == "made":
            values["model"]["source"] = "folder"  # only what exists already has rare tokens
        if values["model"]["source"] != "made":
            values["model"]["path"] = values["model"]["path"] or "somewhere"
        if parameter == "training.checkpoint_every":  # the two exclude each other
            values["training"]["checkpoint_epochs"] = []
        try:
            return config.build(values)
        except KcError:
            continue
    raise KcError(f"No other value of {parameter} is allowed beside the rest of this run.")


def stages_of(settings: Config, parameter: str) -> list[str]:
    """Names of the stages, experiments among them, that another value computes again."""
    here, there = STAGES.keys(settings), STAGES.keys(changed(settings, parameter))
    return [name for name, key in here.items() if there[name] != key]


def _others(value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """Values to try instead of this one; not all are allowed."""
    for option in schema.get("anyOf", ()):
        yield from _others(value, option)
    yield from (option for option in schema.get("enum", ()) if option != value)
    if isinstance(value, list):
        items = schema.get("items", {})
        numbers = [1.0] if items.get("type") == "number" else []
        others = [item for item in items.get("enum", numbers) if item not in value]
        yield value[:-1] or others
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value, value // 2)
    elif isinstance(value, float):
        yield from (value / 2, value * 2) if value else (0.1,)
    elif value is None and schema.get("type") in ("integer", "number"):
        yield 1
    elif schema.get("type") == "string" and "pattern" in schema:  # the name of a commit
        yield from (digit * 40 for digit in "01" if digit * 40 != value)
    elif schema.get("type") == "string":
        yield f"{value or ''}x"
