"""Whether the paper's files agree with each other: people, pools, texts and queries."""

from __future__ import annotations

from collections.abc import Mapping

from kc_utils.errors import KcError, shown
from kc_utils.world.clone_lines import Biography, Entity, Place


def check_person(
    person: Entity, kind: str, allowed: Mapping[str, frozenset[str]], place: Place
) -> None:
    if person.type != kind:
        raise KcError(f"{place}: type = {shown(person.type)} is not possible; allowed is {kind!r}.")
    whole = f"{person.birth_date} {person.birth_month}, {person.birth_year}"
    if person.birthday != whole:
        raise KcError(
            f"{place}: birthday = {shown(person.birthday)} does not fit birth_date, birth_month "
            f"and birth_year; allowed is {shown(whole)}."
        )
    for name, pool in allowed.items():
        value = getattr(person, name)
        if value not in pool:
            raise KcError(
                f"{place}: {name} = {shown(value)} is not in its selection pool; allowed are the "
                f"{len(pool):,} values there."
            )


def known(name: str, ids: Mapping[str, int], place: Place) -> int:
    if name not in ids:
        raise KcError(
            f"{place}: {shown(name)} is nobody in new.jsonl or revised.jsonl; allowed are the "
            f"{len(ids):,} people there."
        )
    return ids[name]


def same(given: str, value: str, attribute: str, name: str, place: Place) -> None:
    if given != value:
        raise KcError(
            f"{place}: {attribute} = {shown(given)} of {shown(name)} is not possible; allowed is "
            f"{shown(value)}."
        )


def start_of(
    row: Biography, attribute: str, value: str, templates: tuple[str, ...], place: Place
) -> int:
    """The character offset of ``value`` in a biography.

    Where the value stands more than once (a major inside the name of a university), the sentence
    that speaks of the attribute decides.
    """
    if row.text.count(f" {value}") == 1:
        return row.text.index(f" {value}") + 1
    for template in templates:
        before = template.partition("{value}")[0].replace("{name}", row.full_name)
        sentence = template.replace("{name}", row.full_name).replace("{value}", value)
        at = row.text.find(sentence)
        if at >= 0:
            return at + len(before)
    raise KcError(
        f"{place}: text = {shown(row.text)} does not say {attribute} {shown(value)}; allowed is a "
        "text with a sentence of the templates for each attribute."
    )
