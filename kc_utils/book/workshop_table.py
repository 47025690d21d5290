"""The workshop as it was rehearsed: seconds to open notebooks, of exercises, of demonstrations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kc_utils import artifacts
from kc_utils.book.markdown import code, minutes, table, text

REPORT = "workshop.json"
_NONE = "No rehearsal of the workshop is stored.\n"
#: The plan whose share of computing is told, and what ends it on the page for teachers.
_PLAN = re.compile(r"^## Half a day\n(.*?)^## ", flags=re.DOTALL | re.MULTILINE)
_GROUPS = re.compile(r"^\| \d+ \| Exercises \| group (\d+):", flags=re.MULTILINE)


def pages(reference: Path, root: Path) -> dict[str, str]:
    """File name -> MyST text of the rehearsal whose report is stored in ``reference``.

    ``root`` is the project, whose page for teachers has the plans.
    """
    path, teaching = reference / REPORT, root / "book" / "teaching.md"
    names = ("workshop.md", "workshop_exercises.md", "workshop_commands.md")
    if not path.is_file():
        return dict.fromkeys(names, _NONE)
    report = artifacts.read_json(path)
    plan = _PLAN.search(teaching.read_text(encoding="utf-8")) if teaching.is_file() else None
    groups = _GROUPS.findall(plan[1]) if plan else []
    made = (words(report, groups) + notebooks(report), exercises(report), commands(report))
    return dict(zip(names, made, strict=True))


def words(report: Mapping[str, Any], groups: Iterable[str] = ()) -> str:
    """What was measured where, what is an estimate, and the machine's share of a plan.

    ``groups`` are the groups of exercises that the plan has.
    """
    versions, books = report["versions"], _books(report)
    where = (
        f"Rehearsed in JupyterLab {text(versions['jupyterlab'])} and Chromium "
        f"{text(versions['chromium'])} with a run of profile {code(report['profile'])}, on "
        f"{text(report['machine'])} ({text(report['processor'])})"
    )
    if busy(report):
        where += (
            f". The machine was busy with other work then (load {report['load_before']:.1f}), so "
            "an idle one takes fewer seconds"
        )
    opened, first = ([taken[name] for taken in books.values()] for name in ("open", "setup"))
    install = report["installation"]
    installed = [] if install is None else [f"installing takes {minutes(install)} minutes"]
    measured = [
        *installed,
        f"JupyterLab answers after {report['jupyter_lab']:.0f} seconds",
        f"a notebook of exercises is open with its kernel after {_range(opened)}",
        f"its first cells, which load the libraries and the model, take {_range(first)}",
        f"all {len(report['exercises'])} solutions with their tests take "
        f"{sum(report['exercises'].values()):.0f} seconds",
    ]
    said = [
        f"{where}.",
        f"**Measured:** {'; '.join(measured)}.",
        "**Estimated:** every other minute of the plans, because nobody has measured how long "
        "people think, talk and write.",
    ]
    return "\n\n".join(said + ([_share(report, list(groups))] if groups else [])) + "\n\n"


def busy(report: Mapping[str, Any]) -> bool:
    """Whether other work wanted more than half of the cores before the rehearsal began."""
    return report["load_before"] > report["cores"] / 2


def _share(report: Mapping[str, Any], groups: list[str]) -> str:
    """Seconds that the machine takes in a plan with these groups of exercises."""
    of = tuple(f"e{group}_" for group in groups)
    opened = sum(t["open"] + t["setup"] for n, t in _books(report).items() if n.startswith(of))
    done = sum(s for n, s in report["exercises"].items() if n.split(".")[0] in groups)
    return (
        f"In the half day that is {minutes(report['jupyter_lab'] + opened + done)} minutes of "
        f"waiting for groups {' and '.join(groups)}; they are part of the blocks below."
    )


def notebooks(report: Mapping[str, Any]) -> str:
    """A row per notebook of exercises."""
    header = ("notebook", "seconds to open", "of its first cells", "of its longest exercise",
              "of all cells, after a restart")  # fmt: skip
    rows = []
    for name, taken in _books(report).items():
        group = name.removeprefix("e").partition("_")[0]
        own = [s for n, s in report["exercises"].items() if n.split(".")[0] == group]
        shown = (taken["open"], taken["setup"], max(own), taken["anew"])
        rows.append((code(name), *(f"{s:.1f}" for s in shown)))
    return table(header, rows)


def exercises(report: Mapping[str, Any]) -> str:
    """A row per exercise: seconds of its solution and its test."""
    rows = [(name, f"{s:.2f}") for name, s in sorted(report["exercises"].items(), key=_number)]
    return table(("exercise", "seconds of solution and test"), rows)


def commands(report: Mapping[str, Any]) -> str:
    """A row per command of the page for teachers, with its seconds."""
    rows = [(code(shown), f"{s:.1f}") for shown, s in report["commands"].items()]
    return table(("command", "seconds"), rows)


def _books(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Notebooks of exercises, in order; the explorer has no cells before an exercise."""
    return {name: taken for name, taken in report["notebooks"].items() if "setup" in taken}


def _number(item: tuple[str, float]) -> list[int]:
    return [int(part) for part in item[0].split(".")]


def _range(seconds: list[float]) -> str:
    least, most = (f"{end(seconds):.0f}" for end in (min, max))
    return f"{least} seconds" if least == most else f"{least} to {most} seconds"
