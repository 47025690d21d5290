"""Lines of the paper's files: what each has to hold, and the sentence where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from kc_utils.errors import KcError, shown

Text = Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$")]
Count = Annotated[int, Field(ge=1)]


class Entity(BaseModel):
    """A line of ``new.jsonl``, ``revised.jsonl`` or ``test.jsonl``: a person."""

    full_name: Text
    birthday: Text
    city: Text
    major: Text
    university: Text
    company: Text
    frequency: Count


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
        if line.strip():
            place = Place(name, number)
            yield place, _json(line, f"{place}: {shown(line)}")


def parse(model: type[_Line], value: Any, place: Place) -> _Line:
    """A line of the kind ``model``; other fields are ignored.

    Raises:
        KcError: a field is missing or impossible.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "the line"
    raise KcError(
        f"{place}: {field} = {shown(first['input'])} is not possible ({first['msg']}); allowed is "
        f"an object with {', '.join(model.model_fields)}, each a text of one line."
    )


def texts(path: Path, name: str) -> list[str]:
    """A JSON list of texts.

    Raises:
        KcError: the file cannot be read, or holds something else.
    """
    values = _json(_read(path, name), name)
    if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
        raise KcError(f"{name} holds {shown(values)}; allowed is a JSON list of texts.")
    return values


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise KcError(f"{what} is no JSON; allowed is a JSON value.") from None


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise KcError(f"{name} cannot be read in the clone: {error}.") from None
