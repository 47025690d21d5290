"""What is certain about the real people of the pool ``real_people``: country and occupation."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files

import pandas as pd

OCCUPATIONS = frozenset(
    "activist actor architect astronaut astronomer biologist boxer businessman chemist composer "
    "cricketer economist emperor explorer golfer inventor mathematician musician novelist painter "
    "philosopher physicist playwright poet politician president psychologist revolutionary runner "
    "sculptor singer swimmer writer".split()
) | {
    "baseball player",
    "basketball player",
    "chess player",
    "fashion designer",
    "film director",
    "football player",
    "prime minister",
    "racing driver",
    "tennis player",
}


@cache
def _text() -> str:
    path = files("kc_utils") / "data" / "pools" / "real_people_facts.csv"
    return path.read_text(encoding="utf-8")


def real_people_facts() -> pd.DataFrame:
    """A row per real person whose facts are certain: name, country, occupation.

    ``country`` is the one that the person is known for, ``occupation`` one of
    :data:`OCCUPATIONS`. People of whom either can be disputed are left out.
    """
    return pd.read_csv(io.StringIO(_text()), dtype="str", keep_default_na=False)
