"""The page of all parameters: type, range, default, value of this run, and what a change costs.

Rows come from the configuration's classes and from the notebooks' cells of parameters, costs from
the keys of the stages and the record of the run. A fold per section keeps the page short;
``book/_static/parameters.js`` adds a box that filters the rows.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kc_utils import config
from kc_utils.book.markdown import as_markdown, code, table, written
from kc_utils.config import Config
from kc_utils.config.sections import Section
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study import recompute
from kc_utils.study.stages import STAGES

HEADER = ("parameter", "what it is", "type and range", "default", "what a change costs")
#: Checks in a notebook's second cell that say what is allowed, in words.
_CHECKED = {
    "choose_task": "an attribute that the run studies",
    "choose_band": "a band that the run studies, or None",
    "positive": "number > 0",
    "fraction": "number ≥ 0, ≤ 1",
}
_TYPES = {str: "text", int: "whole number", float: "number", bool: "true, false"}


def pages(run: Run, root: Path) -> dict[str, str]:
    """File name -> MyST text, for the parameters of a run and the notebooks of a project."""
    text = parameters(run.config, costs(run)) + _fold("Notebooks", *notebook_rows(root))
    return {"parameters.md": f"::::::{{div}} kc-parameters\n{text}::::::\n"}


def parameters(settings: Config, cost: Mapping[str, str]) -> str:
    """A folded table per section of the configuration; ``cost`` has words for a parameter."""
    default, here = (c.model_dump(mode="json") for c in (Config(), settings))
    schema = Config.model_json_schema()["properties"]
    top, folds = [], []
    for name, field in Config.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, Section)):
            top.append(_row(name, schema[name], default[name], here[name], cost))
            continue
        inner = section.model_json_schema()["properties"]
        rows = [
            _row(f"{name}.{key}", inner[key], default[name].get(key), here[name].get(key), cost)
            for key in section.model_fields
        ]
        folds.append(_fold(f"`{name}`", as_markdown(section.__doc__), rows))
    return "".join([_fold("The run as a whole", "", top), *folds])


def _fold(title: str, words: str, rows: list[tuple[str, ...]]) -> str:
    return f":::::{{dropdown}} {title}\n{words}\n\n{table(HEADER, rows)}:::::\n\n"


def _row(
    key: str, schema: dict[str, Any], default: Any, here: Any, cost: Mapping[str, str]
) -> tuple[str, ...]:
    words = key.rpartition(".")[2].replace("_", " ")
    value = code(written(default))
    if here != default:
        value += f"; this run **{code(written(here))}**"
    meaning = schema.get("description", words)
    return f"`{key}`", meaning, allowed(schema), value, cost.get(key, "")


def allowed(schema: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words."""
    if options := schema.get("anyOf"):
        return " or ".join(allowed(option) for option in options)
    if values := schema.get("enum"):
        return ", ".join(map(written, values))
    if "const" in schema:
        return written(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return "list of " + allowed(schema["items"])
    names = {"number": "number", "integer": "whole number", "boolean": "true, false",
             "string": "text", "null": "null"}  # fmt: skip
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {_limit(schema[name])}" for name, sign in signs.items() if name in schema]
    return " ".join([names.get(kind, kind), ", ".join(limits)]).strip()


def _limit(number: int | float) -> str:
    """A number that can be read: thousands apart, without digits that say nothing."""
    return f"{number:,}" if isinstance(number, int) and number < 10**9 else f"{number:g}"


def costs(run: Run) -> dict[str, str]:
    """Parameter -> the first stage that another value computes again."""
    study = {stage.name for stage in STAGES.study}
    found = {}
    for name in recompute.parameter_names():
        try:
            stages = recompute.stages_of(run.config, name)
        except KcError:  # this run allows no other value
            found[name] = "this run allows no other value"
            continue
        if not stages:
            words = "nothing is computed again"
        elif stages[0] not in study:
            words = f"from stage `{stages[0]}` on, in a sweep"
        else:
            words = f"from stage `{stages[0]}` on"
        found[name] = words
    return found


@dataclass(frozen=True)
class NotebookParameter:
    """An assignment in a cell of parameters: name, value, its comment, and what a check allows."""

    notebook: str
    name: str
    value: Any
    comment: str
    range: str


def notebook_rows(root: Path) -> tuple[str, list[tuple[str, ...]]]:
    """A sentence, and a row per name and default of the notebooks' parameters."""
    groups: dict[tuple[str, str], list[NotebookParameter]] = {}
    for found in notebook_parameters(root):
        groups.setdefault((found.name, repr(found.value)), []).append(found)
    rows = []
    for (name, _), members in sorted(groups.items()):
        comments = ", or ".join(dict.fromkeys(m.comment for m in members if m.comment))
        ranges = ", or ".join(dict.fromkeys(m.range for m in members))
        where = ", ".join(f"[{_short(m.notebook)}](../notebooks/{m.notebook}.ipynb)"
                          for m in members)  # fmt: skip
        value = written(members[0].value) if members[0].value is not None else "None"
        rows.append((f"`{name}`", comments or name.replace("_", " "), ranges, code(value), where))
    words = (
        "Given to papermill with `-p`, or edited in the notebook. The last column lists the "
        "notebooks; each takes as long as [on the page of this run](run_info.md)."
    )
    return words, rows


def notebook_parameters(root: Path) -> Iterator[NotebookParameter]:
    """Every parameter of every notebook of a project."""
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [("".join(c["source"]), c["metadata"].get("tags", ()))
                   for c in cells if c["cell_type"] == "code"]  # fmt: skip
        at = next((i for i, (_, tags) in enumerate(sources) if "parameters" in tags), None)
        if at is None:
            continue
        checks = _checks(sources[at + 1][0]) if at + 1 < len(sources) else {}
        lines = sources[at][0].splitlines()
        notebook = path.relative_to(root / "notebooks").with_suffix("").as_posix()
        for node in ast.parse(sources[at][0]).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id, ast.literal_eval(node.value)
                comment = lines[node.lineno - 1][node.value.end_col_offset :].lstrip(" #")
                kind = checks.get(name) or _TYPES.get(type(value), "None, or as described")
                yield NotebookParameter(notebook, name, value, comment, kind)


def _checks(source: str) -> dict[str, str]:
    """Parameter -> what the checks of :mod:`kc_utils.runs.parameters` allow, in words."""
    found = {}
    for call in (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)):
        check = getattr(call.func, "id", "")
        if check in ("choose_task", "choose_band") and isinstance(call.args[-1], ast.Name):
            found[call.args[-1].id] = _CHECKED[check]
        for keyword in call.keywords:
            if check == "one_of" and (values := _values(call.args[0])):
                found[str(keyword.arg)] = ", ".join(values)
            elif check == "whole_number" and isinstance(call.args[0], ast.Constant):
                found[str(keyword.arg)] = f"whole number ≥ {call.args[0].value}"
            elif check in _CHECKED:
                found[str(keyword.arg)] = _CHECKED[check]
    return found


def _values(node: ast.expr) -> tuple[str, ...]:
    """Allowed values written in the cell, or named there and known to the configuration."""
    if isinstance(node, ast.Name):
        return tuple(getattr(config, node.id, ()))
    try:
        return tuple(ast.literal_eval(node))
    except ValueError:
        return ()


def _short(notebook: str) -> str:
    """The number of a chapter, or the name of another notebook in words."""
    stem = notebook.rpartition("/")[2]
    return str(int(stem[:2])) if stem[:2].isdigit() else " ".join(stem.split("_")[:2])
