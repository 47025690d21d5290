"""The facts file: one JSON object per line, checked line by line before anything else happens."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from kc_utils.errors import KcError, shown

SUBJECT = "{subject}"
MOST_REPORTED = 20  # bad lines that one error names

MOST_OF_A_NAME, MOST_OF_A_TEXT, MOST_OF_A_PROMPT = 100, 1000, 100_000  # characters
#: Signs that no name holds and that no page can show: controls, halves of signs, ends of lines.
UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))

Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_OF_A_NAME)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_OF_A_TEXT)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MOST_OF_A_PROMPT)]


class Line(BaseModel):
    """One line of the file. ``prompt`` may hold ``{subject}``, or come from ``--template``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    relation: Name
    subject: Text
    answer: Text
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Fact:
    """A question and its answer.

    ``number``: line in the file, from 1. ``span``: characters of the subject in ``prompt``, half
    open. ``form``: the prompt with ``{subject}`` instead of the subject.
    """

    number: int
    relation: str
    subject: str
    prompt: str
    answer: str
    span: tuple[int, int]

    @property
    def form(self) -> str:
        return self.prompt[: self.span[0]] + SUBJECT + self.prompt[self.span[1] :]


class _BadLine(Exception):
    """Why a line is not a fact."""


def read_facts(path: Path, templates: Mapping[str, str] | None = None) -> list[Fact]:
    """Every fact of the file, in order. Blank lines are skipped.

    ``templates``: a prompt with ``{subject}`` per relation, for lines without a prompt.

    Raises:
        KcError: no such file, no fact in it, a template without ``{subject}`` or of a relation
            that is not in the file, or bad lines: the first 20 of them are named with their numbers
            and reasons.
    """
    templates = templates or {}
    for relation, template in templates.items():
        if reason := _template_problem(template):
            raise KcError(f"The template {shown(template)} of relation {shown(relation)} {reason}.")
    if not path.is_file():
        raise KcError(f"There is no facts file {str(path)!r}.")
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    seen: dict[tuple[str, str], Fact] = {}

    def read(number: int) -> Fact | None:
        text = _decoded(raw[number - 1]).strip()
        return _checked(number, text, templates, seen) if text else None

    facts = collect(path, range(1, len(raw) + 1), read)
    if not facts:
        raise KcError(f"{str(path)!r} holds no fact; each line is a JSON object like {EXAMPLE}.")
    relations = list(dict.fromkeys(fact.relation for fact in facts))
    if other := [relation for relation in templates if relation not in relations]:
        raise KcError(
            f"The template of relation {shown(other[0])} is for no line of {str(path)!r}, whose "
            f"relations are {', '.join(map(shown, relations[:20]))}."
        )
    return facts


EXAMPLE = (
    '{"relation": "capital", "subject": "France", "prompt": "The capital of France is", '
    '"answer": "Paris"}'
)


def collect(path: Path, numbers: Iterable[int], read: Callable[[int], Fact | None]) -> list[Fact]:
    """``read`` every line; one KcError for all that are bad."""
    facts, bad = [], []
    for number in numbers:
        try:
            if fact := read(number):
                facts.append(fact)
        except _BadLine as error:
            bad.append((number, str(error)))
    refuse(path, bad)
    return facts


def refuse(path: Path, bad: list[tuple[int, str]]) -> None:
    """KcError that names bad lines and reasons, a line each; nothing happens without any."""
    if not bad:
        return
    named = [f"  line {number}: {reason}" for number, reason in bad[:MOST_REPORTED]]
    if len(bad) > MOST_REPORTED:
        named.append(f"  and {len(bad) - MOST_REPORTED} more")
    count = "1 bad line" if len(bad) == 1 else f"{len(bad)} bad lines"
    raise KcError("\n".join([f"{str(path)!r} has {count}:", *named]))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _BadLine(f"not UTF-8 (byte {error.start + 1})") from None


def _checked(
    number: int,
    text: str,
    templates: Mapping[str, str],
    seen: dict[tuple[str, str], Fact],
) -> Fact:
    line = _parsed(text)
    for name in ("relation", "subject", "answer"):
        value = getattr(line, name)
        if value != value.strip():
            raise _BadLine(f"{name} {shown(value)} begins or ends with a space")
    for name, value in line:
        allowed = "" if name == "relation" else "\n\r\t"
        if bad := _unprintable(value or "", allowed):
            raise _BadLine(f"{name} {shown(value)} holds {bad!r}, which cannot be shown")
    fact = _with_prompt(number, line, templates)
    first = seen.setdefault((fact.relation, fact.prompt), fact)
    if first is not fact:
        other = (
            "" if first.answer == fact.answer else f" with another answer, {shown(first.answer)}"
        )
        raise _BadLine(f"the same prompt as in line {first.number}{other}")
    return fact


def _unprintable(text: str, allowed: str) -> str | None:
    """The first sign that cannot be shown, beside the ``allowed`` ones."""
    if text.isprintable():
        return None
    signs = (c for c in text if c not in allowed and unicodedata.category(c) in UNPRINTABLE)
    return next(signs, None)


def _parsed(text: str) -> Line:
    try:
        value = json.loads(text)
    except RecursionError:
        raise _BadLine("not JSON of one object, but lists inside of lists without end") from None
    except ValueError as error:
        raise _BadLine(
            f"not JSON ({str(error).replace('line 1 column', 'at character')})"
        ) from None
    if not isinstance(value, dict):
        raise _BadLine(f"not a JSON object but {type(value).__name__} (one object per line)")
    try:
        return Line.model_validate(value)
    except ValidationError as error:
        raise _BadLine("; ".join(_words(e) for e in error.errors())) from None


def _words(error) -> str:
    key = ".".join(str(part) for part in error["loc"])
    kind = error["type"]
    if kind == "missing":
        return f"the key {key!r} is missing"
    if kind == "extra_forbidden":
        return f"unknown key {shown(key)}; allowed are {', '.join(Line.model_fields)}"
    if kind == "string_too_short":
        return f"{key} is empty"
    if kind == "string_too_long":
        most = error["ctx"]["max_length"]
        return f"{key} has {len(error['input'])} characters; at most {most} are allowed"
    return f"{key} is {shown(error['input'])} and not a text"


def _with_prompt(number: int, line: Line, templates: Mapping[str, str]) -> Fact:
    prompt = line.prompt or templates.get(line.relation)
    if prompt is None:
        raise _BadLine(
            f"the key 'prompt' is missing, and relation {shown(line.relation)} has no template"
        )
    mark = SUBJECT if SUBJECT in prompt else line.subject
    times = prompt.count(mark)
    if times == 0:
        raise _BadLine(
            f"the prompt {shown(prompt)} does not contain the subject {shown(line.subject)}"
        )
    if times > 1:
        hint = "" if mark == SUBJECT else f"; write {SUBJECT} once, where it is asked about"
        raise _BadLine(f"the prompt {shown(prompt)} contains {shown(mark)} {times} times{hint}")
    if prompt != prompt.rstrip():
        raise _BadLine(
            f"the prompt {shown(prompt)} ends with a space; one is put before the answer anyway"
        )
    start = prompt.index(mark)
    span = (start, start + len(line.subject))
    filled = prompt[:start] + line.subject + prompt[start + len(mark) :]
    return Fact(number, line.relation, line.subject, filled, line.answer, span)


def _template_problem(template: str) -> str | None:
    if template.count(SUBJECT) != 1:
        return f"contains {SUBJECT} {template.count(SUBJECT)} times, not once"
    if bad := _unprintable(template, "\n\r\t"):
        return f"holds {bad!r}, which cannot be shown"
    return "ends with a space" if template != template.rstrip() else None
