"""Tables that a reader opens when wanted: the page shows their title and stays short."""

from __future__ import annotations

from dataclasses import dataclass, field

from pandas.io.formats.style import Styler

from kc_utils.errors import KcError
from kc_utils.plots.markup import escape


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
        tables: as :func:`~kc_utils.plots.tables.table` makes them.

    Raises:
        KcError: without a table.
    """
    if not tables:
        raise KcError(f"Nothing to fold behind {title!r}; at least one table is needed.")
    return Folded(title, tables)
