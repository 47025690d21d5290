"""Checks of the tables that figures are drawn from, and tables for the reader, open or folded."""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.errors import KcError
from kc_utils.plots.markup import escape, visible
from kc_utils.plots.style import ordered

#: What readers are shown for columns of stored tables, and for values of some columns.
HEADS = {
    "kind": "type", "task": "relation", "reader_class": "edges into", "n_people": "people",
    "n_seeds": "seeds", "seeds_for": "seeds in which it holds",
    "discover": "discovery people", "evaluate": "held-out people",
}  # fmt: skip
_INTERVAL = {"low": "from (95 %)", "high": "to (95 %)"}
VALUES = {
    "split": {"discover": "discovery people", "evaluate": "held-out people"},
    "wording": {"held_out": "held-out"},
    "circuit": {
        "own": "discovered",
        "random_per_layer": "random, same per layer",
        "other_relation": "another relation",
    },
    "reader_class": {"qk": "q and k", "mlp": "MLPs"},
}


def check(
    frame: pd.DataFrame, columns: Sequence[str], figure: str, unique: Sequence[str | None] = ()
) -> pd.DataFrame:
    """Return ``frame`` with a fresh index.

    Raises:
        KcError: it lacks one of ``columns``, is empty, or has several rows for the same values of
            the columns ``unique`` (of those that it has).
    """
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise KcError(
            f"The table of {figure} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(str, frame.columns)) or 'none'} and needs {', '.join(columns)}."
        )
    if frame.empty:
        raise KcError(f"The table of {figure} is empty; it needs rows of {', '.join(columns)}.")
    if keys := [c for c in unique if c in frame]:
        _check_unique(frame, keys, figure)
    return frame.reset_index(drop=True)


def _check_unique(frame: pd.DataFrame, keys: list[str], figure: str) -> None:
    repeated = frame.duplicated(keys)
    if not repeated.any():
        return
    others = [c for c in frame.columns if c not in keys and frame[c].dtype.kind not in "f"]
    varying = [c for c in others if _distinct(frame[c]) > 1]
    hint = f"; choose one value of {', '.join(varying)} first" if varying else ""
    raise KcError(
        f"The table of {figure} has {int(repeated.sum())} repeated rows for the same "
        f"{', '.join(keys)}{hint}."
    )


def check_known(values: pd.Series, allowed: Iterable[str], figure: str) -> None:
    """KcError when a column holds something that ``figure`` cannot draw; gaps are left alone."""
    if unknown := set(values.dropna()) - set(allowed):
        raise KcError(f"{figure} got {values.name} {sorted(unknown)}; allowed are {[*allowed]}.")


def groups(frame: pd.DataFrame, column: str | None) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The parts of ``frame`` in the palette's order; None and all of it without the column."""
    if column not in frame:
        yield None, frame
        return
    for value in ordered(column, frame[column]):
        yield value, frame[frame[column] == value]


def several(frame: pd.DataFrame, column: str) -> str | None:
    """``column`` when the table has more than one value of it."""
    return column if column in frame and frame[column].nunique() > 1 else None


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
    gap: str = "-",
) -> Styler:
    """A neat table: rounded numbers, readable column names, no index, empty cells as a dash.

    Columns of stored tables have the names of :data:`HEADS`, unless ``names`` has others.
    ``digits`` after the decimal point for floating-point columns, one number or one per column;
    ``gap`` is how these show a cell without a value.
    The element identifiers follow from the content: the same table gives the same HTML, and the
    styles of two tables on one page do not mix. Cells, column names and caption are text: what
    looks like markup in them is shown and does nothing.
    """
    frame = _readable(check(frame, [], "table"))
    names = _heads(frame) | dict(names or {})
    shown = frame.rename(columns=names)
    floats = {names[c]: c for c in frame.columns if frame[c].dtype.kind == "f"}
    places = {n: digits if isinstance(digits, int) else digits.get(c, 3) for n, c in floats.items()}
    styler = Styler(shown, uuid=_identifier(shown), cell_ids=False)
    styler = styler.format(na_rep="-", escape="html").hide(axis="index")
    formats = {name: f"{{:z.{n}f}}" for name, n in places.items()}
    styler = styler.format(formats, subset=[*floats], na_rep=gap, escape="html")
    styler = styler.format_index(escape, axis="columns")
    to_the_right = [c for c in shown.columns if shown[c].dtype.kind in "iuf"]
    styler = styler.set_properties(subset=to_the_right, **{"text-align": "right"})
    return styler.set_caption(escape(caption)) if caption else styler


def numbers_table(values: Mapping[str, Any], caption: str | None = None) -> Styler:
    """A one-row table of named values; real numbers have three significant digits."""
    shown = {k: f"{v:.3g}" if isinstance(v, float) else f"{v:,}" if isinstance(v, numbers.Integral)
             else v for k, v in values.items()}  # fmt: skip
    return table(pd.DataFrame([shown]), caption=caption)


@dataclass(frozen=True)
class Folded:
    """Tables behind a title; ``title`` is text, and what looks like markup in it does nothing."""

    title: str
    tables: tuple[Styler, ...] = field(repr=False)

    def _repr_html_(self) -> str:
        inside = "\n".join(table.to_html() for table in self.tables)
        summary = f"<summary>{escape(self.title)}</summary>"
        return f'<details class="kc-fold">{summary}\n{inside}\n</details>'


def folded(title: str, *tables: Styler) -> Folded:
    """``tables`` behind a line that says what they hold, to be opened by a click or Enter.

    Args:
        title: what a reader finds inside, in words, with how much of it.
        tables: as :func:`table` makes them.

    Raises:
        KcError: without a table.
    """
    if not tables:
        raise KcError(f"Nothing to fold behind {title!r}; at least one table is needed.")
    return Folded(title, tables)


def _heads(frame: pd.DataFrame) -> dict[str, str]:
    """What each column is called: two columns are never called the same."""
    known = dict(HEADS)
    if {*_INTERVAL} <= {*frame.columns} and "medium" not in frame:  # else these are bands
        known |= _INTERVAL
    plain = {c: str(c).replace("_", " ") for c in frame.columns}
    return plain | {c: n for c, n in known.items() if c in plain and n not in plain.values()}


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """All that is no number as text: pandas escapes text only, and a list may hold markup too."""
    frame = frame.copy()
    for name in frame.columns:
        if frame[name].dtype.kind not in "biufcmM":
            shown = frame[name].replace(VALUES.get(str(name), {}))
            frame[name] = pd.Series(map(_text, shown), dtype=object)
    return frame


def _text(value: Any) -> Any:
    plain = value is None or value is pd.NA or value is pd.NaT or isinstance(value, numbers.Number)
    return value if plain else visible(value)


def _identifier(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv().encode()).hexdigest()[:8]


def _distinct(column: pd.Series) -> int:
    try:
        return column.nunique()
    except TypeError:  # lists and other values that cannot be hashed
        return 0
