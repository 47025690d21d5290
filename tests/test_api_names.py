"""What autodoc writes is readable: short annotations, links where there is a target, no tricks."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

EXTENSIONS = Path(__file__).resolve().parent.parent / "book" / "_ext"
CONFIG = """\
import sys
sys.path[:0] = [{here!r}, {folder!r}]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
              "first_terms", "accessible", "api_names"]
myst_enable_extensions = ["colon_fence"]
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
maximum_signature_line_length = 60
nitpicky = True
html_theme = "basic"
"""
SHAPES = '''\
"""Things with shapes."""

from __future__ import annotations

#: The sizes that are allowed.
SIZES = (1, 2)


class Thing:
    """An edge with a shape.

    Args:
        edge: an edge of it.

    Raises:
        Wrong: always.
    """

    def __init__(self, edge: np.ndarray, most: int = 2**31) -> None:
        pass

    @property
    def rows(self) -> Float[np.ndarray, " n m"]:
        """What it holds."""


class Wrong(Exception):
    """It is wrong."""


def make(
    things: dict[str, Thing] | None, scores: Float[torch.Tensor, " n"], path: str = "a..b"
) -> Thing:
    """Makes a :class:`shapes_elsewhere.Thing`, or a :class:`collections.OrderedDict`."""
'''
ELSEWHERE = "from shapes_of_things import SIZES, Thing\n"
PAGE = """\
# Things

```{{eval-rst}}
.. autoclass:: shapes_of_things.Thing
   :members:
.. autoexception:: shapes_of_things.Wrong
.. autofunction:: shapes_of_things.make
.. autodata:: shapes_of_things.SIZES
```

{more}
"""
GLOSSARY = "# Words\n\n:::{glossary}\nedge\n  A connection.\n\nscore\n  A number.\n:::\n"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A Sphinx project with a module of its own; what it imports is forgotten afterwards."""
    before = list(sys.path)
    (tmp_path / "conf.py").write_text(CONFIG.format(here=str(tmp_path), folder=str(EXTENSIONS)))
    (tmp_path / "index.md").write_text("# Start\n\n```{toctree}\npage\nwords\n```\n")
    (tmp_path / "words.md").write_text(GLOSSARY)
    (tmp_path / "shapes_of_things.py").write_text(SHAPES)
    (tmp_path / "shapes_elsewhere.py").write_text(ELSEWHERE)
    yield tmp_path
    sys.path[:] = before
    for name in ("shapes_of_things", "shapes_elsewhere"):
        sys.modules.pop(name, None)


def build(source: Path, more: str = "") -> tuple[BeautifulSoup, list[str]]:
    """The page of things, and what Sphinx warned of, beside other projects in this process."""
    (source / "page.md").write_text(PAGE.format(more=more))
    warnings = io.StringIO()
    with docutils_namespace():
        Sphinx(source, source, source / "_out", source / "_doc", "html", status=None,
               warning=warnings).build()  # fmt: skip
    html = (source / "_out" / "page.html").read_text("utf-8")
    lines = [line for line in warnings.getvalue().splitlines() if "already registered" not in line]
    return BeautifulSoup(html, "html.parser").find(class_="body"), lines


def test_signatures_links_and_names_of_arguments(source: Path) -> None:
    page, warnings = build(source)
    assert warnings == []
    heads = {dt["id"].removeprefix("shapes_of_things."): dt for dt in page.select("dt.sig[id]")}
    words = {name: " ".join(dt.get_text().rstrip("¶").split()) for name, dt in heads.items()}
    assert words["Thing"] == "class shapes_of_things.Thing(edge: ndarray, most: int = 2**31)"
    assert words["Thing.rows"] == 'property rows: Float[ndarray, "n m"]'
    assert words["make"] == (
        "shapes_of_things.make( things: dict[str, Thing] | None, "
        'scores: Float[Tensor, "n"], path: str = "a..b", ) → Thing'
    )
    assert words["SIZES"] == "shapes_of_things.SIZES = (1, 2)"
    assert "The sizes that are allowed." in heads["SIZES"].find_next("dd").get_text()
    # Lines of parameters are no list of definitions, which would have to define something.
    assert page.select("dt dl, dt dd") == [] and len(heads["make"].select(".sig-line")) == 3
    said = heads["make"].find_next("dd")
    assert [(a.get_text(), a["href"]) for a in said.find_all("a")] == [
        ("Thing", "#shapes_of_things.Thing")
    ]
    assert "OrderedDict" in said.get_text() and "collections" not in said.get_text()
    targets = [a["href"] for a in heads["make"].select("a.reference")]
    assert targets == ["#shapes_of_things.Thing"] * 2
    fields = heads["Thing"].find_next("dl", class_="field-list")
    assert [code.get_text() for code in fields.find_all("code")] == ["edge", "Wrong"]


def test_terms_are_linked_in_sentences_and_not_in_names(source: Path) -> None:
    page, _ = build(source, "An edge has a score.")
    terms = page.select('a[href*="#term-"]')
    assert [a.get_text() for a in terms] == ["edge", "score"]
    assert not [a for a in terms if a.find_parent(["dt", "code"])]


def test_a_reference_to_nothing_is_a_warning(source: Path) -> None:
    _, warnings = build(source, "{py:func}`shapes_of_things.gone` {py:func}`shapes_of_things.make`")
    (warning,) = warnings
    assert "target not found: shapes_of_things.gone" in warning
