"""Single bit flips and cuts over every kind of file of a finished run."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.pipeline import check_executed
from kc_utils.study.stages import STAGES

from .outcome import Outcome

#: Nothing is computed from these: the record is checked when it is opened, and the book and the
#: figures are made from what is verified.
HARMLESS = ("book", "figures", "run.json")


def damage_files(run_dir: Path, n: int, rng: random.Random, outcome: Outcome) -> None:
    """Damage one file at a time; it is named, computed again or makes no difference.

    A file that a stage recorded is refused when it is read, and an executed notebook when a page or
    slides are made of it. ``run.json`` is refused or reads as before.
    """
    files = [p for p in sorted(run_dir.rglob("*")) if p.is_file() and p.stat().st_size]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kinds.setdefault(_kind(run_dir, file), []).append(file)
    whole = Run.open(run_dir)
    for i in range(n):
        kind = sorted(kinds)[i % len(kinds)]
        file = rng.choice(kinds[kind])
        content = file.read_bytes()
        cut = rng.random() < 0.2
        file.write_bytes(_damaged(content, cut, rng))
        try:
            outcome.count(f"{kind}: {'cut' if cut else 'bit'}")
            failure = _used_silently(whole, file)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            file.write_bytes(content)
        outcome.check(failure is None, f"{file.relative_to(run_dir)}: {failure}")


def _kind(run_dir: Path, file: Path) -> str:
    inside = file.relative_to(run_dir)
    return f"{inside.parts[0]}/*{file.suffix}" if len(inside.parts) > 1 else inside.name


def _damaged(content: bytes, cut: bool, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    if cut:
        return content[:place]
    damaged = bytearray(content)
    damaged[place] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _used_silently(whole: Run, file: Path) -> str | None:
    """None if the damage is noticed or harmless, else what happened."""
    try:
        run = Run.open(whole.path)
        if run.record != whole.record:
            return "the record reads differently"
        recorded = [
            stage.name for stage in STAGES
            if file.relative_to(run.path).as_posix() in run.record["stages"].get(
                stage.name, {"wrote": {}})["wrote"]
        ]  # fmt: skip
        inside = file.relative_to(run.path)
        if not recorded and inside.parts[0] == "notebooks":
            check_executed(run, [inside.relative_to("notebooks").with_suffix("").as_posix()])
            return "an executed notebook would be shown as it is"
        if not recorded:
            return None if inside.parts[0] in HARMLESS else "no stage knows this file"
        run.verify_stage(recorded[0])
        before = pd.read_parquet(file) if file.suffix == ".parquet" else None
        return "used as it is" if before is None else "a table was read as if it were whole"
    except KcError as error:
        return None if file.name in str(error) else f"refused without its name: {error}"
