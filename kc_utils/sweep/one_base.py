"""A sweep whose runs all go on training from the base model that another run has made.

The paper's runs share one pre-trained model. By default a seed makes its own, so that intervals
over seeds hold for other base models too. With one base they hold for that one only, and no seed
pays for pre-training. What is not kept up then: that a new fact about a known person never is, by
chance, what the base corpus told of that person.
"""

from __future__ import annotations

from pathlib import Path

from kc_utils import config
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.runs import Run
from kc_utils.stages import STAGES


def open_base(run_dir: str | Path, profile: str) -> Run:
    """The run whose base model is shared by runs of ``profile``.

    Raises:
        KcError: it is no run, one of another profile, or one that has not made its base model.
    """
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
