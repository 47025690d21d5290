"""Configurations, facts files and command lines that nobody thought of: answers or one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kc_utils import config
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.facts.lines import read_facts

from .command_lines import command_lines, try_words
from .outcome import Outcome

_WORDS = st.text(max_size=30)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=6,
)
_SECTIONS = {name: list(value) for name, value in profiles.load("smoke").model_dump().items()
             if isinstance(value, dict)}  # fmt: skip
_KEYS = st.sampled_from([f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys])


def fuzz(n: int, folder: Path, outcome: Outcome) -> None:
    """Try ``n`` cases, a third of each kind; anything but an answer or one sentence fails."""
    facts = folder / "facts.jsonl"

    def of_settings(key: str, value: object) -> None:
        profiles.load("smoke", [f"{key}={value if isinstance(value, str) else json.dumps(value)}"])
        section, _, name = key.partition(".")
        values = profiles.load("smoke").model_dump(mode="json")
        values[section][name] = value
        config.build(values)

    def of_facts(lines: list[object], raw: bytes) -> None:
        text = "\n".join(json.dumps(line) for line in lines).encode()
        facts.write_bytes(text + raw)
        read_facts(facts)

    def of_words(words: list[str]) -> None:
        try_words(words, folder / "words")

    fact = st.dictionaries(st.sampled_from(["subject", "relation", "object", "x"]), _VALUES)
    _try(n // 3, "setting", of_settings, outcome, _KEYS, _VALUES)
    _try(n // 3, "facts file", of_facts, outcome, st.lists(fact | _VALUES, max_size=5),
         st.binary(max_size=20))  # fmt: skip
    _try(n - 2 * (n // 3), "command line", of_words, outcome, command_lines())


def _try(
    n: int, kind: str, case: Callable[..., None], outcome: Outcome, *drawn: st.SearchStrategy
) -> None:
    @settings(max_examples=n, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.tuples(*drawn))
    def trial(values: tuple) -> None:
        if outcome.over:
            return
        outcome.count(kind)
        try:
            case(*values)
        except KcError:
            pass

    try:
        trial()
    except Exception as error:
        outcome.failures.append(f"{kind}: {type(error).__name__}: {str(error)[:300]}")
