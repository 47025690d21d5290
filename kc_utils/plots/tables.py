"""Checks of the tables that figures are drawn from, and tables for the reader."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.errors import KcError


def check(frame: pd.DataFrame, columns: Sequence[str], figure: str) -> pd.DataFrame:
    """Return ``frame`` with a fresh index; KcError when it lacks ``columns`` or is empty."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise KcError(
            f"The table of {figure} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(str, frame.columns)) or 'none'} and needs {', '.join(columns)}."
        )
    if frame.empty:
        raise KcError(f"The table of {figure} is empty; it needs rows of {', '.join(columns)}.")
    return frame.reset_index(drop=True)


def check_unique(frame: pd.DataFrame, keys: Sequence[str], figure: str) -> None:
    """Refuse tables with several rows for one point, and name the columns to choose from."""
    repeated = frame.duplicated(list(keys))
    if not repeated.any():
        return
    others = [c for c in frame.columns if c not in keys and frame[c].dtype.kind not in "f"]
    varying = [c for c in others if _distinct(frame[c]) > 1]
    hint = f"; choose one value of {', '.join(varying)} first" if varying else ""
    raise KcError(
        f"The table of {figure} has {int(repeated.sum())} repeated rows for the same "
        f"{', '.join(keys)}{hint}."
    )


def choose(frame: pd.DataFrame, column: str, values: Sequence | float | None, figure: str) -> list:
    """The chosen ``values`` (or value) of ``column``, or its first, middle and last one."""
    have = sorted(frame[column].unique())
    if values is None:
        return list(dict.fromkeys([have[0], have[len(have) // 2], have[-1]]))
    values = [values] if isinstance(values, int | float) else list(values)
    unknown = [v for v in values if v not in have]
    if unknown or not values:
        raise KcError(
            f"{figure} was asked for {column} {unknown or values}; the table has "
            f"{', '.join(map(str, have))}."
        )
    return values


def table(
    frame: pd.DataFrame,
    digits: int | Mapping[str, int] = 3,
    names: Mapping[str, str] | None = None,
    caption: str | None = None,
) -> Styler:
    """A neat table: rounded numbers, readable column names, no index, empty cells as a dash.

    ``digits`` after the decimal point for floating-point columns, one number or one per column.
    The element identifiers follow from the content: the same table gives the same HTML, and the
    styles of two tables on one page do not mix.
    """
    frame = check(frame, [], "table")
    names = names or {}
    shown = frame.rename(columns=lambda c: names.get(c, str(c).replace("_", " ")))
    floats = [c for c in frame.columns if frame[c].dtype.kind == "f"]
    places = {c: digits if isinstance(digits, int) else digits.get(c, 3) for c in floats}
    formats = {names.get(c, str(c).replace("_", " ")): f"{{:z.{places[c]}f}}" for c in floats}
    styler = (
        Styler(shown, uuid=_identifier(shown), cell_ids=False)
        .format(formats, na_rep="-", escape="html")
        .hide(axis="index")
    )
    numbers = [c for c in shown.columns if shown[c].dtype.kind in "iuf"]
    styler = styler.set_properties(subset=numbers, **{"text-align": "right"})
    return styler.set_caption(caption) if caption else styler


def _identifier(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv().encode()).hexdigest()[:8]


def _distinct(column: pd.Series) -> int:
    try:
        return column.nunique()
    except TypeError:  # lists and other values that cannot be hashed
        return 0
