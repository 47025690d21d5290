"""The paper's own data, read from a local clone of its repository (Ou et al. 2025).

What the repository ``zjunlp/DynamicKnowledgeCircuits`` holds, below its root::

    data/entities_<N>/{new,revised}.jsonl         a person per line; revised = K_rel, new = K_compl
    data/entities_<N>/train.jsonl                 a biography per line: the person and ``text``
    data/entities_<N>/test.jsonl                  the people who are asked
    data/entities_<N>/circuit_<n>/<model>/<task>.jsonl   who is asked, and the corrupted subject
    data/selection_pool/<name>.json               values and parts of names, lists of texts
    data/templates/<name>.jsonl                   a sentence per line with {full_name} and a value

``train.jsonl``, ``test.jsonl`` and the circuit files are made by scripts of the repository and may
be absent. The published K_rel names come from web addresses: %-escapes are undone, pieces of names
are left out, and a name that stands there again is numbered. ``Published.changes`` says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES, KINDS
from kc_utils.errors import KcError, shown
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
    ``changes``: what is not as it stands there, and each text of which that is so.
    """

    people: pd.DataFrame
    biographies: pd.DataFrame | None
    partners: pd.DataFrame
    templates: dict[str, tuple[str, ...]]
    pools: dict[str, tuple[str, ...]]
    lines: dict[str, int]
    changes: dict[str, list[str]]


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
    people = reader.people(entities)
    for name in ATTRIBUTES:  # what people have, where a pool is missing or lacks it
        pool = pools.get(name, ())
        more = sorted(set(people[name]) - set(pool))
        if pool:
            reader.changes["values of people added to a pool that lacks them"] += more
        pools[name] = (*pool, *more)
    biographies = reader.biographies(entities / "train.jsonl", people, templates)
    asked = reader.asked(entities / "test.jsonl", people)
    partners = reader.partners(entities, people)
    asked |= set(partners["person_id"].tolist())
    people = people.assign(asked=people["person_id"].isin(asked))
    changes = {what: found for what, found in reader.changes.items() if found}
    return Published(people, biographies, partners, templates, pools, reader.lines, changes)


def _entities_folder(folder: Path) -> Path:
    found = sorted(p.parent for p in folder.glob("data/entities_*/revised.jsonl"))
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise KcError(
            f"{str(folder)!r} has {len(found)} folders data/entities_<N> with a revised.jsonl "
            f"({names}); allowed is one, as in github.com/zjunlp/DynamicKnowledgeCircuits."
        )
    return found[0]


class _Reader:
    """Reads files of one clone, counts what it has read and notes what it changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: dict[str, int] = {}
        self.changes: dict[str, list[str]] = defaultdict(list)
        self.ids: dict[str, list[int]] = {}  # by the name in the files; nobody if left out

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _rows(self, path: Path, model: type) -> Iterator[tuple[Place, Entity | Biography | Pair]]:
        name = self._name(path)
        for place, value in json_lines(path, name):
            yield place, parse(model, value, place)
            self.lines[name] = self.lines.get(name, 0) + 1

    def pools(self) -> dict[str, tuple[str, ...]]:
        """Parts of names, and the values of every attribute whose files are there."""
        folder = self.folder / "data" / "selection_pool"

        def read(stem: str) -> tuple[str, ...]:
            path = folder / f"{stem}.json"
            found = pd.Series(texts(path, self._name(path)), dtype="str")
            self.lines[self._name(path)] = len(found)
            self.changes["values that stand twice in a pool, taken once"] += found[
                found.duplicated()
            ].tolist()
            return tuple(found.unique())

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
        found = []
        for place, value in json_lines(path, self._name(path)):
            holes = sorted(re.findall(rf"{{full_name}}| {{{field}}}|[{{}}]", str(value)))
            if holes != [f" {{{field}}}", "{full_name}"]:
                raise KcError(
                    f"{place}: {shown(value)} is no template; allowed is a text with "
                    f"{{full_name}} once, {{{field}}} once after a space, and no other brace."
                )
            found.append(value.replace("{full_name}", "{name}").replace(f"{{{field}}}", "{value}"))
        if not found:
            raise KcError(f"{self._name(path)} holds no template; at least one is needed.")
        self.lines[self._name(path)] = len(found)
        return tuple(dict.fromkeys(found))

    def people(self, entities: Path) -> pd.DataFrame:
        """All people, K_rel first."""
        rows: list[dict[str, object]] = []
        taken: set[str] = set()
        for stem, kind in TYPES.items():
            for _, person in self._rows(entities / f"{stem}.jsonl", Entity):
                same = self.ids.setdefault(person.full_name, [])
                name = self._cleaned(person.full_name, taken)
                if name is None:
                    continue
                taken.add(name)
                same.append(len(rows))
                values = {a: getattr(person, a) for a in ATTRIBUTES}
                rows.append({"name": name, "kind": kind, "frequency": person.frequency} | values)
        if not rows:
            raise KcError(f"{str(entities)!r} holds nobody; at least one person is needed.")
        table = pd.DataFrame(rows)
        table.insert(0, "person_id", np.arange(len(rows), dtype=np.int32))
        table.insert(4, "band", bands(table["frequency"].to_numpy()))
        kinds = dict.fromkeys(("name", "kind", "band", *ATTRIBUTES), "str")
        return table.astype(kinds | {"frequency": np.int32})

    def _cleaned(self, raw: str, taken: set[str]) -> str | None:
        """A published name as it is meant, None if it is a piece of one ("author)")."""
        name = unquote(raw)
        if "\ufffd" in name:  # no UTF-8: no escape
            name = raw
        if name.count("(") != name.count(")"):
            self.changes["entries left out that are no names"].append(raw)
            return None
        if name != raw:
            self.changes["names unescaped"].append(f"{raw} = {name}")
        if name in taken:
            numbered = (f"{name} ({n})" for n in count(2))
            name = next(n for n in numbered if n not in taken)
            self.changes["names of several people, numbered"].append(name)
        return name

    def _person(self, name: str, fits: Callable[[int], bool], place: Place) -> int | None:
        """person_id of a published name, None if it was left out.

        ``fits``: whether what the line says is true of a person; that decides between namesakes.
        """
        if name not in self.ids:
            raise KcError(f"{place}: {shown(name)} is nobody in new.jsonl or revised.jsonl.")
        if not self.ids[name]:
            self.changes[f"lines left out of {place.file}, about entries left out"].append(name)
            return None
        for person in self.ids[name]:
            if fits(person):
                return person
        raise KcError(
            f"{place} says of {shown(name)} what is not so in new.jsonl or revised.jsonl; allowed "
            "are the values there."
        )

    def biographies(
        self, path: Path, people: pd.DataFrame, templates: Mapping[str, tuple[str, ...]]
    ) -> pd.DataFrame | None:
        """The texts of ``train.jsonl`` by person, or None where there is no such file."""
        if not path.is_file():
            return None
        names, values = people["name"].tolist(), people[list(ATTRIBUTES)].to_numpy(dtype=object)
        rows, exposure = [], np.zeros(len(people), dtype=np.int64)
        for place, row in self._rows(path, Biography):
            raw, text = row.full_name, row.text

            def starts(person: int, text: str = text, name: str = raw) -> list[int]:
                held = zip(templates.values(), values[person], strict=True)
                return [_start(text, name, sentences, value) for sentences, value in held]

            person = self._person(raw, lambda i, starts=starts: min(starts(i)) >= 0, place)
            if person is None:
                continue
            if (name := names[person]) != raw:
                text = re.sub(rf"(?<!\w){re.escape(raw)}(?!\w)", name.replace("\\", r"\\"), text)
            rows.append((person, int(exposure[person]), text, *starts(person, text, name)))
            exposure[person] += 1
        wrong = np.flatnonzero(exposure != people["frequency"].to_numpy())
        if len(wrong):
            who = people.iloc[int(wrong[0])]
            raise KcError(
                f"{self._name(path)} has {exposure[wrong[0]]} biographies of {shown(who['name'])}, "
                f"whose frequency is {who['frequency']}; allowed are as many as the frequency says."
            )
        columns = ["person_id", "exposure", "text", *(f"{name}_start" for name in ATTRIBUTES)]
        table = pd.DataFrame(rows, columns=columns)
        table = table.astype(dict.fromkeys(columns, np.int32) | {"text": "str"})
        return table.sort_values(["person_id", "exposure"], kind="stable", ignore_index=True)

    def asked(self, path: Path, people: pd.DataFrame) -> set[int]:
        """person_id of everybody in ``test.jsonl``; nobody where there is no such file."""
        if not path.is_file():
            return set()
        values = people[list(ATTRIBUTES)].to_numpy(dtype=object)
        found = set()
        for place, row in self._rows(path, Entity):
            said = [getattr(row, name) for name in ATTRIBUTES]
            found.add(self._person(row.full_name, lambda i, s=said: list(values[i]) == s, place))
        return found - {None}

    def partners(self, entities: Path, people: pd.DataFrame) -> pd.DataFrame:
        """Corrupted subjects of every circuit file, one per model, task and person."""
        rows = []
        for path in sorted(entities.glob("circuit_*/*/*.jsonl")):
            task = path.stem
            if task not in ATTRIBUTES:
                raise KcError(
                    f"{self._name(path)} is about {shown(task)}; allowed are "
                    f"{', '.join(ATTRIBUTES)}."
                )
            values = people[task].tolist()
            for place, row in self._rows(path, Pair):
                sides = (
                    (row.clean_subject, row.clean_label.strip()),
                    (row.corrupted_subject, row.corrupted_label.strip()),
                )
                both = [
                    self._person(name, lambda i, v=values, s=label: v[i] == s, place)
                    for name, label in sides
                ]
                if None not in both:
                    rows.append((path.parent.name, task, *both))
        columns = ["model", "task", "person_id", "corrupted_person_id"]
        table = pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:3])
        numbers = dict.fromkeys(columns[2:], np.int32)
        return table.astype(numbers | dict.fromkeys(columns[:2], "str")).reset_index(drop=True)


def _start(text: str, name: str, templates: tuple[str, ...], value: str) -> int:
    """The character offset of ``value`` in a biography; -1 if it does not say so.

    Where the value stands more than once (a major inside the name of a university), the sentence
    that speaks of the attribute decides.
    """
    if text.count(f" {value}") == 1:
        return text.index(f" {value}") + 1
    for template in templates:
        sentence = template.replace("{name}", name)
        at = text.find(sentence.replace("{value}", value))
        if at >= 0:
            return at + sentence.index("{value}")
    return -1
