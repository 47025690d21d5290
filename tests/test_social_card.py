"""What a page says about itself in its head."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from conftest import ROOT
from docutils.core import publish_doctree

_SPEC = importlib.util.spec_from_file_location("social_card", ROOT / "book/_ext/social_card.py")
social_card = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(social_card)

PAGE = """
Title
=====

.. note:: A note that is long enough to be a description, but is no text of the page itself.

**In one sentence.** Circuits of 120 edges restore most of the answer, :math:`x^2` and all.
More follows.

Other
=====
"""


def test_a_page_is_described_by_its_own_first_sentence() -> None:
    found = social_card.description(publish_doctree(PAGE))
    assert found == "Circuits of 120 edges restore most of the answer, and all."
    assert social_card.description(None) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Short one. " + "And a second that is long enough to say something here. Third.",
         "Short one. And a second that is long enough to say something here."),
        ("word " * 60 + "end.", ("word " * 39).strip() + " …"),
    ],
)  # fmt: skip
def test_whole_sentences_and_no_more_than_previews_show(text: str, shown: str) -> None:
    assert social_card.shortened(text) == shown
    assert len(shown) <= social_card.MOST


@pytest.mark.browser
def test_every_page_of_the_book_has_a_description_and_a_card(pages, built_book: Path) -> None:
    found = {}
    for name in sorted(pages.keys() - {"index.html"}):  # it only leads to the front page
        meta = {tag.get("name") or tag.get("property"): tag["content"]
                for tag in pages[name].find_all("meta", content=True)}  # fmt: skip
        words = meta.get("description", "")
        assert 20 <= len(words) <= social_card.MOST, name
        assert words == meta["og:description"] and meta["og:title"], name
        assert meta["og:url"].endswith(name) and meta["og:image"].endswith("_static/readme.png")
        assert meta["og:url"].startswith("https://") and meta["og:image"].startswith("https://")
        found[name] = words
    assert (built_book / "_static" / "readme.png").is_file()
    own = {words for name, words in found.items() if name.startswith(("book/", "notebooks/"))}
    assert len(own) == sum(name.startswith(("book/", "notebooks/")) for name in found)
