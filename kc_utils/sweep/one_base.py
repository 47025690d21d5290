"""A sweep whose runs all go on training from the base model that another run has made.

The paper's runs share one pre-trained model. By default a seed makes its own, so that intervals
over seeds hold for other base models too. With one base they hold for that one only, and no seed
pays for pre-training. What is not kept up then: that a new fact about a known person never is, by
chance, what the base corpus told of that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kc_utils import config
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.runs import Run
from kc_utils.stages import STAGES

#: What a shared base model decides, so that ``--set`` cannot.
_DECIDED = ("model.", "base.", "world.known_names")


def open_base(
    run_dir: str | Path,
    names: Sequence[str],
    experiments_for: Sequence[str],
    overrides: Sequence[str],
) -> Run:
    """The run whose base model the runs of a sweep share; the rest is what the sweep is to do.

    Raises:
        KcError: it is no run, one of another profile, or one that has not made its base model; or
            the sweep has several profiles, experiments, or overrides without effect.
    """
    if experiments_for:
        raise KcError(
            f"--base-of {run_dir} needs --no-experiments, because experiments make base models of "
            "their own."
        )
    if len(names) != 1:
        raise KcError(
            f"--base-of {run_dir} goes with one profile, and this sweep has {', '.join(names)}."
        )
    for item in overrides:
        if item.strip().startswith(_DECIDED):
            raise KcError(f"--set {item} has no effect with --base-of {run_dir}; leave it out.")
    (profile,) = names
    run = Run.open(run_dir)
    if run.config.profile != profile:
        raise KcError(
            f"--base-of {run_dir} is a run of profile {run.config.profile}, and this sweep is of "
            f"{profile}; both have to be the same."
        )
    if run.config.model.source != "made":
        raise KcError(
            f"--base-of {run_dir} is a run that made no base model (model.source = "
            f"{run.config.model.source!r}); allowed are runs with model.source = 'made'."
        )
    if not STAGES.done(run, "base"):
        raise KcError(
            f"--base-of {run_dir} is a run whose base model is not finished; "
            f"'kc run --profile {profile} --run-dir {run_dir} --to base' finishes it."
        )
    run.verify(run.path / "base")
    return run


def on_base(settings: Config, run: Run) -> Config:
    """``settings`` with the base model of ``run``: its weights, its tokenizer, the names that it
    was taught, and how that was done."""
    values = settings.model_dump(mode="json")
    values["model"] = run.config.model.model_dump(mode="json") | {
        "source": "folder",
        "path": str(run.path / "base" / "model"),
    }
    values["base"] = run.config.base.model_dump(mode="json")
    values["world"]["known_names_file"] = str(run.path / "data" / "base_corpus.parquet")
    return config.build(values)
