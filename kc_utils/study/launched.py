"""Training in several processes: the body of ``kc train``, for ``accelerate launch``.

The other stages run in one process. So the processes of a launch only make the checkpoints of a
run, and ``kc run`` finds them finished and goes on from there.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from kc_utils.errors import KcError
from kc_utils.models.devices import is_first, n_processes, wait_for_all
from kc_utils.runs.folder import Run
from kc_utils.runs.lock import locked
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.training import pretrain
from kc_utils.training.pretraining import TrainingResult

STAGE = "training"


def train_together(run_dir: str | Path) -> tuple[TrainingResult, int]:
    """Make the checkpoints of a run, in every process of this launch.

    Returns:
        What training left in ``checkpoints/``, and the number of processes.

    Raises:
        KcError: no such run, a stage that training needs is not done, another process writes there,
            or the processes cannot share the forward passes of a step evenly.
    """
    run = Run.open(run_dir)
    for need in STAGES.get(STAGE).needs:
        if not STAGES.done(run, need):
            raise KcError(
                f"Training needs stage {need!r}, which run {run.name!r} does not hold; "
                f"'{run.command()} --to knowledge' computes it."
            )
    with locked(run.path) if is_first() else nullcontext():
        folder = run.path / "checkpoints"
        if is_first():
            folder = Workspace(run, STAGE, STAGES.key(run.config, STAGE)).folder("checkpoints")
        wait_for_all()
        return pretrain(run, folder), n_processes()
