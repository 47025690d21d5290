"""The world that a run takes instead of a made-up one: the folder that ``kc import-world`` wrote.

``world.imported`` names the folder. People, their values and frequencies, templates and pools are
those of the paper's own data; so are the biographies, and who is asked, where the clone held them.
Of each kind a run takes as many people as ``world.n_people`` and ``world.share_known`` say, at most
all: every n-th of them ordered by frequency, those of one frequency in a random order (``seed``).
Held-out wordings are this project's: the published templates are all trained. A folder is written
once and never overwritten, so its name stands for what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kc_utils import artifacts
from kc_utils.config import ATTRIBUTES, KINDS, Config
from kc_utils.errors import KcError, typed_path
from kc_utils.runs.exports import read_exported
from kc_utils.runs.folder import resolve
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.replaced import replace_folder
from kc_utils.world.clone import Published, read_clone
from kc_utils.world.people import completed, numbers_by_kind
from kc_utils.world.pools import stream
from kc_utils.world.templates import Templates, split_all

RECORD = "world.json"
PEOPLE, BIOGRAPHIES, PARTNERS = "people", "biographies", "partners"
_FORM = 1


def import_world(clone: Path, out: Path) -> dict[str, Any]:
    """Read a clone of the paper's repository into the new folder ``out``, whole or absent.

    Returns:
        Counts: people, K_rel, K_compl, frequencies (mean, most), biographies (0 if the clone has
        none), asked, partners, ``lines``, what was read from each file, and ``changes``: of how
        many texts something is not as it stands there, and the first of them.

    Raises:
        KcError: ``out`` exists or lies in the folder of a run, or the clone is not as described in
            :mod:`kc_utils.world.clone`.
    """
    out = resolve(out)
    refuse_inside_run(out, "--out")
    if out.exists():
        raise KcError(f"{str(out)!r} exists already and is not overwritten; choose a new folder.")
    published = read_clone(typed_path(clone))
    counts = _counts(published)

    def fill(folder: Path) -> None:
        tables = {PEOPLE: published.people, PARTNERS: published.partners}
        if published.biographies is not None:
            tables[BIOGRAPHIES] = published.biographies
        for name, table in tables.items():
            artifacts.write_parquet(folder / f"{name}.parquet", table)
        record = {
            "form": _FORM,
            "counts": counts,
            "tables": {name: artifacts.sha256(folder / f"{name}.parquet") for name in tables},
            "templates": published.templates,
            "pools": published.pools,
        }
        artifacts.write_json(folder / RECORD, record)

    replace_folder(out, fill)
    return counts


def _counts(published: Published) -> dict[str, Any]:
    people = published.people
    texts = published.biographies
    return {
        "people": len(people),
        **{kind: int((people["kind"] == kind).sum()) for kind in KINDS},
        "mean_frequency": round(float(people["frequency"].mean()), 3),
        "most_frequency": int(people["frequency"].max()),
        "biographies": 0 if texts is None else len(texts),
        "asked": int(people["asked"].sum()),
        "partners": len(published.partners),
        "lines": published.lines,
        "changes": {what: [len(found), found[0]] for what, found in published.changes.items()},
    }


@dataclass(frozen=True)
class ImportedWorld:
    """A folder that ``kc import-world`` wrote, its record, and how many of its people to take."""

    path: Path
    record: Mapping[str, Any]
    numbers: tuple[int, ...]
    seed: int

    def _whole(self, name: str) -> pd.DataFrame | None:
        digest = self.record["tables"].get(name)
        if digest is None:
            return None
        return read_exported(self.path / f"{name}.parquet", digest, RECORD)

    def table(self, name: str) -> pd.DataFrame | None:
        """``people``, ``biographies`` (None where the clone had none) or ``partners``; rows about
        people who are taken, with their ``person_id`` counted anew."""
        found = self._whole(name)
        if found is None:
            return None
        new_id = pd.Series(np.arange(len(self._taken), dtype=np.int32), self._taken)
        for column in [c for c in found if c.endswith("person_id")]:
            found = found[found[column].isin(new_id.index)]
            found = found.assign(**{column: new_id[found[column]].to_numpy()})
        return found.reset_index(drop=True)

    @cached_property
    def _taken(self) -> np.ndarray:
        """person_id of those who are taken, in order."""
        everybody, rng = self._whole(PEOPLE), stream(self.seed, "imported people")
        chosen = []
        for kind, n in zip(KINDS, self.numbers, strict=False):
            there = everybody[everybody["kind"] == kind]
            there = there.iloc[rng.permutation(len(there))].sort_values("frequency", kind="stable")
            places = (np.arange(min(n, len(there))) + 0.5) * max(len(there) / max(n, 1), 1)
            chosen.append(there["person_id"].to_numpy()[places.astype(int)])
        return np.sort(np.concatenate(chosen))

    @property
    def people(self) -> pd.DataFrame:
        """Those who are taken, with ``asked``; see :class:`kc_utils.world.clone.Published`."""
        return self.table(PEOPLE)

    @property
    def known_names(self) -> list[str]:
        """The names of the K_rel people."""
        people = self.people
        return people.loc[people["kind"] == KINDS[0], "name"].tolist()

    @property
    def pools(self) -> dict[str, tuple[str, ...]]:
        """Values of the attributes, and parts of names."""
        return {name: tuple(values) for name, values in self.record["pools"].items()}


def of(settings: Config) -> ImportedWorld | None:
    """The imported world of a configuration; None for a made-up one.

    Raises:
        KcError: ``world.imported`` names no folder that ``kc import-world`` wrote.
    """
    given = settings.world.imported
    if given is None:
        return None
    path = resolve(given)
    record = artifacts.read_json(path / RECORD) if (path / RECORD).is_file() else None
    needed = {"form", "tables", "templates", "pools"}
    if not isinstance(record, dict) or not needed <= set(record) or record["form"] != _FORM:
        raise KcError(
            f"world.imported = {given!r} is no imported world ({RECORD}); allowed are null, or a "
            "folder that 'kc import-world' wrote."
        )
    return ImportedWorld(path, record, numbers_by_kind(settings.world), settings.seed)


def people(world: ImportedWorld, settings: Config, *, old_values: bool) -> pd.DataFrame:
    """The people table of a run, columns as in :func:`kc_utils.world.people.make_people`.

    Where the clone says who is asked, circuits are discovered on these people and evaluated on all
    others; else people are split at random, as in a made-up world.
    """
    found = world.people
    asked = found.pop("asked").to_numpy()
    return completed(
        found, asked, settings.world.discover_share, settings.seed,
        pools=world.pools if old_values else None,
    )  # fmt: skip


def pools(settings: Config) -> dict[str, tuple[str, ...]] | None:
    """The pools of an imported world; None for those of the package."""
    world = of(settings)
    return None if world is None else world.pools


def templates(settings: Config) -> dict[str, Templates]:
    """Trained and held-out templates of a run, by attribute.

    Raises:
        KcError: the imported templates leave none of the held-out wordings unseen.
    """
    own = split_all(settings.world.held_out_templates, settings.seed)
    world = of(settings)
    if world is None:
        return own
    found = {}
    for name in ATTRIBUTES:
        trained = tuple(world.record["templates"][name])
        held_out = tuple(t for t in own[name].held_out if t not in trained)
        if own[name].held_out[0] not in trained:
            found[name] = Templates(trained, held_out)
            continue
        raise KcError(
            f"The imported templates of {name} hold {own[name].held_out[0]!r}, which is asked as a "
            "wording that training never shows; take it out of the clone."
        )
    return found


def partners(settings: Config) -> dict[tuple[str, int], int] | None:
    """(task, person_id) -> person_id of the published corrupted subject for this run's model.

    The circuit files are made per tokenizer; a run takes those whose folder is called like the last
    part of ``model.path``. None where there are none.
    """
    world = of(settings)
    if world is None or settings.model.path is None:
        return None
    table = world.table(PARTNERS)
    table = table[table["model"] == Path(settings.model.path).name]
    keys = zip(table["task"], table["person_id"].tolist(), strict=True)
    return dict(zip(keys, table["corrupted_person_id"].tolist(), strict=True)) or None


def check(settings: Config) -> None:
    """Refuse an imported world that is not there, and a given base model, which knows others.

    Raises:
        KcError: it does.
    """
    if of(settings) is not None and settings.model.source == "made" and settings.base.given:
        raise KcError(
            f"base.given = {settings.base.given!r} does not go with world.imported, whose K_rel "
            "people it was never taught; set base.given=null to make a model of your own."
        )
