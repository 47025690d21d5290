"""Running the whole study: check the configuration, compute the stages, execute the notebooks.

Checks of a configuration that need no model weights, made before a run writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from kc_utils import ROOT
from kc_utils.circuits.graph import Graph
from kc_utils.config import Config, profiles
from kc_utils.errors import KcError, shown, typed_path
from kc_utils.models.folders import check_folder
from kc_utils.models.loading import check_revision
from kc_utils.models.packaged import check_package, package_file
from kc_utils.runs import notebooks as execute
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import shared_processes
from kc_utils.runs.lock import locked
from kc_utils.runs.whole_run import whole_run
from kc_utils.study import given_base, imported_world
from kc_utils.study.stages import STAGES, Stage
from kc_utils.study.stages.world import world_people

#: Notebooks that only read what is committed or computed by others, exercises among them.
EXTRA_NOTEBOOKS = (
    "background_1_residual_stream",
    "background_2_circuits",
    "background_3_patching",
    "background_4_integrated_gradients",
    "background_5_every_edge",
    "background_6_known_circuits",
    "09_real_model",
    "10_capitals",
    "13_relevance",
    "14_exposure",
    "15_strategies",
    "explorer",
    "exercises/e1_worlds_and_chance",
    "exercises/e2_residual_stream",
    "exercises/e3_patching",
    "exercises/e4_circuits",
    "exercises/e5_evolution",
    "exercises/e6_evidence",
)


@contextmanager
def prepared(
    profile: str,
    overrides: list[str],
    run_dir: Path | None,
    from_: str | None,
    to: str | None,
    start: str | None = None,
) -> Iterator[Run]:
    """Validate everything before a single file is written, then open or make the run.

    Nobody else can write into its folder inside the ``with`` block. ``start`` is the same command
    without ``from_``, for the message that there is no run yet.

    Raises:
        KcError: a mistake in what was asked for, or another process writes into the folder.
    """
    settings = profiles.load(profile, overrides)
    target = run_dir or Path("runs") / profile
    restart = stage_name(from_) if from_ is not None else None
    if to is not None:
        stage_name(to)
    check(settings)
    if restart:
        run = Run.open(target, start)
        missing = [n for n in STAGES.get(restart).needs if n not in run.record["stages"]]
        if missing:
            raise KcError(
                f"--from {from_}: run {run.name!r} does not hold stage {missing[0]!r} yet; start "
                "without --from."
            )
    draft = Run.draft(target, settings)
    if settings.model.source == "hub" and not STAGES.done(draft, "base"):
        check_revision(settings.model.path or "", settings.model.revision, local=False)
    if settings.model.source == "package" and not STAGES.done(draft, "base"):
        package_file(str(settings.model.path))  # is it installed?
    with locked(draft.path):
        run = Run.create(draft.path, settings)  # read again: somebody may just have written to it
        if restart:
            STAGES.forget(run, restart)
        yield run


def stage_name(text: str, stages: Iterable[Stage] = STAGES.study) -> str:
    """Accept a stage's name, its notebook's name or number, or 'discovery'-like short forms."""
    stages = tuple(stages)
    for stage in stages:
        if text == stage.name:
            return text
    for stage in stages:
        number, _, rest = stage.notebook.partition("_")
        if text in (stage.notebook, number, str(int(number)), rest):
            return stage.name
    raise KcError(f"Unknown stage {shown(text)}; allowed are {', '.join(s.name for s in stages)}.")


def run_study(
    run: Run,
    console: Console,
    *,
    to: str | None = None,
    notebooks: bool = True,
) -> None:
    """Compute the stages in order, then execute the notebooks whose stages are all there."""
    for stage in STAGES.study:  # before anything is written
        if STAGES.done(run, stage.name):
            run.verify_stage(stage.name)
    stages = _stages(to)
    with whole_run(steps_to_do(run, to=to, notebooks=notebooks), console) as whole:
        with shared_processes():
            for stage in stages:
                if STAGES.done(run, stage.name):
                    continue
                whole.begin(f"stage [bold]{stage.name}[/bold]")
                STAGES.compute(run, stage.name)
                whole.done()
        names = _notebooks(stages, to) if notebooks else []
        if execute.due(run, *_asked(run, names)):
            whole.begin("[bold]notebooks[/bold]")
        execute.execute_all(run, *_asked(run, names), lambda name, seconds: whole.done())


def steps_to_do(run: Run, *, to: str | None = None, notebooks: bool = True) -> list[str]:
    """What a run has to do still: names of stages, then of notebooks as ``notebook NAME``."""
    stages = _stages(to)
    steps = [stage.name for stage in stages if not STAGES.done(run, stage.name)]
    names = _notebooks(stages, to) if notebooks else []
    return steps + [f"notebook {name}" for name in execute.due(run, *_asked(run, names))]


def _stages(to: str | None) -> list[Stage]:
    """The stages of the study, up to and with the last that was asked for."""
    stages = list(STAGES.study)
    last = stages[-1].name if to is None else stage_name(to)
    return stages[: 1 + [stage.name for stage in stages].index(last)]


def _notebooks(stages: list[Stage], to: str | None) -> list[str]:
    return [*_complete(stages), *(EXTRA_NOTEBOOKS if to is None else ())]


def _complete(stages: list[Stage]) -> list[str]:
    """Notebooks that need no other stage than these first ones of the study."""
    after = {stage.notebook for stage in list(STAGES.study)[len(stages) :]}
    return [n for n in dict.fromkeys(s.notebook for s in stages) if n not in after]


def all_notebooks() -> list[str]:
    """Names of the notebooks that a whole run executes, in their order."""
    return [*dict.fromkeys(stage.notebook for stage in STAGES.study), *EXTRA_NOTEBOOKS]


def notebook_stages(name: str) -> list[Stage]:
    """The stages whose change makes a notebook out of date: its own and all before them.

    Not all that is done: then a second run, which finds more done, would execute it again.
    """
    stages = list(STAGES.study)
    own = [i for i, stage in enumerate(stages) if stage.notebook == name]
    return stages[: own[-1] + 1] if own else stages


def check_executed(run: Run, names: Iterable[str]) -> None:
    """KcError if one of these executed notebooks was edited, or shows other results than those of
    the run's configuration."""
    keys = STAGES.keys(run.config)
    wanted = {name: [keys[stage.name] for stage in notebook_stages(name)] for name in names}
    execute.check_executed(run, wanted)


def _asked(run: Run, names: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Notebooks with the keys of the stages that they depend on, and their parameters."""
    # Below the project root the path is written relative to it: the pages are published.
    inside = run.path.is_relative_to(ROOT)
    shown = run.path.relative_to(ROOT) if inside else run.path
    parameters = {
        "run_dir": shown.as_posix(),
        "profile": run.config.profile,
        "task": run.config.circuit.tasks[0],
    }
    keys = {n: [STAGES.key(run.config, s.name) for s in notebook_stages(n)] for n in names}
    return keys, parameters


def check(settings: Config) -> None:
    """Refuse a circuit larger than the graph, an empty band, a missing model folder, an unknown
    package, and settings that a given base model contradicts."""
    imported_world.check(settings)
    given_base.check(settings)
    if settings.model.source == "package":
        check_package(str(settings.model.path))
    graph = graph_of(settings)
    if graph is not None and (settings.circuit.top_n or 0) > graph.n_edges:
        raise KcError(
            f"Impossible configuration value circuit.top_n = {settings.circuit.top_n}: the model "
            f"has {graph.n_edges} edges."
        )
    if settings.world.known_names != "checked":  # else the model has to be asked first
        world_people(settings)


def graph_of(settings: Config) -> Graph | None:
    """The model's graph as far as the configuration alone tells it (None for hub models)."""
    model = settings.model
    if model.source == "made":
        return Graph(model.n_layers, model.n_heads)
    if model.source == "folder":
        file = typed_path(model.path or "") / "config.json"
        values = check_folder(model.path or "", name="model.path")
        layers = values.get("num_hidden_layers", values.get("n_layer"))
        heads = values.get("num_attention_heads", values.get("n_head"))
        if not layers or not heads:
            raise KcError(f"{file} names no number of layers and heads.")
        return Graph(layers, heads)
    return None
