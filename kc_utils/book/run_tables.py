"""Generated tables of the page "This run": what it took, on what machine, and the stored runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kc_utils.book.markdown import code, mebibytes, peak_memory, table, text
from kc_utils.book.stored_results import stored_references
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES


def pages(run: Run, reference: Path) -> dict[str, str]:
    """File name -> MyST text; ``reference`` is the folder of results stored with the book."""
    return {
        "run_summary.md": summary(run),
        "run_seconds.md": seconds_of_stages(run),
        "run_versions.md": versions(run),
        "run_notebooks.md": notebooks(run),
        "sweep_runs.md": sweep_runs(reference / "sweep"),
        "stored_runs.md": stored_runs(reference),
    }


def summary(run: Run) -> str:
    """Profile, seed, model and machine of the run, and what it took in all."""
    made, c = run.record["provenance"], run.config
    model = f"made here, {c.model.shape} shape" if c.model.source == "made" else c.model.source
    memory = f", {made['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in made else ""
    steps = {name: s for name, s in run.seconds().items() if name != "book"}
    rows = [
        ("profile", code(c.profile)),
        ("seed", code(c.seed)),
        ("model", model if c.model.path is None else f"{model}: {code(Path(c.model.path).name)}"),
        ("machine", text(made["machine"]) + memory),
        ("processor", text(made.get("processor", "not recorded"))),
        ("device", text(made.get("device", "cpu"))),
        ("Python", text(made["python"])),
        ("commit", code(made["git"]) if made["git"] else "not recorded"),
        ("seconds of all steps", f"{sum(steps.values()):,.0f}"),
    ]
    return table(("what", "value"), rows)


def seconds_of_stages(run: Run) -> str:
    """Seconds, memory and size per stage of the run, and of steps that are no notebook."""
    stages = run.record["stages"]
    steps = {name: s for name, s in run.seconds().items() if name != "book"}
    steps = {name: s for name, s in steps.items() if not name.startswith("notebook ")}
    total = sum(steps.values())
    rows = []
    for name, seconds in steps.items():
        record = stages.get(name, {})
        wrote = [run.path / file for file in record.get("wrote", {})]
        size = sum(path.stat().st_size for path in wrote if path.is_file())
        files = f"{len(wrote)} files, {mebibytes(size, 1)}" if wrote else ""
        share = f"{seconds / total:.0%}" if total else ""
        rows.append((code(name), f"{seconds:.1f}", share, peak_memory([record]), files))
    rows.append(("**total**", f"**{total:.1f}**", "", "", ""))
    return table(("stage", "seconds", "share", "peak memory", "wrote"), rows)


def versions(run: Run) -> str:
    """Versions of the packages that the numbers depend on."""
    found = sorted(run.record["provenance"]["versions"].items())
    return table(("package", "version"), [(text(name), text(which)) for name, which in found])


def notebooks(run: Run) -> str:
    """Seconds per executed notebook, of its longest cell, and the most memory it held."""
    rows = [
        (code(name), f"{s['seconds']:.1f}", _longest_cell(run.path, name), peak_memory([s]))
        for name, s in run.record["notebooks"].items()
    ]
    if not rows:
        return "No notebook of this run has been executed.\n"
    total = sum(step["seconds"] for step in run.record["notebooks"].values())
    rows.append(("**sum**", f"**{total:.1f}**", "", ""))
    return table(("notebook", "seconds", "longest cell, seconds", "peak memory"), rows)


def _longest_cell(folder: Path, name: str) -> str:
    path = folder / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        return ""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    taken = [(cell["metadata"].get("papermill") or {}).get("duration") for cell in cells]
    return f"{max((s for s in taken if s), default=0):.1f}"


def sweep_runs(folder: Path) -> str:
    """The runs of the stored sweep: profile, seed, seconds of both groups, commit, machine."""
    if not (folder / PROVENANCE).is_file():
        return "The project holds no stored sweep.\n"
    rows = []
    for run in SweepTables.open(folder).record["runs"]:
        groups = study_and_experiments(
            run["seconds"], lambda found: f"{sum(found):,.0f}" if found else "not computed"
        )
        rows.append(
            (code(run["profile"]), code(run["seed"]), *groups,
             code(run["git"] or "not recorded"), text(run["machine"]), text(run["device"]),
             text(run["versions"]["torch"]))
        )  # fmt: skip
    header = ("profile", "seed", "seconds of the study", "of the experiments", "commit", "machine",
              "device", "torch")  # fmt: skip
    return table(header, rows)


def study_and_experiments(
    seconds: Mapping[str, float], words: Callable[[list[float]], str]
) -> tuple[str, str]:
    """What ``words`` makes of the seconds of the study's stages, and of those of experiments."""
    study = {stage.name for stage in STAGES.study}
    of_study, others = (
        [s for name, s in seconds.items() if (name in study) is wanted] for wanted in (True, False)
    )
    return words(of_study), words(others)


def stored_runs(reference: Path) -> str:
    """The other results that are kept with the book: what, seconds, commit, machine, date."""
    rows = []
    for stored in stored_references(reference):
        made = stored.record
        config = made["config"]
        rows.append(
            (code(stored.path.name), code(config["profile"]), code(config["seed"]),
             f"{sum(made['seconds'].values()):,.0f}", code(made["git"] or "not recorded"),
             text(made["machine"]), text(made["date"]))
        )  # fmt: skip
    if not rows:
        return "The project holds no other stored results.\n"
    return table(("what", "profile", "seed", "seconds", "commit", "machine", "date"), rows)
