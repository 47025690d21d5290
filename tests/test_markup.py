"""Text from data never becomes markup: names, tokens, captions and paths that try everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup, Comment, Tag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from mdit_py_plugins.substitution import substitution_plugin
from playwright.sync_api import Browser

from kc_utils.book import markdown, run_tables
from kc_utils.explorer.html import Attention, attention_html, message, to_html
from kc_utils.plots.interactive.attention import attention_figure
from kc_utils.plots.interactive.drawing import circuit_drawing
from kc_utils.plots.markup import escape, visible
from kc_utils.plots.tables import table
from kc_utils.runs.folder import Run

TRICKS = (
    "<script>window.ran = 1</script>", "<img src=x onerror='window.ran = 1'>", "</script>",
    "</style>", "</title>", "</table>", "<!--", "-->", "]]>", '" onload="window.ran = 1',
    "' onclick='window.ran = 1", "&lt;b&gt;", "&#60;", "<", "\u2028", "\u2029", "\u202e", "\u2066",
    "\u200f", "\x00", "\x1b[31m", "\ud800", "\ufeff", "$x$", "$$", "\\(x\\)", "\\", "`", "``", "*",
    "**", "_", "~~", "|", "[a](javascript:window.ran=1)", "![](x)", "<https://x.org>", "{{ x }}",
    "{eval}`x`", "{", "&name", "&props", "\n\n# x\n", "\n- x", "\n```\n",
)  # fmt: skip
texts = st.lists(
    st.sampled_from(TRICKS) | st.text(max_size=4, alphabet=st.characters()), min_size=1, max_size=5
).map("".join)
#: A table holds what UTF-8 can; other text comes from where nothing has looked at it.
stored = texts.map(lambda text: text.replace("\ud800", ""))
many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Make = Callable[[str], str]


def skeleton(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """Elements and the names of their attributes in order: all that text must not change."""
    soup = BeautifulSoup(html, "html.parser")
    found = [(tag.name, tuple(tag.attrs)) for tag in soup.find_all(True)]
    return found + [("comment", ()) for _ in soup.find_all(string=lambda s: isinstance(s, Comment))]


def words(html: str) -> str:
    """What a reader sees, without regard to spaces."""
    return "".join(BeautifulSoup(html, "html.parser").get_text().split())


def seen(text: str) -> str:
    return "".join(visible(text).split())


def frame_table(text: str) -> str:
    text = text.replace("\ud800", "")
    frame = pd.DataFrame({text + "a": [text, "b"], "list": [[text], {text: 1}], "n": [0.5, 1.0]})
    return table(frame, names={"n": text + "n"}, caption=text + "c").to_html()


def pattern(n: int) -> torch.Tensor:
    return torch.tril(torch.ones(1, n, n)) / torch.arange(1, n + 1)[None, :, None]


def figure_of_tokens(text: str) -> str:
    tokens = [text + "t", "b"]
    return attention_figure(pattern(2).numpy(), tokens, [text + "h"], alt=text + "x").page()


def explorer_attention(text: str) -> str:
    return attention_html((text + "t", "b"), pattern(2), [text + "h"], text + "x")


def drawing(text: str) -> str:
    edges = pd.DataFrame({"source": ["input"], "target": ["logits"], "score": [1.0]})
    return circuit_drawing(edges, 1, 1, alt=text + "x").page()


HTML: dict[str, Make] = {
    "table": frame_table,
    "attention": figure_of_tokens,
    "explorer attention": explorer_attention,
    "explorer message": message,
    "explorer image": lambda text: to_html(Attention((text + "t",), pattern(1), 0), text + "x"),
    "drawing": drawing,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HTML)
@many
@given(text=texts)
def test_html_has_the_same_elements_whatever_the_text(name: str, text: str) -> None:
    html = HTML[name](text)
    html.encode()  # nothing that a file could not hold
    assert skeleton(html) == skeleton(HTML[name]("harmless"))


@many
@given(text=stored)
def test_a_table_shows_the_text_itself(text: str) -> None:
    soup = BeautifulSoup(frame_table(text), "html.parser")
    heads, cells = (["".join(t.text.split()) for t in soup.find_all(k)] for k in ("th", "td"))
    # A column without a name of its own is read from its key: underscores are spaces there.
    assert heads == [seen((text + "a").replace("_", " ")), "list", seen(text + "n")]
    assert cells[0] == seen(text) and cells[1] == seen(str([text]))
    assert isinstance(caption := soup.caption, Tag)
    assert "".join(caption.text.split()) == seen(text + "c")


@many
@given(text=texts)
def test_data_for_a_script_is_read_as_it_was(text: str) -> None:
    soup = BeautifulSoup(figure_of_tokens(text), "html.parser")
    *_, props = soup.select("script[type='application/json']:not(.frames)")
    assert json.loads(props.text)["tokens"][0] == text + "t"


def rendered(source: str) -> str:
    """Markdown as MyST reads it, with raw HTML allowed as it is there."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader = reader.use(dollarmath_plugin).use(myst_role_plugin).use(substitution_plugin)
    return reader.render(source)


class NamedRun(Run):
    """A run whose every name is ``text``; nothing of it is stored."""

    def __init__(self, text: str) -> None:
        provenance = dict.fromkeys(("machine", "processor", "python", "device"), text)
        self.record = {"stages": {}, "notebooks": {}, "other_seconds": {}}
        self.record["provenance"] = provenance | {"git": text + "g"}
        model = SimpleNamespace(shape="gpt2", source="folder", path=f"/models/{text}m")
        self.config: Any = SimpleNamespace(profile=text, seed=0, model=model)


MARKDOWN: dict[str, Make] = {
    "a line": lambda text: f"of *{markdown.text(text + 'x')}* and",
    "code": lambda text: f"of {markdown.code(text)} and",
    "a table": lambda text: markdown.table((markdown.text(text), "b"), [(markdown.code(text), 1)]),
    "run": lambda text: run_tables.summary(NamedRun(text)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKDOWN)
@many
@given(text=texts)
def test_markdown_has_the_same_elements_whatever_the_text(name: str, text: str) -> None:
    source = MARKDOWN[name](text)
    source.encode()
    assert skeleton(rendered(source)) == skeleton(rendered(MARKDOWN[name]("harmless")))


@many
@given(text=texts)
def test_markdown_shows_the_text_itself(text: str) -> None:
    for name in ("a line", "code"):
        assert seen(text) in words(rendered(MARKDOWN[name](text)))
    assert words(rendered(markdown.text("born_in x"))) == "born_inx"


@pytest.mark.parametrize("text", ["capital", "born_in", "GNU/Linux x86_64, 2 cores", "C++ (R) @ 2"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert markdown.text(text) == text and markdown.code(text) == f"`{text}`"
    assert escape(text) == text


def test_the_tests_see_what_is_not_escaped() -> None:
    raw = "<script>window.ran = 1</script>"
    assert skeleton(f"<td>{raw}</td>") != skeleton("<td>harmless</td>")
    assert skeleton(rendered(f"of *{raw}* and")) != skeleton(rendered("of *harmless* and"))
    assert skeleton(rendered("of *a* *b* and")) != skeleton(rendered("of *harmless* and"))
    assert skeleton(pd.DataFrame({raw: [1]}).style.to_html()) != skeleton(
        pd.DataFrame({"a": [1]}).style.to_html()
    )


@pytest.mark.browser
@pytest.mark.slow
def test_no_script_of_the_data_runs_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    text = "".join(t for t in TRICKS if t != "\ud800")
    parts = [make(text) for make in HTML.values()] + [rendered(m(text)) for m in MARKDOWN.values()]
    file = tmp_path / "page.html"
    page = browser.new_page()
    for body, ran in (("".join(parts), None), (TRICKS[0], 1)):
        file.write_text(f'<!DOCTYPE html><meta charset="utf-8">{body}<hr id="end">', "utf-8")
        page.goto(file.as_uri())
        assert page.locator("#end").count() == 1  # no comment and no style has swallowed the rest
        assert page.evaluate("window.ran ?? null") == ran
    page.close()
