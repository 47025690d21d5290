"""The folder of a run is the run's alone: nobody writes anything else into it.

What lies there may be removed, or written anew, when a stage of that run is computed again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from kc_utils.errors import KcError, shown


def run_around(path: Path) -> Path | None:
    """The folder of the run that ``path`` lies in, however deep; None if there is none.

    The folder of a run does not lie in itself. Somebody else's ``run.json`` makes no run; one of
    ours that is damaged still does.
    """
    return next((parent for parent in path.resolve().parents if _holds_run(parent)), None)


def refuse_inside_run(path: Path, option: str, but_in: Path | None = None) -> None:
    """Refuse to write to ``path`` if it lies in the folder of a run.

    Args:
        path: a file or folder, which need not exist.
        option: how it was given, for example "--out".
        but_in: the folder of a run in which ``path`` may lie directly.

    Raises:
        KcError: it does.
    """
    run = run_around(path)
    if run is not None and not (but_in is not None and path.resolve().parent == but_in.resolve()):
        raise KcError(
            f"{option} {shown(str(path))} lies in the folder of run {shown(str(run))}, which is "
            f"for that run's own results; choose another {option}."
        )


def _holds_run(folder: Path) -> bool:
    record = folder / "run.json"
    with suppress(OSError):
        if record.is_file():
            try:
                found = json.loads(record.read_bytes())
            except (ValueError, RecursionError):
                return True
            return isinstance(found, dict) and {"config", "stages"} <= found.keys()
    return False
