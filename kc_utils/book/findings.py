"""Findings that a person writes: Markdown with bound numbers, and a guard of the verdicts.

A text in ``book/findings`` begins with YAML that says what it states about which claim::

    ---
    claims:
      sooner: {tiny: "beyond the margin, as claimed"}
    ---
    Facts came {{ sooner.tiny.effect | number(0) }} % sooner ({{ sooner.tiny | interval(1) }}).

Names are claims and models, with ``_`` for ``-``. A text whose verdicts differ from the ledger's
does not build.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pandas as pd
import yaml

from kc_utils import REFERENCE, ROOT, STORED_SWEEP
from kc_utils.book.stored_results import Reference
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run

FOLDER = "book/findings"
#: Names that are no claims: numbers of training runs, and the run on the authors' own people.
OTHERS = ("runs", "imported")
MINUS = "\N{MINUS SIGN}"
_HEAD = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_PLACE = re.compile(r"\{\{\s*(\w+)(?:\.(\w+))?(?:\.(\w+))?")


@cache
def stored_ledger(root: Path) -> pd.DataFrame | None:
    """The ledger of the sweep stored with a project, or None where none is stored."""
    from kc_utils.study.claims.ledger import ledger

    sweep = root / STORED_SWEEP
    return ledger(SweepTables.open(sweep)) if (sweep / PROVENANCE).is_file() else None


def render(path: Path, table: pd.DataFrame) -> str:
    """A text with its numbers filled in.

    Raises:
        KcError: an unknown or unmeasured name (with file, line and the nearest known name), a
            claim that the text does not state, or a verdict that the ledger does not have.
    """
    text = path.read_text(encoding="utf-8")
    head = _HEAD.match(text)
    stated: Mapping[str, Mapping[str, str]] = yaml.safe_load(head[1])["claims"] if head else {}
    body = text[head.end() :] if head else text
    names = _names(table)
    _guard(path, stated, names)
    first_line = 1 + (head[0].count("\n") if head else 0)
    _check_names(path, body, first_line, stated, names)
    # An unknown attribute fails as well: nothing is ever left out of a sentence.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters |= {"number": _number, "signed": _signed, "interval": _interval}
    try:
        return environment.from_string(body).render(names).strip()
    except (jinja2.UndefinedError, ValueError) as error:
        raise KcError(f"{path.name}: {error}.") from None


def boxed(chapter: str, source: str, root: Path, run: Run | None = None) -> str:
    """The first cell of a chapter with its findings behind the opening paragraph."""
    path = root / FOLDER / f"{chapter}.md"
    table = stored_ledger(root)
    if table is None or not path.is_file():
        return source
    title, opening, *rest = source.split("\n\n")
    frame = [":::{admonition} What was found", ":class: kc-claims", "", render(path, table), ":::"]
    return "\n\n".join([title, opening, "\n".join(frame), *_note(path, table, run), *rest])


def pages(root: Path, run: Run | None = None) -> dict[str, str]:
    """``findings.md``, the findings of the front page."""
    path = root / FOLDER / "front.md"
    table = stored_ledger(root)
    if table is None or not path.is_file():
        return {"findings.md": "No sweep is stored with this book.\n"}
    return {"findings.md": "\n\n".join([render(path, table), *_note(path, table, run)]) + "\n"}


def _note(path: Path, table: pd.DataFrame, run: Run | None) -> list[str]:
    """For the book of a run of another configuration: what this run shows of the same claims."""
    if run is None or not _differs(run) or not run.table_path("claims").is_file():
        return []
    head = _HEAD.match(path.read_text(encoding="utf-8"))
    stated = yaml.safe_load(head[1])["claims"] if head else {}
    own = run.table("claims").set_index("id")
    lines = ["| claim | reference sweep | this run |", "| --- | --- | --- |"]
    for row in table[table["id"].isin(list(stated))].to_dict("records"):
        if row["profile"] not in stated[row["id"]] or row["id"] not in own.index:
            continue
        here = own.loc[row["id"]]
        lines.append(
            f"| {row['claim']} ({row['profile']}; {row['unit']}) | {_told(row)} | "
            f"{'not measured' if math.isnan(here['effect']) else f'{here.effect:.1f}'} |"
        )
    words = "This was found in the reference sweep. This run has other settings; it shows:"
    return ["\n".join([":::{note}", words, "", *lines, ":::"])]


def _differs(run: Run) -> bool:
    """Whether a run has other settings than the profile that it is named after, seed aside."""
    plain = profiles.load(run.config.profile)
    return bool(set(profiles.changes(run.config, plain)) - {"seed"})


def _told(row: Mapping[str, Any]) -> str:
    if math.isnan(row["effect"]) or math.isnan(row["low"]):
        return row["verdict"]
    return f"{row['effect']:.1f} ({row['low']:.1f} to {row['high']:.1f})"


def _names(table: pd.DataFrame) -> dict[str, Any]:
    """What a text may name: claim -> model -> row, and counts of training runs."""
    found: dict[str, Any] = {}
    for row in table.to_dict("records"):
        claim = found.setdefault(_name(row["id"]), SimpleNamespace())
        setattr(claim, _name(row["profile"]), SimpleNamespace(**row))
    runs = {_name(p): int(part["n_seeds"].max()) for p, part in table.groupby("profile")}
    return found | {"runs": SimpleNamespace(**runs), "imported": SimpleNamespace(lead=_imported())}


@cache
def _imported() -> float:
    """The lead in time (%) of known people in the stored run on the authors' own people."""
    from kc_utils.study.claims.acquisition import lead, time_to

    table = Reference.open(ROOT / REFERENCE / "imported").table("accuracy_read")
    curves = table[table["band"] == "all"].groupby("kind")
    times = {kind: time_to(curve) for kind, curve in curves}
    return lead(times["K_rel"], times["K_compl"]).effect


def _name(text: str) -> str:
    return text.replace("-", "_")


def _guard(path: Path, stated: Mapping[str, Mapping[str, str]], names: dict[str, Any]) -> None:
    for claim, models in stated.items():
        for model, said in models.items():
            row = getattr(names.get(_name(claim)), _name(model), None)
            if row is None:
                raise KcError(f"{path.name}: the ledger has no claim {claim!r} of {model}.")
            found = row.verdict + (f", {row.direction}" if row.direction != "none" else "")
            if said != found:
                where = f"{path.name} says of {claim!r} in {model}"
                raise KcError(f"{where}: {said!r}; the ledger says {found!r}.")


def _check_names(
    path: Path, body: str, line: int, stated: Mapping[str, Mapping[str, str]], names: dict[str, Any]
) -> None:
    allowed = {_name(c): {_name(m) for m in models} for c, models in stated.items()}
    for number, text in enumerate(body.split("\n"), line):
        for claim, model, field in _PLACE.findall(text):
            where = f"{path.name}, line {number}"
            _known(claim, names, where)
            if claim not in OTHERS:
                if model not in allowed.get(claim, ()):
                    raise KcError(
                        f"{where}: the text does not state its verdict on {claim}.{model}."
                    )
                _known(field or "effect", vars(getattr(names[claim], model)), where)


def _known(name: str, names: Mapping[str, Any], where: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, cutoff=0.0)[0]
        raise KcError(f"{where}: nothing is called {name!r}; the nearest is {near!r}.")


def _number(value: float, places: int = 1) -> str:
    return f"{_finite(value):.{places}f}".replace("-", MINUS)


def _signed(value: float, places: int = 1) -> str:
    return f"{_finite(value):+.{places}f}".replace("-", MINUS)


def _interval(row: SimpleNamespace, places: int = 1) -> str:
    return f"{_number(row.low, places)} to {_number(row.high, places)}"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a number that was not measured stands in a sentence")
    return value
