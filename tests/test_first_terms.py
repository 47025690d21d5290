"""First uses of glossary terms become links; headings, code, links and later uses do not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

EXTENSIONS = Path(__file__).resolve().parent.parent / "book" / "_ext"
CONFIG = """\
import sys
sys.path.insert(0, {folder!r})
extensions = ["myst_parser", "first_terms"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
first_terms_explicit = ["reader"]
html_theme = "basic"
"""
GLOSSARY = """\
# Words

:::{glossary}
edge
  A connection.

edge activation ratio
  A share of edges.

EAP
  A method.

EAP-IG
  Another method.

Hit@10
  A share of queries.

frequency
  How often.

reader
  A node that reads.
:::
"""
PAGE = """\
# An edge in a heading

Plain `edge` and [edge](words.md) are no prose. | The *Edges* come first, an edge later.
A reader stays plain; {term}`marked <reader>` is linked.

The edge activation
ratio counts. EAP-IG is not EAP, EAPs are. Frequencies, wedges and edge-like things. Hit@10 too.

| edge | frequency |
| --- | --- |
| EAP | EAP |

{term}`EAP`, $edge$.
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BeautifulSoup]:
    """Two pages and a glossary, built by Sphinx with warnings as errors."""
    source = tmp_path_factory.mktemp("terms")
    (source / "conf.py").write_text(CONFIG.format(folder=str(EXTENSIONS)))
    (source / "index.md").write_text("# Start\n\n```{toctree}\npage\nwords\n```\n\nNo use here.\n")
    (source / "page.md").write_text(PAGE)
    (source / "words.md").write_text(GLOSSARY)
    before = list(sys.path)
    app = Sphinx(source, source, source / "_out", source / "_doc", "html", status=None,
                 warningiserror=True)  # fmt: skip
    app.build()
    sys.path[:] = before
    html = {name: (source / "_out" / f"{name}.html").read_text() for name in ("page", "words")}
    return {
        name: BeautifulSoup(text, "html.parser").find(class_="body") for name, text in html.items()
    }


def _linked(page: BeautifulSoup) -> list[str]:
    links = page.select('a[href*="#term-"]:not(.headerlink)')
    return [" ".join(link.get_text().split()) for link in links]


@pytest.mark.slow
def test_the_first_plain_use_of_each_term_is_linked_in_order(built) -> None:
    assert _linked(built["page"]) == [
        "Edges", "marked", "edge activation ratio", "EAP-IG", "EAP", "Frequencies", "Hit@10", "EAP",
    ]  # fmt: skip


def test_links_lead_to_the_longest_term(built) -> None:
    (link,) = [a for a in built["page"].find_all("a") if a.get_text().startswith("edge act")]
    assert link["href"].endswith("#term-edge-activation-ratio")


def test_headings_code_tables_and_formulas_stay_plain(built) -> None:
    for kind in ("h1", "code", "table", "span.math"):
        assert not [a for tag in built["page"].select(kind) for a in _linked(tag)], kind


def test_the_glossary_does_not_link_to_itself(built) -> None:
    assert _linked(built["words"]) == []


def test_an_everyday_word_is_linked_only_where_it_is_marked(built) -> None:
    assert "reader" not in _linked(built["page"]) and "marked" in _linked(built["page"])
