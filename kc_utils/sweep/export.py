"""Writing the data set of a sweep: from run folders, beside runs that were exported before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import artifacts
from kc_utils.config import Config, profiles
from kc_utils.errors import KcError
from kc_utils.runs.dataset import (
    PROVENANCE,
    SWEEP_TABLES,
    SweepTables,
    in_order,
    join,
    write_table,
)
from kc_utils.runs.exports import check_size, portable
from kc_utils.runs.folder import Run, resolve
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.replaced import replacing
from kc_utils.study.stages import STAGES
from kc_utils.sweep.plan import Member, as_in_sweeps

Name = tuple[str, int]  # profile and seed


def write_dataset(
    runs: Sequence[Run], out: Path, *, merge: bool = False, most_bytes: int | None = None
) -> SweepTables:
    """Write the tables of ``runs`` and ``sweep.json`` into ``out``; all or nothing.

    A table that no run has is left out, and so is what a stage wrote for another configuration.

    Args:
        runs: one configuration per profile, apart from the seed.
        out: a folder that is new, empty, or holds a data set, which is replaced.
        merge: keep the runs of the data set in ``out`` that are not among ``runs``.
        most_bytes: refuse more than this, all files together.

    Raises:
        KcError: runs of one profile differ in their configuration, ``out`` holds something else,
            a table is damaged, or the data set is too large.
    """
    out = check_target(out)
    records = {_name(run): _record(run) for run in runs}
    settings = _settings(runs)
    with replacing(out) as folder:
        earlier = SweepTables.open(out) if merge and (out / PROVENANCE).is_file() else None
        kept = [] if earlier is None else _kept(earlier, records, settings)
        if not runs and not kept:
            raise KcError(f"There is no complete run to write into {out}.")
        _write(folder, runs, records, settings, earlier, kept, most_bytes)
    return SweepTables.open(out)


def check_target(out: Path) -> Path:
    """The absolute path of a folder that a data set may be written into.

    Raises:
        KcError: it holds something else, or lies in the folder of a run.
    """
    out = resolve(out)
    refuse_inside_run(out, "--export")
    SweepTables.refuse_other(out, "folder")
    return out


def stored_already(out: Path, members: Iterable[Member]) -> set[str]:
    """Names of the members whose tables ``out`` holds, for their configuration and stages as now.

    They need not be computed again, even where their run folders are gone.

    Raises:
        KcError: ``out`` holds a damaged data set.
    """
    if not (out / PROVENANCE).is_file():
        return set()
    earlier = SweepTables.open(out)
    records = {(run["profile"], run["seed"]): run for run in earlier.record["runs"]}
    found = set()
    for member in members:
        record = records.get((member.settings.profile, member.settings.seed))
        if record is None:
            continue
        config = portable(member.settings.model_dump(mode="json", exclude={"seed"}))
        same = earlier.record["profiles"][member.settings.profile]["config"] == config
        versions = {name: STAGES.get(name).version for name in member.stages}
        if same and versions.items() <= record["stage_versions"].items():
            found.add(member.name)
    return found


def overrides(settings: Config, plain: Config | None = None) -> list[str]:
    """What differs from ``plain``, by default the profile, without the seed, as
    ``section.key=value``."""
    found = profiles.changes(settings, plain or profiles.load(settings.profile))
    return [
        f"{key}={'null' if value is None else value}"
        for key, value in portable(found).items()
        if key != "seed"
    ]


def tables_of(run: Run) -> dict[str, pd.DataFrame]:
    """The tables of :data:`SWEEP_TABLES` that finished stages of the run wrote, verified."""
    done = [s.name for s in STAGES if STAGES.done(run, s.name)]
    wrote = {file for name in done for file in run.record["stages"][name]["wrote"]}
    found = {
        name: run.read(run.path / folder / f"{name}.parquet")
        for name in SWEEP_TABLES
        for folder in ("tables", "data")
        if f"{folder}/{name}.parquet" in wrote
    }
    return found


def _name(run: Run) -> Name:
    return run.config.profile, run.config.seed


def _record(run: Run) -> dict[str, Any]:
    """What ``sweep.json`` says of a run."""
    made, done = run.record["provenance"], [s for s in STAGES if STAGES.done(run, s.name)]
    return {
        "profile": run.config.profile,
        "seed": run.config.seed,
        "git": made["git"],
        "versions": {"python": made["python"]} | made["versions"],
        "machine": made["machine"],
        "device": made.get("device", "cpu"),
        "seconds": {s.name: run.record["stages"][s.name]["seconds"] for s in done},
        "stage_versions": {s.name: s.version for s in done},
    }


def _settings(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Per profile: configuration without the seed, and what of it differs from the profile."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        config = portable(run.config.model_dump(mode="json", exclude={"seed"}))
        changed = overrides(run.config, as_in_sweeps(run.config.profile))
        own = {"overrides": changed, "config": config}
        if found.setdefault(run.config.profile, own) != own:
            raise KcError(
                f"Run {run.config.profile}/seed-{run.config.seed} has another configuration than "
                f"the other runs of profile {run.config.profile!r}; give them the same --set."
            )
    return found


def _kept(
    earlier: SweepTables, records: dict[Name, dict], settings: dict[str, dict]
) -> list[dict[str, Any]]:
    """Records of the earlier runs that stay; refused when they cannot stand beside the new."""
    kept = []
    for old in earlier.record["runs"]:
        name = (old["profile"], old["seed"])
        if name in records:
            continue
        before, now = earlier.record["profiles"][name[0]], settings.get(name[0])
        if now is not None and before["config"] != now["config"]:
            raise KcError(
                f"{earlier.path} holds run {name[0]}/seed-{name[1]} of another configuration "
                f"({_difference(before['config'], now['config'])}); remove the folder or give the "
                "same --set."
            )
        for new in (r for r in records.values() if r["profile"] == name[0]):
            stages = set(old["stage_versions"]) & set(new["stage_versions"])
            changed = [s for s in stages if old["stage_versions"][s] != new["stage_versions"][s]]
            if changed:
                raise KcError(
                    f"{earlier.path} holds run {name[0]}/seed-{name[1]}, computed by another "
                    f"version of stage {min(changed)!r}; compute it again or remove the folder."
                )
        kept.append(old)
    return kept


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first value that differs, as 'section.key was a, is b'."""
    for section in sorted({*before, *now}):
        old, new = before.get(section), now.get(section)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            key = min(k for k in {*old, *new} if old.get(k) != new.get(k))
            return f"{section}.{key} was {old.get(key)}, is {new.get(key)}"
        return f"{section} was {old}, is {new}"
    return "nothing"


def _write(
    folder: Path,
    runs: Sequence[Run],
    records: dict[Name, dict],
    settings: dict[str, dict],
    earlier: SweepTables | None,
    kept: list[dict[str, Any]],
    most_bytes: int | None,
) -> None:
    stay = {(old["profile"], old["seed"]) for old in kept}
    own = {_name(run): tables_of(run) for run in runs}
    digests, sizes = {}, {}
    for table in SWEEP_TABLES:
        frames = {name: tables[table] for name, tables in own.items() if table in tables}
        if earlier is not None and earlier.has(table):
            groups = earlier.table(table).groupby(["profile", "seed"], sort=False)
            frames |= {name: frame for name, frame in groups if name in stay}
        if frames:
            path = folder / f"{table}.parquet"
            write_table(path, join(frames))
            digests[table], sizes[table] = artifacts.sha256(path), path.stat().st_size
    before = {} if earlier is None else earlier.record["profiles"]
    everyone = sorted([*kept, *records.values()], key=lambda r: in_order((r["profile"], r["seed"])))
    named = sorted({r["profile"] for r in everyone})
    record = {
        "profiles": {name: settings.get(name) or before[name] for name in named},
        "runs": everyone,
        "tables": digests,
    }
    if earlier is not None and "planned" in earlier.record:
        record["planned"] = earlier.record["planned"]
    artifacts.write_json(folder / PROVENANCE, record)
    if most_bytes is not None:
        sizes[PROVENANCE] = (folder / PROVENANCE).stat().st_size
        check_size("the sweep", sizes, most_bytes)
