"""The README of the folder that a participant gets."""

from __future__ import annotations

from collections.abc import Sequence

from kc_utils.book.exercises import MOST_DOTS, Exercise

_WITH_RUN = """\
`run/` holds a finished run ({mib:.1f} MiB): models, scores and tables. The notebooks point at it,
so no cell trains anything. Chapters that are opened here write their figures into it."""
_WITHOUT_RUN = """\
The notebooks read the run that their cell of parameters names. If there is none yet,
`kc run --profile tiny` computes it in the checkout of the book, in minutes."""
_README = """\
# Exercises of Knowledge Circuits

{n} exercises, about {hours:.0f} hours in all. Each notebook can be done on its own.

1. Start JupyterLab in this folder, in the environment of the book: `jupyter lab` in a terminal, or
   `.venv/bin/jupyter lab DIR` in the checkout of the book, where `DIR` is this folder. Nothing here
   needs a network.
2. Open a notebook below `notebooks/exercises` and run its cells from the top, with Shift+Enter.
   The first ones load the libraries and the model. Beside a cell that has not ended stands `[*]`;
   for these that can be half a minute.
3. Write your answer instead of `raise NotImplementedError`, run that cell, and then the test
   in the next one. It says in a sentence what is wrong. Hint and common mistakes are folded under
   it.

No exercise needs another, so any can be left out. *Run All Cells* stops at the first that has no
answer yet.

{data}

| exercise | title | difficulty | minutes |
| --- | --- | --- | --- |
{rows}
"""


def readme(exercises: Sequence[Exercise], run_mib: float) -> str:
    """What to do, with the list of exercises; ``run_mib`` is the size of the run, 0 for none."""
    hours = sum(e.minutes for e in exercises) / 60
    rows = [
        f"| {e.number} | [{e.title}](notebooks/exercises/{e.notebook}.ipynb) | "
        f"{e.difficulty} of {MOST_DOTS} | {e.minutes} |"
        for e in exercises
    ]
    data = _WITH_RUN.format(mib=run_mib) if run_mib else _WITHOUT_RUN
    return _README.format(n=len(exercises), hours=hours, data=data, rows="\n".join(rows))
