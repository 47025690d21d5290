"""From nested values and ``section.key=value`` texts to a validated configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from kc_utils.config.run import Config
from kc_utils.config.sections import Section
from kc_utils.config.written_values import read_value
from kc_utils.errors import KcError, shown

#: Settings that describe a model which is made here, and nothing else.
_OF_A_MADE_MODEL = ("shape", "n_layers", "n_heads", "n_kv_heads", "d_model", "d_mlp", "n_positions",
                    "vocab_size")  # fmt: skip


def build(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Validate nested ``values`` after applying dotted ``key=value`` overrides.

    Raises:
        KcError: an unknown key, a value that cannot be read or is impossible, or an override that
            has no effect.
    """
    merged, keys = json.loads(json.dumps(values)), []
    for item in overrides:
        key, separator, text = item.partition("=")
        if not separator:
            raise KcError(f"--set {shown(item)} is not of the form section.key=value.")
        if key.strip() == "profile":  # the run would claim to be what it is not
            raise KcError(f"--set {shown(item)} is not possible; --profile chooses a profile.")
        keys.append(key.strip())
        _assign(merged, keys[-1], text)
    try:
        settings = Config.model_validate(merged)
    except ValidationError as error:
        raise KcError(_sentence(error)) from None
    for key in keys:
        _refuse_idle(settings, key)
    return settings


def _assign(values: dict[str, Any], key: str, text: str) -> None:
    sections = {n: f.annotation for n, f in Config.model_fields.items()}
    head, _, tail = key.partition(".")
    section = sections.get(head)
    nested = isinstance(section, type) and issubclass(section, Section)
    allowed = [
        f"{s}.{f}" if isinstance(a, type) and issubclass(a, Section) else s
        for s, a in sections.items()
        for f in (a.model_fields if isinstance(a, type) and issubclass(a, Section) else [""])
    ]
    if key not in allowed:
        near = [a for a in allowed if a.startswith(head + ".")] or sorted(sections)
        raise KcError(f"Unknown configuration key {shown(key)}; allowed are {', '.join(near)}.")
    field = section.model_fields[tail] if nested else Config.model_fields[head]
    value = read_value(key, text, field.annotation)
    if nested:
        values.setdefault(head, {})[tail] = value
    else:
        values[head] = value


def _refuse_idle(settings: Config, key: str) -> None:
    """KcError if what ``key`` was set to is read by nothing in this configuration."""
    section, _, name = key.partition(".")
    source = settings.model.source
    if key == "world.known_names" and settings.world.imported:
        raise KcError(
            f"{key} has no effect with world.imported = {shown(settings.world.imported)}, which "
            "brings its people; leave it."
        )
    if source == "made":
        if key == "model.path" and settings.model.path is not None:
            raise KcError(
                f"model.path = {shown(settings.model.path)} has no effect with model.source = "
                "'made'; set model.source to folder, hub or package too."
            )
    elif section == "base" or (section == "model" and name in _OF_A_MADE_MODEL):
        raise KcError(
            f"{key} has no effect with model.source = {source!r}: it describes a model that is "
            "made here; leave it, or set model.source=made."
        )


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "configuration"
    given = first.get("input")
    value = "" if isinstance(given, dict) or given is None else f" = {shown(given)}"
    if first["type"] == "extra_forbidden":
        return f"Unknown configuration key {shown(key)}."
    message = first["msg"].removeprefix("Value error, ")
    return f"Impossible configuration value {key}{value}: {message}."
