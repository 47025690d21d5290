"""Stage ``regime``: does this run show what the study is about?

A run is worth analysing when the base model knows its K_rel people and training reaches high
accuracy on what it reads, with checkpoints along the whole rise. What circuits do is a finding and
never a criterion: onset and knee stand in the table to be read, and decide nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from kc_utils.runs.stage import Workspace

#: Criteria: name of the quantity, and the least value it needs.
ACCURACY, LOW_BAND, BETWEEN, LATE = 0.9, 0.8, 4.0, 1 / 3
COLUMNS = ["quantity", "kind", "band", "value", "low", "high", "needed", "passed"]


def compute(work: Workspace) -> None:
    """Table ``regime``: a row per quantity (and kind and band where it has them).

    Columns: quantity, kind, band, value, low, high (95 % interval, NaN where there is none), needed
    (NaN where nothing is asked), passed (empty where nothing is asked).
    """
    run = work.run
    rows = [
        *_knowledge(run.table("prior_knowledge"), work.config.world.known_names == "checked"),
        *_accuracy(pd.concat([run.table("accuracy"), run.table("accuracy_read")])),
        *_shift(run.table("shift"), work.config.circuit.tasks[0]),
    ]
    work.table("regime", pd.DataFrame(rows, columns=COLUMNS))


def _row(quantity: str, value: float, *, kind: str = "all", band: str = "all",
         interval: tuple[float, float] = (float("nan"), float("nan")),
         needed: float = float("nan")) -> dict[str, object]:  # fmt: skip
    passed = "" if needed != needed else ("yes" if value >= needed else "no")
    return dict(zip(COLUMNS, (quantity, kind, band, value, *interval, needed, passed), strict=True))


def _knowledge(table: pd.DataFrame, checked: bool) -> Iterator[dict[str, object]]:
    """Facts that were taught have to be answered; real people (``checked``) have to be known."""
    if len(table):
        row = table.iloc[0]
        facts, people = (float("nan"), 0.9) if checked else (0.9, float("nan"))
        yield _row("base: own facts answered", row["accuracy"], kind="K_rel", needed=facts)
        yield _row("base: commonest answer", row["chance"], kind="K_rel")
        yield _row("base: people known", row["known_share"], kind="K_rel", needed=people)


def _accuracy(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Final accuracy on texts that training read and on new ones, and checkpoints in the rise."""
    for wording, needed in (("read", (ACCURACY, LOW_BAND)), ("trained", (float("nan"),) * 2)):
        chosen = table[table["wording"] == wording]
        last = chosen[chosen["step"] == chosen["step"].max()]
        for row in last.itertuples(index=False):
            least = {"all": needed[0], "low": needed[1]}.get(row.band, float("nan"))
            name = (
                "final accuracy, texts read" if wording == "read" else "final accuracy, new texts"
            )
            yield _row(name, row.value, kind=row.kind, band=row.band,
                       interval=(row.low, row.high), needed=least)  # fmt: skip
    read = table[(table["wording"] == "read") & (table["band"] == "all")]
    curve = read.groupby("step")["value"].mean()
    yield _row("checkpoints at 0.1 to 0.6", float(curve.between(0.1, 0.6).sum()), needed=BETWEEN)
    yield _row("share of checkpoints above 0.8", float((curve > 0.8).mean()), needed=LATE)


def _shift(table: pd.DataFrame, task: str) -> Iterator[dict[str, object]]:
    for row in table[table["task"] == task].itertuples(index=False):
        for bend in ("onset", "knee"):
            ends = (getattr(row, f"{bend}_low"), getattr(row, f"{bend}_high"))
            yield _row(f"{bend} of {row.quantity} (epoch)", float(getattr(row, bend)),
                       kind=row.kind, band=row.band, interval=ends)  # fmt: skip
