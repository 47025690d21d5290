"""The paper's own data, read from a local clone of its repository (Ou et al. 2025).

What the repository ``zjunlp/DynamicKnowledgeCircuits`` holds, below its root::

    data/entities_<N>/{new,revised}.jsonl         a person per line; revised = K_rel, new = K_compl
    data/entities_<N>/train.jsonl                 a biography per line: the person and ``text``
    data/entities_<N>/test.jsonl                  the people who are asked
    data/entities_<N>/circuit_<n>/<model>/<task>.jsonl   who is asked, and the corrupted subject
    data/selection_pool/<name>.json               values and parts of names, lists of texts
    data/templates/<name>.jsonl                   a sentence per line with {full_name} and a value

``train.jsonl``, ``test.jsonl`` and the circuit files are made by scripts of the repository and may
be absent. Names and values are taken as they stand there, percent signs and all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES, KINDS
from kc_utils.errors import KcError, shown
from kc_utils.world.clone_checks import check_person, known, same, start_of
from kc_utils.world.clone_lines import Biography, Entity, Pair, Place, json_lines, parse, texts
from kc_utils.world.frequency_bands import bands

TYPES = dict(zip(("revised", "new"), KINDS, strict=True))
#: File of the templates of each attribute, and the field that they hold.
TEMPLATES = {a: (a, a) for a in ATTRIBUTES} | {"birthday": ("birth", "birthday")}
NAME_POOLS = {"first_names": "first_name", "middle_names": "middle_name", "last_names": "last_name"}
_DATE = ("birth_date", "birth_month", "birth_year")


@dataclass(frozen=True, eq=False)
class Published:
    """What a clone holds, in the words of this project.

    ``people``: person_id, name, kind, frequency, band, the five attributes and ``asked`` (whether a
    query file names the person); K_rel first. ``biographies``: person_id, exposure, text and
    ``<attribute>_start``, or None. ``partners``: model, task, person_id, corrupted_person_id.
    ``templates``: per attribute, with ``{name}`` and ``{value}``. ``pools``: values of each
    attribute, and first_names, middle_names, last_names. ``lines``: entries read per file.
    """

    people: pd.DataFrame
    biographies: pd.DataFrame | None
    partners: pd.DataFrame
    templates: dict[str, tuple[str, ...]]
    pools: dict[str, tuple[str, ...]]
    lines: dict[str, int]


def read_clone(folder: Path) -> Published:
    """Read a clone; nothing is written.

    Raises:
        KcError: a file is missing, or a line of one is not what it should be; the sentence names
            file, line, value and what is allowed.
    """
    reader = _Reader(folder)
    entities = _entities_folder(folder)
    pools = reader.pools()
    templates = {a: reader.templates(a) for a in ATTRIBUTES}
    people = reader.people(entities, pools)
    ids = dict(zip(people["name"], people["person_id"].tolist(), strict=True))
    biographies = reader.biographies(entities / "train.jsonl", people, ids, templates)
    asked = reader.asked(entities / "test.jsonl", people, ids)
    partners = reader.partners(entities, people, ids)
    asked |= set(partners["person_id"].tolist())
    for name in ATTRIBUTES:  # a clone without the file of a pool: what people have
        pools.setdefault(name, tuple(sorted(people[name].unique())))
    people = people.assign(asked=people["person_id"].isin(asked))
    return Published(people, biographies, partners, templates, pools, reader.lines)


def _entities_folder(folder: Path) -> Path:
    if not (folder / "data").is_dir():
        raise KcError(
            f"{str(folder)!r} has no folder 'data'; allowed is a clone of "
            "github.com/zjunlp/DynamicKnowledgeCircuits."
        )
    found = sorted(p for p in folder.glob("data/entities_*") if (p / "revised.jsonl").is_file())
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise KcError(
            f"{str(folder / 'data')!r} has {len(found)} folders entities_<N> with a revised.jsonl "
            f"({names}); allowed is one."
        )
    return found[0]


class _Reader:
    """Reads files of one clone and counts what it has read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: dict[str, int] = {}

    def _rows(self, path: Path, model: type) -> Iterator[tuple[Place, Entity | Biography | Pair]]:
        name = path.relative_to(self.folder).as_posix()
        for place, value in json_lines(path, name):
            yield place, parse(model, value, place)
            self.lines[name] = self.lines.get(name, 0) + 1

    def pools(self) -> dict[str, tuple[str, ...]]:
        """Parts of names, and the values of every attribute whose files are there."""
        folder = self.folder / "data" / "selection_pool"

        def read(name: str) -> tuple[str, ...]:
            path = folder / f"{name}.json"
            found = texts(path, path.relative_to(self.folder).as_posix())
            self.lines[path.relative_to(self.folder).as_posix()] = len(found)
            return found

        pools = {ours: read(theirs) for ours, theirs in NAME_POOLS.items()}
        for name in ATTRIBUTES:
            if name != "birthday" and (folder / f"{name}.json").is_file():
                pools[name] = read(name)
        if all((folder / f"{part}.json").is_file() for part in _DATE):
            days, months, years = map(read, _DATE)
            pools["birthday"] = tuple(f"{d} {m}, {y}" for y in years for m in months for d in days)
        return pools

    def templates(self, attribute: str) -> tuple[str, ...]:
        """The sentences about ``attribute``, with our placeholders."""
        stem, field = TEMPLATES[attribute]
        path = self.folder / "data" / "templates" / f"{stem}.jsonl"
        name, found = path.relative_to(self.folder).as_posix(), []
        for place, value in json_lines(path, name):
            text = value if isinstance(value, str) else ""
            bare = text.replace("{full_name}", "", 1).replace(f" {{{field}}}", "", 1)
            if len(text) - len(bare) != len("{full_name} {}") + len(field) or set("{}") & set(bare):
                raise KcError(
                    f"{place}: {shown(value)} is no template; allowed is a text with "
                    f"{{full_name}} once, {{{field}}} once after a space, and no other brace."
                )
            found.append(text.replace("{full_name}", "{name}").replace(f"{{{field}}}", "{value}"))
        if not found:
            raise KcError(f"{name} holds no template; at least one is needed.")
        self.lines[name] = len(found)
        return tuple(dict.fromkeys(found))

    def people(self, entities: Path, pools: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
        """All people, K_rel first."""
        allowed = {name: frozenset(pools[name]) for name in ATTRIBUTES if name in pools}
        rows: list[tuple[Entity, str]] = []
        first: dict[str, Place] = {}
        for kind, ours in TYPES.items():
            for place, person in self._rows(entities / f"{kind}.jsonl", Entity):
                check_person(person, kind, allowed, place)
                if person.full_name in first:
                    raise KcError(
                        f"{place}: full_name = {shown(person.full_name)} stands in "
                        f"{first[person.full_name]} already; each name is allowed once."
                    )
                first[person.full_name] = place
                rows.append((person, ours))
        if not rows:
            raise KcError(f"{str(entities)!r} holds nobody; at least one person is needed.")
        frequency = np.array([person.frequency for person, _ in rows], dtype=np.int32)
        columns: dict[str, object] = {
            "person_id": np.arange(len(rows), dtype=np.int32),
            "name": [person.full_name for person, _ in rows],
            "kind": [ours for _, ours in rows],
            "frequency": frequency,
            "band": bands(frequency),
        }
        columns |= {name: [getattr(person, name) for person, _ in rows] for name in ATTRIBUTES}
        table = pd.DataFrame(columns)
        return table.astype(dict.fromkeys(("name", "kind", "band", *ATTRIBUTES), "str"))

    def biographies(
        self,
        path: Path,
        people: pd.DataFrame,
        ids: Mapping[str, int],
        templates: Mapping[str, tuple[str, ...]],
    ) -> pd.DataFrame | None:
        """The texts of ``train.jsonl`` by person, or None where there is no such file."""
        if not path.is_file():
            return None
        values = {name: people[name].tolist() for name in ATTRIBUTES}
        rows, exposure = [], np.zeros(len(people), dtype=np.int64)
        for place, row in self._rows(path, Biography):
            person = known(row.full_name, ids, place)
            held = {name: values[name][person] for name in ATTRIBUTES}
            starts = [start_of(row, n, v, templates[n], place) for n, v in held.items()]
            rows.append((person, int(exposure[person]), row.text, *starts))
            exposure[person] += 1
        wrong = np.flatnonzero(exposure != people["frequency"].to_numpy())
        if len(wrong):
            who = people.iloc[int(wrong[0])]
            raise KcError(
                f"{path.relative_to(self.folder).as_posix()} has {exposure[wrong[0]]} biographies "
                f"of {shown(who['name'])}, whose frequency is {who['frequency']}; allowed are as "
                "many as the frequency says."
            )
        starts = [f"{name}_start" for name in ATTRIBUTES]
        table = pd.DataFrame(rows, columns=["person_id", "exposure", "text", *starts])
        kinds = dict.fromkeys(("person_id", "exposure", *starts), np.int32)
        table = table.astype(kinds | {"text": "str"})
        return table.sort_values(["person_id", "exposure"], kind="stable", ignore_index=True)

    def asked(self, path: Path, people: pd.DataFrame, ids: Mapping[str, int]) -> set[int]:
        """person_id of everybody in ``test.jsonl``; nobody where there is no such file."""
        found: set[int] = set()
        if not path.is_file():
            return found
        values = {name: people[name].tolist() for name in ATTRIBUTES}
        for place, row in self._rows(path, Entity):
            person = known(row.full_name, ids, place)
            for name in ATTRIBUTES:
                same(getattr(row, name), values[name][person], name, row.full_name, place)
            found.add(person)
        return found

    def partners(
        self, entities: Path, people: pd.DataFrame, ids: Mapping[str, int]
    ) -> pd.DataFrame:
        """Corrupted subjects of every circuit file, one per model, task and person."""
        rows = []
        for path in sorted(entities.glob("circuit_*/*/*.jsonl")):
            task = path.stem
            if task not in ATTRIBUTES:
                name = path.relative_to(self.folder).as_posix()
                raise KcError(
                    f"{name} is about {shown(task)}; allowed are {', '.join(ATTRIBUTES)}."
                )
            values = people[task].tolist()
            for place, row in self._rows(path, Pair):
                clean, corrupted = (
                    known(n, ids, place) for n in (row.clean_subject, row.corrupted_subject)
                )
                same(row.clean_label.strip(), values[clean], task, row.clean_subject, place)
                same(
                    row.corrupted_label.strip(), values[corrupted], task, row.corrupted_subject,
                    place,
                )  # fmt: skip
                rows.append((path.parent.name, task, clean, corrupted))
        columns = ["model", "task", "person_id", "corrupted_person_id"]
        table = pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:3])
        numbers = dict.fromkeys(columns[2:], np.int32)
        return table.astype(numbers | dict.fromkeys(columns[:2], "str")).reset_index(drop=True)
