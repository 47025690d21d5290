"""Lines of the paper's files: what each has to hold, and the sentence where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from kc_utils.errors import KcError, shown

Text = Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$")]
Count = Annotated[int, Field(ge=1)]


class Entity(BaseModel):
    """A line of ``new.jsonl``, ``revised.jsonl`` or ``test.jsonl``: a person."""

    full_name: Text
    birth_date: Text
    birth_month: Text
    birth_year: Text
    birthday: Text
    city: Text
    major: Text
    university: Text
    company: Text
    frequency: Count
    type: Literal["new", "revised"]


class Biography(BaseModel):
    """A line of ``train.jsonl``, as far as it is read: of whom, and the text."""

    full_name: Text
    text: Text


class Pair(BaseModel):
    """A line of a circuit file, as far as it is read; labels may start with a space."""

    clean_subject: Text
    clean_label: Text
    corrupted_subject: Text
    corrupted_label: Text


_Line = TypeVar("_Line", bound=BaseModel)


class Place(NamedTuple):
    """A file of the clone, and a line of it."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def json_lines(path: Path, name: str) -> Iterator[tuple[Place, Any]]:
    """Every line of a file as JSON, with its place; empty lines are skipped.

    Raises:
        KcError: the file cannot be read, or a line is no JSON.
    """
    for number, line in enumerate(_read(path, name).split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(name, number)
        try:
            yield place, json.loads(line)
        except (ValueError, RecursionError):
            raise KcError(
                f"{place}: {shown(line)} is no JSON; allowed is one JSON value per line."
            ) from None


def parse(model: type[_Line], value: Any, place: Place) -> _Line:
    """A line of the kind ``model``; other fields are ignored.

    Raises:
        KcError: a field is missing or impossible.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    fields = ", ".join(model.model_fields)
    if not first["loc"]:
        raise KcError(f"{place}: {shown(value)} is no object; allowed is one with {fields}.")
    field = str(first["loc"][0])
    if first["type"] == "missing":
        raise KcError(f"{place}: the field {field!r} is missing; needed are {fields}.")
    allowed = {"frequency": "a whole number from 1 on", "type": "'new' or 'revised'"}
    raise KcError(
        f"{place}: {field} = {shown(first['input'])} is not possible; allowed is "
        f"{allowed.get(field, 'a text of one line')}."
    )


def texts(path: Path, name: str) -> tuple[str, ...]:
    """A JSON list of texts, each once.

    Raises:
        KcError: the file cannot be read, or holds something else.
    """
    try:
        values = json.loads(_read(path, name))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not values:
        raise KcError(f"{name} is no JSON list of texts; allowed is one with at least one text.")
    wrong = next((v for v in values if not isinstance(v, str) or not v.strip()), None)
    if wrong is not None:
        raise KcError(f"{name} holds {shown(wrong)}; allowed are texts that are not empty.")
    return tuple(dict.fromkeys(values))


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KcError(f"{name} is missing in the clone {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KcError(f"{name} cannot be read: {str(error).rstrip('.')}.") from None
