"""Tables behind a title: all of them are there, and their title is text."""

from __future__ import annotations

import pandas as pd
import pytest

from kc_utils import plots
from kc_utils.errors import KcError


def test_the_page_holds_the_title_and_all_tables_closed() -> None:
    first, second = (plots.table(pd.DataFrame({"n": [n]})) for n in (41, 42))
    html = plots.folded("Two tables", first, second)._repr_html_()
    assert html.startswith('<details class="kc-fold"><summary>Two tables</summary>')
    assert html.endswith("</details>") and "open" not in html.partition("\n")[0]
    assert first.to_html() in html and second.to_html() in html


def test_a_title_is_text_and_never_markup() -> None:
    html = plots.folded("<script>", plots.table(pd.DataFrame({"n": [1]})))._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_nothing_to_fold_is_named() -> None:
    with pytest.raises(KcError, match="behind 'Curves'; at least one table"):
        plots.folded("Curves")
