"""The ledger for readers: wrapped tables, and how far each verdict is from another one."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.claims.verdict import ALPHA, verdict
from kc_utils.plots.tables import table
from kc_utils.stats import Interval

VERDICTS = ("holds", "does not hold", "undecided")
_BEYOND = 1e-9  # how far past a threshold "past" is, relative to the numbers


def counts(claims: pd.DataFrame) -> str:
    """One sentence: how many claims there are and how many have each verdict."""
    found = [int((claims["verdict"] == name).sum()) for name in VERDICTS]
    words = "**{}** hold, **{}** do not hold and **{}** are undecided".format(*found)
    return f"Of {len(claims)} claims {words}."


def ledger_table(claims: pd.DataFrame) -> Styler:
    """The ledger with wrapped cells: claim, paper, here, control, why.

    Raises:
        KcError: if there are no rows.
    """
    shown = pd.DataFrame(
        {
            "claim": claims["claim"],
            "in the paper": claims["paper"],
            "here (95 % interval)": [measured(row) for row in claims.to_dict("records")],
            "control": [controlled(row) for row in claims.to_dict("records")],
            "why": [reason(row) for row in claims.to_dict("records")],
            "chapter": claims["notebook"].str.partition("_")[0].astype(int).astype(str),
        }
    )
    wrapped = {"white-space": "normal", "text-align": "left", "vertical-align": "top"}
    return table(shown).set_properties(**wrapped)


def measured(row: dict[str, Any]) -> str:
    """Quantity, value, interval and number of units, in words."""
    if math.isnan(row["value"]):
        return f"{row['quantity']}: not measured"
    units = f"; {row['n']:,} {row['units']}"
    return f"{row['quantity']}: {_numbers(row['value'], row['low'], row['high'])}{units}"


def controlled(row: dict[str, Any]) -> str:
    """What the control is, and its value with interval."""
    if math.isnan(row["control_value"]):
        return row["control"]
    numbers = [row[f"control_{part}"] for part in ("value", "low", "high")]
    return f"{row['control']}: {_numbers(*numbers)}"


def reason(row: dict[str, Any]) -> str:
    """Which part of the rule led to the verdict, and the row's note."""
    notes = [_because(row), row["note"]]
    return " ".join(note for note in notes if note)


def changing_shift(row: dict[str, Any]) -> tuple[float, str]:
    """The smallest shift of the effect and its interval that changes the verdict, and to what.

    Control, margin and p-value stay as they are. NaN and "" where no shift does.
    """
    effect = Interval(row["value"], row["low"], row["high"])
    control = Interval(row["control_value"], row["control_low"], row["control_high"])
    how = {name: row[name] for name in ("direction", "margin", "p_value")}
    bars = (control.low, control.high, control.mean - row["margin"], control.mean + row["margin"])
    ends = (effect.mean, effect.low, effect.high)
    scale = _BEYOND * max(map(abs, (*bars, *ends)), default=1.0)
    found = []
    for bar, end, side in product(bars, ends, (-1, 1)):
        shift = bar - end + side * scale
        moved = Interval(*(number + shift for number in ends))
        said = verdict(moved, control, **how)
        if math.isfinite(shift) and said != row["verdict"]:
            found.append((abs(shift), shift, said))
    return min(found)[1:] if found else (math.nan, "")


def narrowest(claims: pd.DataFrame, n: int = 6) -> pd.DataFrame:
    """The ``n`` verdicts that the smallest shift would change, in half-widths of the interval.

    Columns: claim, verdict, shift (unit of the quantity), half-widths, would become.
    """
    rows = []
    for row in claims.to_dict("records"):
        shift, said = changing_shift(row)
        half = (row["high"] - row["low"]) / 2
        if said and half > 0:
            rows.append((row["claim"], row["verdict"], shift, abs(shift) / half, said))
    columns = ["claim", "verdict", "shift", "half-widths", "would become"]
    ordered = pd.DataFrame(rows, columns=columns).sort_values("half-widths", kind="stable")
    return ordered.head(n).reset_index(drop=True)


def _because(row: dict[str, Any]) -> str:
    if math.isnan(row["value"]):
        return ""
    ends = ("low", "high", "control_low", "control_high")
    if any(math.isnan(row[name]) for name in ends):
        return "Too few units for an interval."
    margin = f"{row['margin']:.3g}"
    equal = row["direction"] == "equal"
    if row["verdict"] == "holds":
        return f"Interval within {margin} of the control." if equal else "Beyond the control."
    if row["verdict"] == "does not hold":
        beyond = f"Interval beyond {margin} on one side."
        return beyond if equal else f"An effect of {margin} or more is ruled out."
    if row["p_value"] >= ALPHA:
        return f"p = {row['p_value']:.2g}."
    return "The interval leaves both answers open."


def _numbers(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{value:.3g} (no interval)"
    return f"{value:.3g}" if low == value == high else f"{value:.3g} ({low:.3g} to {high:.3g})"
