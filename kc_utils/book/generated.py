"""Parts of the book that are generated: tables that would go stale if they were typed by hand.

Each function returns MyST Markdown; prose pages include it from ``book/generated/``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kc_utils import config
from kc_utils.book import contents, front_page
from kc_utils.book.exercises import MOST_DOTS, all_exercises
from kc_utils.config import Config, profiles
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run

_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_MIB = 2**20
_SWEEP = "book/reference/sweep"


def pages(run: Run, root: Path) -> dict[str, str]:
    """Every generated part of the book of ``run``: file name -> MyST text, or SVG for a figure.

    What was found is there only if the project has the tables of a sweep.
    """
    sweep = root / _SWEEP
    found = front_page.pages(SweepTables.open(sweep)) if (sweep / PROVENANCE).is_file() else {}
    return (
        found
        | contents.pages(root)
        | {
            "exercises.md": exercise_table(root),
            "parameters.md": parameters(run.config),
            "profiles.md": profile_table(),
            "rooms.md": rooms(root / "kc_utils"),
            "run_summary.md": run_summary(run),
            "run_seconds.md": run_seconds(run),
            "run_versions.md": run_versions(run),
        }
    )


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; cells that are not text are shown as code."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def parameters(settings: Config) -> str:
    """A table per section of the configuration: key, default, value in this run, meaning."""
    default = Config().model_dump(mode="json")
    here = settings.model_dump(mode="json")
    fields = Config.model_fields
    sections = {
        name: field.annotation
        for name, field in fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, config.Section)
    }
    plain = [name for name in fields if name not in sections]
    schema = Config.model_json_schema()["properties"]
    header = ("key", "default", "this run", "meaning; what is allowed")
    top = [_parameter(n, schema[n], default[n], here[n]) for n in plain]
    text = ["### The run as a whole\n", table(header, top)]
    for name, section in sections.items():
        schema = section.model_json_schema()["properties"]
        rows = [
            _parameter(f"{name}.{key}", schema[key], default[name][key], here[name][key])
            for key in section.model_fields
        ]
        text += [f"### `{name}`\n", as_markdown(section.__doc__) + "\n", table(header, rows)]
    return "\n".join(text)


def profile_table() -> str:
    """What each profile is for, and the numbers that matter most."""
    header = ("profile", "what", "machine", "people", "epochs", "rate", "top-n", "pairs")
    rows = []
    for name, profile in profiles.PROFILES.items():
        c = profiles.load(name)
        numbers = (c.world.n_people, c.training.epochs, c.training.learning_rate)
        numbers += (c.circuit.top_n, c.circuit.n_pairs)
        shown = (f"{n:,}" if isinstance(n, int) else f"{n:g}" for n in numbers)
        rows.append((f"`{name}`", profile.summary, profile.machine, *shown))
    return table(header, rows)


def exercise_table(root: Path) -> str:
    """Every exercise with its chapter, difficulty and minutes; links are from ``book/``."""
    header = ("exercise", "title", "chapter", "difficulty", "minutes")
    rows = []
    for e in all_exercises(root):
        dots = f'<span aria-hidden="true">{e.dots}</span>'
        difficulty = f"{dots}&nbsp;{e.difficulty}&nbsp;of&nbsp;{MOST_DOTS}"
        title = f"{{ref}}`{e.title} <{e.anchor}>`"
        chapter = f"[{int(e.chapter.partition('_')[0])}](../notebooks/{e.chapter}.ipynb)"
        rows.append((e.number, title, chapter, difficulty, str(e.minutes)))
    return table(header, rows) if rows else "There are no exercises.\n"


def rooms(package: Path) -> str:
    """The modules of the package and the first sentence of their docstrings."""
    rows = []
    for path in sorted(package.rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if docstring and path.name != "__main__.py":
            name = path.relative_to(package.parent).as_posix().removesuffix("/__init__.py")
            rows.append((f"`{name}`", as_markdown(docstring.split("\n\n")[0])))
    return table(("file", "what it is"), rows)


def run_summary(run: Run) -> str:
    """Profile, seed, model and machine of the run, and what it took in all."""
    made, c = run.record["provenance"], run.config
    model = f"made here, {c.model.shape} shape" if c.model.source == "made" else c.model.source
    memory = f", {made['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in made else ""
    steps = {name: s for name, s in run.seconds().items() if name != "book"}
    rows = [
        ("profile", f"`{c.profile}`"),
        ("seed", f"`{c.seed}`"),
        ("model", model if c.model.path is None else f"{model}: `{Path(c.model.path).name}`"),
        ("machine", made["machine"] + memory),
        ("processor", made.get("processor", "not recorded")),
        ("device", str(made.get("device", "cpu"))),
        ("Python", made["python"]),
        ("commit", f"`{made['git']}`" if made["git"] else "not recorded"),
        ("seconds of all steps", f"{sum(steps.values()):,.0f}"),
    ]
    return table(("what", "value"), rows)


def run_seconds(run: Run) -> str:
    """Seconds, memory and size per stage of the run, and of steps that are no notebook."""
    stages = run.record["stages"]
    steps = {name: s for name, s in run.seconds().items() if name != "book"}
    steps = {name: s for name, s in steps.items() if not name.startswith("notebook ")}
    total = sum(steps.values())
    rows = []
    for name, seconds in steps.items():
        record = stages.get(name, {})
        wrote = [run.path / file for file in record.get("wrote", {})]
        size = sum(path.stat().st_size for path in wrote if path.is_file()) / _MIB
        files = f"{len(wrote)} files, {size:.1f} MiB" if wrote else ""
        memory = (
            f"{record['peak_bytes'] / _MIB:,.0f} MiB" if "peak_bytes" in record else "not recorded"
        )
        share = f"{seconds / total:.0%}" if total else ""
        rows.append((f"`{name}`", f"{seconds:.1f}", share, memory, files))
    rows.append(("**total**", f"**{total:.1f}**", "", "", ""))
    return table(("stage", "seconds", "share", "peak memory", "wrote"), rows)


def run_versions(run: Run) -> str:
    """Versions of the packages that the numbers depend on."""
    return table(("package", "version"), sorted(run.record["provenance"]["versions"].items()))


def _parameter(key: str, schema: dict[str, Any], default: Any, here: Any) -> tuple[Any, ...]:
    words = key.rpartition(".")[2].replace("_", " ")
    changed = f"**`{_value(here)}`**" if here != default else f"`{_value(here)}`"
    meaning = f"{schema.get('description', words)}; *{allowed(schema)}*"
    return f"`{key}`", f"`{_value(default)}`", changed, meaning


def allowed(schema: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words."""
    if options := schema.get("anyOf"):
        return " or ".join(allowed(option) for option in options)
    if values := schema.get("enum"):
        return ", ".join(f"{_value(value)}" for value in values)
    if "const" in schema:
        return _value(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return "list of " + allowed(schema["items"])
    names = {"number": "number", "integer": "whole number", "boolean": "true, false",
             "string": "text", "null": "null"}  # fmt: skip
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return " ".join([names.get(kind, kind), ", ".join(limits)]).strip()


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else f"`{_value(value)}`"
    return " ".join(text.replace("|", "\\|").split())


def as_markdown(docstring: str | None) -> str:
    """A docstring as Markdown: roles and double backquotes become code."""
    text = _ROLE.sub(lambda m: f"`{m[1].rpartition('.')[2]}`", docstring or "")
    return " ".join(text.replace("``", "`").split())
