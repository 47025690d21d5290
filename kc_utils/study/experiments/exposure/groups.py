"""Who is injected when: groups of new people with a shared clock, and what is asked about them.

After Chang et al. 2024 (arXiv 2406.11813) and Allen-Zhu & Li 2023 (arXiv 2309.14316). Four groups
of new people, all on the same clock:

- ``once``: one biography, at the step of the last exposure,
- ``repeated``: the same biography at every exposure,
- ``varied``: another wording at every exposure,
- ``never``: no biography at all. What changes about them is drift.

The last text of the three groups is at the same step, so equal delays are equal steps. People are
dealt to ``spacing`` cohorts whose clocks start one step after another: every step injects the texts
of one cohort, a small part of its blocks, and the measurements do not hang on one lucky batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils.config import ATTRIBUTES, Config, ExposureConfig
from kc_utils.errors import KcError
from kc_utils.study.experiments.exposure.gain import SEEN, SHOWN
from kc_utils.world import make_biographies, make_new_people, split_all
from kc_utils.world.prompts import WORDINGS, make_queries

GROUPS = (*SHOWN, "never")
_SEED = 5  # keeps these people apart from those of other stages


@dataclass(frozen=True)
class Clock:
    """Optimiser steps (from 0) of the exposures of each cohort, and when it is measured."""

    exposures: int
    spacing: int
    steps_after: int
    lead_in: int

    @classmethod
    def of(cls, chosen: ExposureConfig) -> Clock:
        """The clock that a configuration asks for."""
        return cls(chosen.exposures, chosen.spacing, chosen.steps_after, chosen.lead_in)

    @property
    def n_steps(self) -> int:
        """Steps until the last cohort was measured for the last time."""
        return self.last(self.spacing - 1) + 1 + self.steps_after

    def steps(self, cohort: int) -> list[int]:
        """The steps whose blocks hold a biography, one for each exposure."""
        return [self.lead_in + cohort + k * self.spacing for k in range(self.exposures)]

    def last(self, cohort: int) -> int:
        """The step of the last exposure."""
        return self.steps(cohort)[-1]

    @property
    def delays(self) -> list[int]:
        """Measured steps since the last exposure: 0, 1, 4, 8, 12, 16, 24, ... and the last one."""
        doubled = {1, *(4 * 2**k for k in range(16)), *(12 * 2**k for k in range(16))}
        steps = {0, self.steps_after} | doubled
        return sorted(s for s in steps if s <= self.steps_after)

    def measured(self, cohort: int) -> dict[int, tuple[int, int]]:
        """Steps done when a cohort is measured, to ``since`` and exposures so far.

        ``since`` counts steps since the step of the last exposure: 0 right after it, negative
        before. One measurement is right before each exposure.
        """
        end = self.last(cohort) + 1
        before = {step: (step - end, k) for k, step in enumerate(self.steps(cohort))}
        return before | {end + delay: (delay, self.exposures) for delay in self.delays}


def probe_people(settings: Config, names: Collection[str]) -> pd.DataFrame:
    """New people in groups: group, person (number inside its group), cohort, and their facts.

    None has one of ``names``. Their frequency is the number of exposures, so that
    :func:`probe_texts` writes as many different biographies.
    """
    chosen = settings.exposure
    n = chosen.people * len(GROUPS)
    seed = settings.seed + _SEED
    people = make_new_people(n, set(names), seed, settings.world.mean_frequency)
    person = np.tile(np.arange(chosen.people), len(GROUPS))
    return people.assign(
        group=np.repeat(GROUPS, chosen.people),
        person=person,
        cohort=person % chosen.spacing,
        frequency=np.int32(chosen.exposures),
    )


def probe_texts(people: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """Biographies of the probe people in trained wordings, a row per person and exposure.

    The last exposure's is the one that ``once`` and ``repeated`` are shown.
    """
    templates = split_all(settings.world.held_out_templates, settings.seed)
    trained = {attribute: templates[attribute].trained for attribute in ATTRIBUTES}
    return make_biographies(people, trained, settings.seed + _SEED)


def injections(people: pd.DataFrame, texts: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """What is injected when, a row per text: step, person_id, group, exposure, text."""
    found = texts.set_index(["person_id", "exposure"])["text"]
    rows = []
    for who in people.itertuples(index=False):
        steps = list(enumerate(clock.steps(who.cohort)))
        shown = {"once": steps[-1:], "never": []}.get(who.group, steps)
        for exposure, step in shown:
            which = exposure if who.group == "varied" else clock.exposures - 1
            text = found[who.person_id, which]
            rows.append((step, who.person_id, who.group, exposure, text))
    return pd.DataFrame(rows, columns=["step", "person_id", "group", "exposure", "text"])


@dataclass(frozen=True)
class Questions:
    """What is asked about one person: token ids of the texts and the spans of the values in them.

    ``spans`` [n, 3] as in :func:`kc_utils.training.answers.recall`; ``wordings`` names the wording
    of each span.
    """

    texts: list[list[int]]
    spans: np.ndarray
    wordings: list[str]


def questions(
    people: pd.DataFrame, texts: pd.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> dict[int, Questions]:
    """All five attributes of each person (by person_id) in the wordings seen, trained, held_out."""
    last = texts[texts["exposure"] == texts["exposure"].max()].set_index("person_id")
    asked = {
        (wording, attribute): make_queries(people, attribute, wording, tokenizer)
        for wording in WORDINGS
        for attribute in ATTRIBUTES
    }
    found = {}
    for i, who in enumerate(people.itertuples(index=False)):
        biography = last.loc[who.person_id]
        seen, spans = _biography(biography, who, tokenizer)
        rows, wordings = [seen], [SEEN] * len(spans)
        for (wording, _), queries in asked.items():
            query = queries[i]
            whole = list(tokenizer(f"{query.text} {query.answer}").input_ids)
            spans.append((len(rows), len(query.ids), len(whole)))
            rows.append(whole)
            wordings.append(wording)
        found[int(who.person_id)] = Questions(rows, np.array(spans), wordings)
    return found


def _biography(
    biography: pd.Series, who: tuple, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Token ids of a biography and the spans of its values, in the order of the attributes."""
    encoded = tokenizer(biography["text"], return_offsets_mapping=True)
    spans = []
    for attribute in ATTRIBUTES:
        start = int(biography[f"{attribute}_start"])
        stop = start + len(getattr(who, attribute))
        inside = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < stop and b > start]
        if not inside:
            raise KcError(f"The value of {attribute} has no token in {biography['text'][:60]!r}.")
        spans.append((0, inside[0], inside[-1] + 1))
    return list(encoded["input_ids"]), spans
