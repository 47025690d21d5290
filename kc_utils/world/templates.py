"""Sentence templates: how biographies, queries and base texts put a fact into words.

A template holds ``{name}`` once and, after it and after a space, ``{value}`` once, and ends with a
period. So a causal model has read the name when it meets the value, and the value's first token
starts with a space. A *query prompt* is a template cut before its value, which then comes last.

Facts can be extracted only if they were seen in several wordings (Allen-Zhu & Li 2023), and recall
inside and outside the trained wordings are different things. Hence each attribute's templates are
split into trained ones and held-out ones, which training never shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kc_utils.errors import KcError
from kc_utils.world.pools import ATTRIBUTE_POOLS, check_attribute, read_data, stream

OTHER_RELATIONS = ("hobby", "pet", "spouse", "club", "book")
WORDINGS = ("trained", "held_out")
HELD_OUT_PROMPTS = 4  # held-out templates with the value last, where the share leaves room
_TAIL = " {value}."


@dataclass(frozen=True)
class Templates:
    """The two parts of one attribute's templates."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """One of the five relations that only base texts speak of."""

    values: tuple[str, ...]
    templates: tuple[str, ...]


def load_templates(attribute: str) -> tuple[str, ...]:
    """All biography templates of ``attribute``, trained and held out together."""
    return tuple(_read(attribute)["templates"])


def load_base_templates(attribute: str) -> tuple[str, ...]:
    """Templates for old values of ``attribute`` in base texts; none is a biography template."""
    return tuple(_read(attribute)["base_templates"])


def load_relation(name: str) -> Relation:
    """Values and templates of one of the relations hobby, pet, spouse, club and book."""
    if name not in OTHER_RELATIONS:
        allowed = ", ".join(OTHER_RELATIONS)
        raise KcError(f"There is no base relation {name!r}; allowed are {allowed}.")
    content = _relation(name)
    return Relation(tuple(content["values"]), tuple(content["templates"]))


def split_templates(attribute: str, held_out_share: float, seed: int) -> Templates:
    """Split the templates of ``attribute`` at random into trained and held-out ones.

    The canonical trained query's template is always trained, the canonical held-out query's always
    held out; each comes first in its part. Up to :data:`HELD_OUT_PROMPTS` held-out templates have
    their value last. Both parts keep at least one template whatever the share.

    Raises:
        KcError: if the share is outside 0..1 or the attribute is unknown.
    """
    if not 0 <= held_out_share <= 1:
        raise KcError(f"held_out_share = {held_out_share} is not a share; allowed are 0 to 1.")
    templates = load_templates(attribute)
    first, last = (query_prompt(attribute, wording) + _TAIL for wording in WORDINGS)
    n_held_out = min(max(round(held_out_share * len(templates)), 1), len(templates) - 1)
    others = [t for t in templates if t not in (first, last)]
    order = stream(seed, f"templates {attribute}").permutation(len(others))
    shuffled = [others[i] for i in order]
    prompts = [t for t in shuffled if t.endswith(_TAIL)][: HELD_OUT_PROMPTS - 1]
    ranked = prompts + [t for t in shuffled if t not in prompts]
    held_out = set(ranked[: n_held_out - 1])
    return Templates(
        trained=(first, *(t for t in others if t not in held_out)),
        held_out=(last, *(t for t in others if t in held_out)),
    )


def split_all(held_out_share: float, seed: int) -> dict[str, Templates]:
    """:func:`split_templates` for each of the five attributes."""
    return {name: split_templates(name, held_out_share, seed) for name in ATTRIBUTE_POOLS}


def query_prompt(attribute: str, wording: str = "trained") -> str:
    """The canonical query prompt of ``attribute``, with ``{name}`` and without a final space.

    ``wording`` is ``"trained"`` (the prompts that the paper names) or ``"held_out"``.
    """
    if wording not in WORDINGS:
        raise KcError(f"There is no wording {wording!r}; allowed are {', '.join(WORDINGS)}.")
    return _read(attribute)[f"{wording}_query"]


def prompts_of(templates: tuple[str, ...]) -> tuple[str, ...]:
    """The templates whose value comes last, cut before it: they can serve as query prompts."""
    return tuple(t.removesuffix(_TAIL) for t in templates if t.endswith(_TAIL))


@cache
def _read(attribute: str) -> dict:
    return read_data("templates", check_attribute(attribute))


@cache
def _relation(name: str) -> dict:
    return read_data("relations", name)
