"""Biographies: one sentence per attribute, in random order, each exposure worded differently.

A person of frequency f gets f different biographies (paper, section 2). Going through them, each
attribute uses all its templates once before it repeats one. The table keeps the character offset of
every value, so that accuracy can be measured at the token where a value starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.world.pools import stream

MAX_REDRAWS = 200


def make_biographies(
    people: pd.DataFrame, templates: Mapping[str, Sequence[str]], seed: int
) -> pd.DataFrame:
    """All biographies of ``people``: ``frequency`` rows each, by person and exposure.

    Args:
        people: table with person_id, name, frequency and the five attributes.
        templates: for each attribute the templates that may be used, such as
            ``{name: split.trained for name, split in split_all(share, seed).items()}``.
        seed: same seed, same bytes.

    Returns:
        person_id, exposure (0 to frequency - 1), text, and per attribute ``<attribute>_start``, the
        character offset of the value in the text.

    Raises:
        KcError: if the templates are too few for as many different biographies as a person needs.
    """
    return _write(people, people["frequency"].to_numpy(), templates, stream(seed, "biographies"))


def make_validation(
    people: pd.DataFrame, templates: Mapping[str, Sequence[str]], seed: int
) -> pd.DataFrame:
    """One biography per person, columns as in :func:`make_biographies`.

    With held-out templates none of its sentences occurs in training. With trained templates the
    sentences do, in other combinations (an equal biography is possible but very unlikely).
    """
    once = np.ones(len(people), dtype=np.int64)
    return _write(people, once, templates, stream(seed, "validation biographies"))


def _write(
    people: pd.DataFrame,
    frequency: np.ndarray,
    templates: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    pools = _check(templates)
    row = np.repeat(np.arange(len(people)), frequency)
    exposure = np.arange(len(row)) - np.repeat(np.cumsum(frequency) - frequency, frequency)
    sizes = np.array([len(pool) for pool in pools])
    choice, order = _plan(row, exposure, sizes, rng)
    names = people["name"].to_numpy(dtype=object)[row].tolist()
    sentences, offsets = [], np.empty(choice.shape, dtype=np.int64)
    for a, (attribute, pool) in enumerate(zip(ATTRIBUTES, pools, strict=True)):
        values = people[attribute].to_numpy(dtype=object)[row].tolist()
        lines, offsets[:, a] = _sentences(pool, choice[:, a], names, values)
        sentences.append(lines)
    texts, starts = _join(sentences, offsets, order)
    table = pd.DataFrame(
        {
            "person_id": people["person_id"].to_numpy(dtype=np.int32)[row],
            "exposure": exposure.astype(np.int32),
            "text": pd.Series(texts, dtype="str"),
        }
    )
    for a, attribute in enumerate(ATTRIBUTES):
        table[f"{attribute}_start"] = starts[:, a].astype(np.int32)
    return table


def _check(templates: Mapping[str, Sequence[str]]) -> list[Sequence[str]]:
    missing = [name for name in ATTRIBUTES if not templates.get(name)]
    if missing:
        raise KcError(f"There is no template for {', '.join(missing)}; each attribute needs one.")
    return [templates[name] for name in ATTRIBUTES]


def _plan(
    row: np.ndarray, exposure: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Template indices and sentence orders, both (biographies, attributes), no two alike."""
    n_people = int(row.max(initial=-1)) + 1
    choice = np.empty((len(row), len(sizes)), dtype=np.int64)
    for a, size in enumerate(sizes):
        cycle = rng.random((n_people, size), dtype=np.float32).argsort(axis=1).astype(np.int16)
        choice[:, a] = cycle[row, exposure % size]
    order = rng.random(choice.shape).argsort(axis=1)
    for _ in range(MAX_REDRAWS):
        repeated = _repeats(row, choice, order, sizes)
        if not len(repeated):
            return choice, order
        choice[repeated] = rng.integers(0, sizes, size=(len(repeated), len(sizes)))
        order[repeated] = rng.random((len(repeated), len(sizes))).argsort(axis=1)
    most = int(exposure.max()) + 1
    raise KcError(
        f"A person has {most} biographies but {'+'.join(map(str, sizes))} templates cannot make so "
        "many different ones; lower world.mean_frequency or world.held_out_templates."
    )


def _repeats(
    row: np.ndarray, choice: np.ndarray, order: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Rows whose templates and order repeat an earlier biography of the same person."""
    key = np.zeros(len(row), dtype=np.int64)
    for a, size in enumerate(sizes):
        key = (key * size + choice[:, a]) * len(sizes) + order[:, a]
    frame = pd.DataFrame({"row": row, "key": key})
    return np.flatnonzero(frame.duplicated().to_numpy())


def _sentences(
    pool: Sequence[str], choice: np.ndarray, names: list[str], values: list[str]
) -> tuple[list[str], np.ndarray]:
    """One sentence per biography and the character offset of the value in it."""
    parts = []
    for template in pool:
        # Imported templates may name the value first; what the package has never does.
        name_first = template.index("{name}") < template.index("{value}")
        first, second = ("{name}", "{value}") if name_first else ("{value}", "{name}")
        before, _, rest = template.partition(first)
        between, _, after = rest.partition(second)
        parts.append((before, between, after, name_first))
    lines = []
    for c, name, value in zip(choice.tolist(), names, values, strict=True):
        before, between, after, name_first = parts[c]
        one, two = (name, value) if name_first else (value, name)
        lines.append(f"{before}{one}{between}{two}{after}")
    fixed = np.array([len(before) + len(between) * first for before, between, _, first in parts])
    named = np.array([first for *_, first in parts])
    length = np.fromiter(map(len, names), dtype=np.int64, count=len(names))
    return lines, fixed[choice] + named[choice] * length


def _join(
    sentences: list[list[str]], offsets: np.ndarray, order: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Texts with the sentences in ``order``, and each value's offset in its text."""
    texts = [
        " ".join([lines[k] for k in sequence])
        for lines, sequence in zip(zip(*sentences, strict=True), order.tolist(), strict=True)
    ]
    length = np.array([[len(line) for line in lines] for lines in sentences]).T + 1
    ordered = np.take_along_axis(length, order, axis=1)
    begins = np.cumsum(ordered, axis=1) - ordered
    starts = np.empty_like(offsets)
    np.put_along_axis(starts, order, begins, axis=1)
    return texts, starts + offsets
