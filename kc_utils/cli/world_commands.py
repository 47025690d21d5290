"""``kc import-world``: the paper's own people and texts, as a world that runs can take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()


def import_world(
    clone: Annotated[
        Path, typer.Argument(metavar="DIR", help="Clone of the repository of the paper.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the world.")],
) -> None:
    """Make a world of the paper's own data, from a clone of zjunlp/DynamicKnowledgeCircuits.

    People, frequencies, pools and templates are read, and biographies and query files where they
    are there. Runs take the world with --set world.imported=OUT.
    """
    from kc_utils.study.imported_world import import_world

    counts = import_world(clone, out)
    texts = f"{counts['biographies']:,} biographies" if counts["biographies"] else (
        "no biographies (no train.jsonl: they will be made from the templates)"
    )  # fmt: skip
    asked = f"{counts['asked']:,} people are asked" if counts["asked"] else (
        "no query files (who is asked will be drawn)"
    )  # fmt: skip
    console.print(
        f"{out}: {counts['people']:,} people ({counts['K_rel']:,} K_rel, {counts['K_compl']:,} "
        f"K_compl), frequency {counts['mean_frequency']:.2f} on average and at most "
        f"{counts['most_frequency']}; {texts}; {asked}; {counts['partners']:,} published partners",
        soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip
    changes = (f"{n:,} {what}, such as {first}" for what, (n, first) in counts["changes"].items())
    lines = (f"{name}: {number:,}" for name, number in counts["lines"].items())
    for text in (*changes, *lines):
        console.print(f"  {text}", soft_wrap=True, markup=False, highlight=False)
