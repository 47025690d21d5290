"""Which facts are studied together: settings, groups, sides, and clean and corrupted prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from kc_utils.config.sections import Count, Section, Seed, Times
from kc_utils.errors import KcError, shown
from kc_utils.world.prompts import SPLITS, Query, pair_queries, row_of, with_partner

Shares = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2)]


class FactSettings(Section):
    """Settings of a study of facts."""

    seed: Seed = Field(0, description="seed of the split, the pairs and the random circuits")
    pairs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        40, description="most pairs per relation, group and side"
    )
    only_known: bool = Field(True, description="keep facts that the model answers right")
    known_by: Literal["first", "whole"] = Field(
        "first", description="right: the answer's first token, or all of its tokens"
    )
    top_share: float = Field(0.05, gt=0, le=1, description="share of all edges in the circuit")
    shares: Shares = Field(
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        description="shares of the size curve",
    )
    steps: Times = Field(5, description="steps of EAP-IG")
    random_circuits: Times = Field(3, description="random circuits beside each circuit")
    held_out: float = Field(0.5, gt=0, lt=1, description="share of subjects kept for evaluation")
    batch_size: Count = Field(64, description="most pairs in a pass")
    role_ratio: float = Field(10.0, gt=1, description="as analysis.role_ratio")


def checked(values: Mapping[str, Any]) -> FactSettings:
    """Settings from the command line's values; KcError for one that is impossible."""
    try:
        return FactSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise KcError(
            f"--{option} {shown(first['input'])} is not allowed: {first['msg']}."
        ) from None


LEAST_PAIRS = 2  # on each side of a cell
_SPLIT, _PAIRS = 43, 47  # stream numbers of the generators


class Cell(NamedTuple):
    """One circuit's subject matter: a relation, and facts that are known, unknown, or all."""

    relation: str
    group: str

    @property
    def name(self) -> str:
        """How the cell is called inside score files."""
        return "|".join(self)


def with_groups(facts: pd.DataFrame, settings: FactSettings) -> pd.DataFrame:
    """Add right (the model's own check that counts), group and split.

    Subjects are split, not facts: no subject is on both sides, whatever the relation. Sides are
    filled in turn so that each relation and group has its share on both.
    """
    right = facts["first_right" if settings.known_by == "first" else "whole_right"]
    group = np.where(right, "known", "unknown") if settings.only_known else "all"
    facts = facts.assign(right=right, group=group)
    rng = np.random.default_rng([settings.seed, _SPLIT])
    side: dict[str, str] = {}
    for _, part in facts.groupby(["relation", "group"], sort=False):
        subjects = list(dict.fromkeys(part["subject"]))
        before = [side[s] == "evaluate" for s in subjects if s in side]
        placed, held = len(before), sum(before)
        for subject in (subjects[i] for i in rng.permutation(len(subjects))):
            if subject in side:
                continue
            wanted = settings.held_out * (placed + 1) > held + 0.5
            placed, held = placed + 1, held + wanted
            side[subject] = "evaluate" if wanted else "discover"
    return facts.assign(split=facts["subject"].map(side))


def make_pairs(
    facts: pd.DataFrame, queries: Sequence[Query], settings: FactSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs of every cell and side, and ``facts`` with the column partner.

    A pair's prompts differ in nothing but the subject, have as many tokens, and answers that start
    with different tokens. ``partner`` says whether a fact has such a partner on its side.

    Returns:
        Pairs (relation, group, split, pair_id, line, corrupted_line, subject, corrupted_subject and
        the columns of :func:`kc_utils.world.prompts.row_of`), and the facts.
    """
    by_line = {query.person_id: query for query in queries}
    subjects = facts.set_index("line")["subject"]
    rows, partner = [], pd.Series(False, index=facts.index)
    for number, (keys, part) in enumerate(
        facts.groupby(["relation", "group", "split"], sort=False)
    ):
        chosen = [by_line[line] for line in part["line"]]
        rng = np.random.default_rng([settings.seed, _PAIRS, number])
        partner[part.index] = part["line"].isin(with_partner(chosen))
        for i, (clean, corrupted) in enumerate(pair_queries(chosen, settings.pairs, 0, rng)):
            lines = {"line": clean.person_id, "corrupted_line": corrupted.person_id}
            names = {"subject": subjects[clean.person_id],
                     "corrupted_subject": subjects[corrupted.person_id]}  # fmt: skip
            at = dict(zip(("relation", "group", "split"), keys, strict=True))
            rows.append(at | {"pair_id": i} | lines | names | row_of(clean, corrupted))
    columns = ["relation", "group", "split", "line"]
    return pd.DataFrame(rows, columns=None if rows else columns), facts.assign(partner=partner)


def relation_counts(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Per relation and group: facts, right_first, right_whole, without_partner, and per side the
    numbers of facts and pairs that are used."""
    rows = []
    for keys, part in facts.groupby(["relation", "group"], sort=False):
        here = pairs[(pairs["relation"] == keys[0]) & (pairs["group"] == keys[1])]
        row = dict(zip(("relation", "group"), keys, strict=True)) | {
            "facts": len(part),
            "right_first": int(part["first_right"].sum()),
            "right_whole": int(part["whole_right"].sum()),
            "without_partner": int((~part["partner"]).sum()),
        }
        for side in SPLITS:
            used = here[here["split"] == side]
            row |= {f"{side}_facts": used["line"].nunique(), f"{side}_pairs": len(used)}
        rows.append(row)
    return pd.DataFrame(rows)


def cells_of(counts: pd.DataFrame) -> list[Cell]:
    """The cells with at least two pairs on both sides, those of known (or all) facts first.

    Raises:
        KcError: no cell of known (or all) facts has them; with the counts of every relation.
    """
    enough = counts[[f"{side}_pairs" for side in SPLITS]].min(axis=1) >= LEAST_PAIRS
    found = [Cell(*row) for row in counts.loc[enough, ["relation", "group"]].to_numpy().tolist()]
    found.sort(key=lambda cell: cell.group == "unknown")
    if not primary(found):
        raise KcError(_too_few(counts))
    return found


def primary(cells: Sequence[Cell]) -> list[Cell]:
    """The cells whose circuits are studied at every size."""
    return [cell for cell in cells if cell.group != "unknown"]


def _too_few(counts: pd.DataFrame) -> str:
    said = []
    for relation, part in counts.groupby("relation", sort=False):
        main = part[part["group"] != "unknown"]
        known = int(main["facts"].sum())
        n = int(part["facts"].sum())
        text = f"{relation!r} has {n} {'fact' if n == 1 else 'facts'}"
        if (counts["group"] != "all").all():
            text += f", {known} of them right"
        alone = int(main["without_partner"].sum())
        said.append(f"{text}, {alone} of these without a partner")
    more = ", or study wrong ones too with --all-facts" if (counts["group"] != "all").all() else ""
    return (
        f"No relation has {LEAST_PAIRS} pairs for discovery and {LEAST_PAIRS} for evaluation: "
        f"{'; '.join(said)}. A partner is another subject with as many tokens and an answer that "
        f"starts with another token; add facts{more}."
    )
