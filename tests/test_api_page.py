"""The page of the engine has every public name, and docstrings say what a reader needs."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from bs4 import BeautifulSoup

from kc_utils import circuits
from kc_utils.book.build import described_source, stored_notebooks
from kc_utils.circuits import Circuit, Graph
from kc_utils.errors import KcError

ROOT = Path(__file__).resolve().parent.parent
FACE = "kc_utils.circuits"
PAGE = (ROOT / "book" / "api.md").read_text("utf-8")
DIRECTIVE = re.compile(r"^\.\. auto(?:function|class|exception|data):: (\S+)$", re.MULTILINE)
#: An annotation that says all: an array with its shape, or a class with a description of its own.
TELLING = re.compile(
    r"\b(?:Float|Int|Bool)\[|\b(?:TransformerBridge|Adapter|PairBatch|Graph|Circuit|Edges|GraphFile"
    r"|AttributionSettings|MeanOutputs|References|BatchEvaluation|Path)\b"
)

#: A docstring that leaves its arguments to another one.
ELSEWHERE = re.compile(r"\barguments\b[^.]*\bthose\s+of\s+:func:")


def described(page: str) -> list[str]:
    """Full names of what a page describes, in its order."""
    return DIRECTIVE.findall(page)


def missing(page: str) -> set[str]:
    """Public names of the engine that a page does not describe."""
    return {name for name in circuits.__all__ if f"{FACE}.{name}" not in described(page)}


def faults(name: str, value: Any, owner: Any = None) -> list[str]:
    """What a docstring lacks: an argument that nothing explains, or an error that it can raise."""
    said = inspect.getdoc(value) or ""
    texts = (said, "" if owner is None else inspect.getdoc(owner) or "")
    elsewhere = any(ELSEWHERE.search(text) for text in texts)
    found = [] if len(said) > 20 else [f"{name}: no docstring"]
    for parameter in inspect.signature(value).parameters.values():
        own = parameter.name
        explained = elsewhere or re.search(rf"^ +{own}: |``{own}``", said, re.MULTILINE)
        if own != "self" and not explained and not TELLING.search(str(parameter.annotation)):
            found.append(f"{name}: nothing about {own}")
    if any(raises(f, set()) for f in code_of(value)):
        if not any(re.search(r"^Raises:\n +KcError: ", text, re.MULTILINE) for text in texts):
            found.append(f"{name}: does not say that it raises KcError")
    return found


def code_of(value: Any) -> list[Callable]:
    """The functions that run when ``value`` is called: itself, or what makes an instance."""
    if inspect.isclass(value):
        names = ("__init__", "__post_init__")
        return [vars(value)[n] for n in names if inspect.isfunction(vars(value).get(n))]
    return [value]


def raises(function: Callable, known: set[Any]) -> bool:
    """Whether a function raises KcError, or calls one of the engine that does, by its name."""
    function = inspect.unwrap(function)
    if function in known or not function.__module__.startswith((FACE, __name__)):
        return False
    known.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except OSError:  # made by dataclass
        return False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called = function.__globals__.get(node.func.id)
        if called is KcError:
            return True
        if (inspect.isfunction(called) or inspect.isclass(called)) and any(
            raises(f, known) for f in code_of(called) if inspect.isfunction(inspect.unwrap(f))
        ):
            return True
    return False


def members(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods of a class that have a docstring and so are on the page."""
    for name in vars(value):
        found = getattr(value, name)
        callable_ = inspect.isfunction(found) or inspect.ismethod(found)
        if not name.startswith("_") and callable_ and found.__doc__:
            yield name, found


def typed_by_mistake(value: type) -> list[str]:
    """Properties whose first line has a colon: napoleon takes what is in front of it for a type."""
    found = []
    for name, member in vars(value).items():
        said = member.__doc__ if isinstance(member, property | cached_property) else None
        if not name.startswith("_") and ": " in (said or "").partition("\n")[0]:
            found.append(f"{name}: a colon in its first line")
    return found


def all_faults(page: str) -> list[str]:
    found = []
    for name in described(page):
        value = resolve_name(name)
        if inspect.isclass(value) and value is not KcError:
            found += [f for n, m in members(value) for f in faults(f"{name}.{n}", m, value)]
            found += typed_by_mistake(value)
        if (inspect.isclass(value) or inspect.isfunction(value)) and value is not KcError:
            found += faults(name, value)
    return found


def test_every_public_name_is_on_the_page_once() -> None:
    assert missing(PAGE) == set()
    assert len(described(PAGE)) == len(set(described(PAGE)))


def test_a_public_name_that_is_not_on_the_page_is_named() -> None:
    without = PAGE.replace(".. autofunction:: kc_utils.circuits.top_n\n", "")
    assert without != PAGE and missing(without) == {"top_n"}


def test_what_chapters_import_from_the_engine_is_on_the_page() -> None:
    known = {resolve_name(name) for name in described(PAGE)}
    imported = set()
    for path in (p for p in stored_notebooks(ROOT) if p.parent.name == "notebooks"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
            tree = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
            for node in (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)):
                if (node.module or "").startswith(FACE):
                    imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert len(imported) > 15
    assert {name for name in imported if resolve_name(name) not in known} == set()


def test_docstrings_explain_arguments_and_errors() -> None:
    assert all_faults(PAGE) == []


def _refuses(n: int) -> None:
    raise KcError(f"{n} is refused.")


def _silent(n: int, circuit: Circuit) -> None:
    """Calls another function and explains neither its number nor its error."""
    _refuses(n)


def _clear(n: int, circuit: Circuit) -> None:
    """Calls another function.

    Args:
        n: any number.

    Raises:
        KcError: always.
    """
    _refuses(n)


class _Odd:
    @property
    def kind(self) -> str:
        """Kind: one of two."""


def test_a_docstring_that_says_too_little_is_named() -> None:
    assert typed_by_mistake(_Odd) == ["kind: a colon in its first line"]
    assert faults("f", _clear) == []
    assert faults("f", _silent) == ["f: nothing about n", "f: does not say that it raises KcError"]
    assert faults("f", _refuses)[0] == "f: no docstring"
    assert raises(Graph.edges_from_names, set()) and not raises(Graph.edge_names, set())


def test_a_changed_docstring_builds_the_page_again(tmp_path: Path) -> None:
    (tmp_path / "kc_utils" / "circuits").mkdir(parents=True)
    graph = tmp_path / "kc_utils" / "circuits" / "graph.py"
    graph.write_text('"""A graph."""\n')
    before = described_source(tmp_path)
    graph.write_text('"""The graph."""\n')
    assert before.keys() == described_source(tmp_path).keys() == {"kc_utils/circuits/graph.py"}
    assert before != described_source(tmp_path)
    assert {"kc_utils/circuits/bridge.py", "kc_utils/errors.py"} <= described_source(ROOT).keys()


@pytest.fixture(scope="module")
def page(built_book: Path) -> BeautifulSoup:
    """The page of the built book."""
    return BeautifulSoup((built_book / "book" / "api.html").read_text("utf-8"), "html.parser")


def test_the_built_page_has_every_name_with_its_signature(page) -> None:
    heads = {str(dt["id"]): dt for dt in page.select("dl.py > dt.sig[id]")}
    assert set(described(PAGE)) <= heads.keys()
    shown = heads[f"{FACE}.attribute"].get_text(" ", strip=True)
    assert 'Float [ Tensor , "n_forward n_backward" ]' in shown
    assert heads[f"{FACE}.neurons.strongest"].get_text().strip().startswith("neurons.strongest")
    for name, head in heads.items():
        text = head.get_text()
        assert "kc_utils" not in text.replace("kc_utils.errors.KcError", ""), name
        assert not re.search(r"jaxtyping|torch\.|numpy\.|<class|<function", text), name


def test_names_in_descriptions_lead_to_their_place(page) -> None:
    links = [a for a in page.select("dl.py > dd a.reference") if a["href"].startswith("#kc_utils")]
    assert len(links) > 50
    anchors = {str(tag["id"]) for tag in page.find_all(id=True)}
    assert [a["href"] for a in links if a["href"][1:] not in anchors] == []
    dotted = [a.get_text() for a in links if "." in a.get_text() and a.get_text() not in a["href"]]
    assert dotted == []
    back = [a for a in page.select('dt.sig a[href="#kc_utils.circuits.PairBatch"]')
            if "headerlink" not in a["class"]]  # fmt: skip
    assert len(back) > 5


def test_terms_are_linked_in_sentences_only(page) -> None:
    terms = page.select('article a[href*="glossary.html#term-"]')
    assert terms and not [a for a in terms if a.find_parent(["dt", "code", "pre", "h2", "h3"])]
