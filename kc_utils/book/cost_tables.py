"""Generated tables of the page "Run it again": what a changed parameter costs, and whole runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kc_utils import artifacts
from kc_utils.book.markdown import code, minutes, peak_memory, table, text
from kc_utils.book.run_tables import study_and_experiments
from kc_utils.book.stored_results import stored_references
from kc_utils.config.overrides import value_of
from kc_utils.errors import KcError
from kc_utils.facts.study_folder import RECORD, Study
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run
from kc_utils.study import recompute
from kc_utils.study.stages import STAGES

_PER_CHECKPOINT = ("training", "attribution", "circuit", "unseen", "topology", "controls",
                   "components")  # fmt: skip
_PER_PAIR = ("attribution", "circuit", "controls")
#: Parts of a study of facts, as its record names them, in words.
_FACTS_PARTS = {
    "answers": "loading the model, asking it all facts, pairing them",
    "scores": "edge scores",
    "sizes": "circuits of every size",
    "transfer": "circuits on the facts of other relations and groups",
    "heads": "heads and their roles",
    "lens": "logit lens",
    "tables": "intervals, overlaps and figures",
}


@dataclass(frozen=True)
class Growth:
    """How a parameter's cost scales, in words, and the stages whose seconds are in proportion.

    ``halves`` says that a larger value is cheaper. Where the stored record of costs has a measured
    ratio for the parameter, it replaces twice as much.
    """

    words: str
    stages: tuple[str, ...] = ()
    halves: bool = False


#: The parameters that a reader is most likely to change. What they compute again, the seconds and
#: the memory are not here: they come from the keys of the stages and from the record of the run.
ROWS: dict[str, Growth] = {
    "seed": Growth("another draw of the same size"),
    "world.n_people": Growth(
        "in proportion to people: more biographies, more steps in an epoch", ("training",)
    ),
    "base.texts_per_person": Growth("in proportion: more base text", ("base",)),
    "base.passes": Growth("in proportion", ("base",)),
    "model.n_layers": Growth(
        "in proportion to layers in training; edges grow with their square, and with them the "
        "score files",
        ("base", *_PER_CHECKPOINT, "forgetting", "methods"),
    ),
    "training.epochs": Growth(
        "in proportion: an epoch is trained, and its checkpoint is measured, scored and evaluated",
        _PER_CHECKPOINT,
    ),
    "training.batch_size": Growth(
        "time stays, the same tokens go through in fewer steps; activations in memory are in "
        "proportion"
    ),
    "training.validation_people": Growth(
        "in proportion, in the accuracy of each checkpoint and of forgetting"
    ),
    "circuit.tasks": Growth(
        "in proportion to the number of relations: circuits for each",
        ("attribution", "circuit", "components"),
    ),
    "circuit.bands": Growth(
        "in proportion to the number of bands", (*_PER_PAIR, "components")
    ),
    "circuit.every": Growth(
        "in inverse proportion: with 2, every other checkpoint is left out",
        ("attribution", "circuit", "topology", "controls", "components"), halves=True,
    ),
    "circuit.n_pairs": Growth("in proportion to pairs, up to the people there are", _PER_PAIR),
    "circuit.method": Growth(
        "EAP and RelP need one step where EAP-IG needs `circuit.steps`; see "
        "[every edge at once](../notebooks/background_5_every_edge.ipynb)"
    ),
    "circuit.steps": Growth(
        "in proportion, beside the two plain passes: a forward and a backward pass for each step",
        ("attribution", "controls"),
    ),
    "circuit.top_n": Growth("hardly: a circuit of any size is one run of the model"),
    "circuit.random_circuits": Growth("in proportion to circuits that are evaluated"),
    "circuit.hit_k": Growth("not at all"),
    "forgetting.replay_ratios": Growth(
        "in proportion to the number of ratios: a training run for each", ("forgetting",)
    ),
    "forgetting.steps": Growth("in proportion", ("forgetting",)),
    "analysis.bootstrap": Growth("in proportion, but resampling is quick"),
    "analysis.method_pairs": Growth(
        "in proportion: exact patching runs the model once per edge and pair", ("methods",)
    ),
    "controls.resamples": Growth("in proportion to the noise floor, a part of the controls"),
    "controls.unseen_people": Growth("in proportion to those asked, beside the known people"),
}  # fmt: skip


def pages(run: Run, reference: Path) -> dict[str, str]:
    """File name -> MyST text; ``reference`` is the folder of results stored with the book."""
    return {
        "costs.md": costs(run, _growth(reference / "costs.json")),
        "whole_runs.md": whole_runs(run, reference),
        "facts_costs.md": facts_costs(reference / "capitals"),
    }


def costs(run: Run, measured: Mapping[str, float]) -> str:
    """A row per parameter of :data:`ROWS`: what is computed again, what it took, how it grows.

    ``measured`` maps a parameter to the ratio of times with twice its value.
    """
    header = ("parameter", "this run", "computed again from", "minutes", "share", "peak memory",
              "twice the value", "how the cost grows")  # fmt: skip
    study = [stage.name for stage in STAGES.study]
    total = seconds_of_steps(run, study)
    rows = []
    given = run.config.base.given is not None
    for name, growth in ROWS.items():
        if given and name.startswith("base."):  # says how a base model is made
            continue
        try:
            stages = [s for s in recompute.stages_of(run.config, name) if s in study]
        except KcError:  # this run allows no other value
            continue
        spent = seconds_of_steps(run, stages)
        share = f"{spent / total:.0%}" if total else "not recorded"
        rows.append(
            (f"`{name}`", _value(run, name), f"`{stages[0]}`" if stages else "nothing",
             minutes(spent), share, peak_memory(_steps(run, stages)),
             _twice(run, growth, measured.get(name)), growth.words)
        )  # fmt: skip
    return table(header, rows)


def whole_runs(run: Run, reference: Path) -> str:
    """Minutes of whole runs: this one, the stored seeds of the sweep, the stored real model."""
    header = ("profile", "run", "minutes of the study", "of the experiments", "longest stage",
              "machine")  # fmt: skip

    def row(profile: str, which: str, seconds: Mapping[str, float], machine: str) -> tuple:
        groups = study_and_experiments(
            seconds, lambda found: minutes(sum(found)) if found else "not computed"
        )
        longest = max(seconds, key=lambda name: seconds[name])
        return (code(profile), which, *groups, code(longest), text(machine))

    here = {n: s["seconds"] for n, s in run.record["stages"].items()}
    rows = []
    if here:
        rows.append(row(run.config.profile, "this one", here, run.record["provenance"]["machine"]))
    sweep = reference / "sweep"
    if (sweep / PROVENANCE).is_file():
        rows += [
            row(r["profile"], f"seed {text(r['seed'])} of the sweep", r["seconds"], r["machine"])
            for r in SweepTables.open(sweep).record["runs"]
        ]
    for path in sorted(reference.glob("costs-*.json")):
        made = artifacts.read_json(path)
        took = {name: stage["seconds"] for name, stage in made["stages"].items()}
        rows.append(row(made["profile"], "stored", took, made["machine"]))
    for stored in stored_references(reference):
        made = stored.record
        if set(made["seconds"]) >= {"training", "claims"}:  # a whole run, not one stage of it
            which = f"stored: {stored.path.name}"
            rows.append(row(made["config"]["profile"], which, made["seconds"], made["machine"]))
    return table(header, rows)


def facts_costs(folder: Path) -> str:
    """What the stored example of a study of facts took: its size in a sentence, a row per part."""
    if not (folder / RECORD).is_file():
        return "No study of facts is stored.\n"
    study = Study.open(folder)
    settings, cost = study.record["of"]["settings"], study.record["cost"]
    facts, graph = study.table("facts"), study.table("graph").iloc[0]
    words = (
        f"The example has {len(facts)} facts in {facts['relation'].nunique()} relations, up to "
        f"{settings['pairs']} pairs, {len(settings['shares'])} sizes and {settings['steps']} "
        f"steps of EAP-IG, and a model of {graph['n_layers']} layers and {graph['n_edges']:,} "
        f"edges. It took {minutes(cost['cpu_seconds'])} minutes of one processor core and "
        f"{cost['peak_memory_mib'] / 1024:.1f} GiB of memory:\n\n"
    )
    rows = [
        (what, minutes(cost["parts"][part]), f"{cost['parts'][part] / cost['cpu_seconds']:.0%}")
        for part, what in _FACTS_PARTS.items()
        if part in cost["parts"]
    ]
    return words + table(("part", "processor minutes", "share"), rows)


def _steps(run: Run, stages: list[str]) -> list[Mapping[str, Any]]:
    """Records of the stages, and of the notebooks that are executed again with them."""
    record = run.record
    books = recompute.notebooks_of(stages)
    return [
        *(record["stages"][name] for name in stages if name in record["stages"]),
        *(record["notebooks"][name] for name in books if name in record["notebooks"]),
    ]


def seconds_of_steps(run: Run, stages: list[str]) -> float:
    """Recorded seconds of the stages and of the notebooks that are executed again with them."""
    return float(sum(step["seconds"] for step in _steps(run, stages)))


def _twice(run: Run, growth: Growth, ratio: float | None) -> str:
    recorded = run.record["stages"]
    spent = sum(recorded[name]["seconds"] for name in growth.stages if name in recorded)
    words = f"× {ratio:.2f}, measured" if ratio else ""
    if not spent:
        return words
    more = spent * ((ratio or 2) - 1)
    added = f"−{minutes(spent / 2)} min" if growth.halves else f"{more / 60:+.1f} min"
    return f"{added} ({words})" if words else added


def _growth(path: Path) -> Mapping[str, float]:
    """The ratios that ``kc doctor --keep`` has measured."""
    return artifacts.read_json(path)["growth"] if path.is_file() else {}


def _value(run: Run, name: str) -> str:
    value = value_of(run.config, name)
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
    return code(shown)
