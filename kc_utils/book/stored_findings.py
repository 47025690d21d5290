"""What was found in chapters without a claim of the ledger, from tables stored with the book."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import REFERENCE, STORED_SWEEP
from kc_utils.analysis import agreement
from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.book import facts_words
from kc_utils.book.method_words import in_short, nearest
from kc_utils.book.sentences import enumeration, sentence
from kc_utils.book.stored_results import Reference, stored_references
from kc_utils.book.verdict_marks import called, models
from kc_utils.facts import study_folder
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.study.claims.over_seeds import SHUFFLED

KIND = "K_rel"  # of the scores of chapter 11
_FLAT = 0.1  # of the whole rise: less than this after a fifth of the epochs is a flat start


def stored_findings(root: Path) -> dict[str, list[str]]:
    """Chapter -> paragraphs of its box; a chapter whose tables are not stored has none."""
    stored, found = root / REFERENCE, {}
    if (root / STORED_SWEEP / PROVENANCE).is_file():
        sweep = SweepTables.open(root / STORED_SWEEP)
        found["02_training"] = arrival(sweep.table("accuracy_read"), sweep.table("accuracy"))
    if (stored / "capitals" / study_folder.RECORD).is_file():
        found["10_capitals"] = of_facts(study_folder.Study.open(stored / "capitals"))
    for reference in stored_references(stored):
        if reference.path.name == "tiny-llama" and "method_edges" in reference.names:
            found["11_methods"] = of_methods(reference)
    return {chapter: said for chapter, said in found.items() if said}


def arrival(read: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """How far accuracy comes, and when, in each real profile with seeds enough.

    Args:
        read: table ``accuracy_read`` of a sweep, of texts that training reads.
        new: table ``accuracy``, of new texts in trained and held-out wordings.
    """
    curves = {
        name: _over_people(table[table["wording"] == name])
        for name, table in (("read", read), ("trained", new), ("held_out", new))
    }
    said, rises = [], pd.Series(dtype=float)
    for profile, curve in curves["read"].groupby("profile", sort=False):
        seeds = curve["seed"].nunique()
        if str(profile).endswith(SHUFFLED) or seeds < LEAST_SEEDS:
            continue
        ends = {name: _last(t[t["profile"] == profile]) for name, t in curves.items()}
        start, fifth = curve.loc[curve["epoch"] == 0, "value"].mean(), _at(curve, 0.2)
        rises[str(profile)] = (fifth - start) / (ends["read"] - start)
        said.append(
            sentence(
                "{models}: on texts that training reads, first-token accuracy of new facts is "
                "**{start:.2f}** before training, {fifth:.2f} after a fifth of the {epochs:g} "
                "epochs and **{read:.2f}** at the end. By then it is **{trained:.2f}** on new "
                "texts about the same facts and {held_out:.2f} in held-out wordings.",
                models=models(seeds, str(profile)),
                start=start,
                fifth=fifth,
                epochs=curve["epoch"].max(),
                **ends,
            )
        )
    flat = enumeration(called(name) for name in rises.index[rises < _FLAT])
    if said and flat and (rises >= _FLAT).any():
        said.append(f"So a flat start as long as the paper's is seen in {flat} only.")
    published = "*The paper:* about 0.10 for five of 25 epochs, then a steep rise to 0.92."
    return [*said, published] if said else []


def of_facts(study: study_folder.Study) -> list[str]:
    """What circuits of stored facts are about, and how small they can be."""
    group = "known" if study.record["of"]["settings"]["only_known"] else "all"
    sizes = study.tables["sizes"]
    said = [facts_words.of_what(study.tables["transfer"], group), facts_words.curve(sizes, group),
            facts_words.alone(sizes, group)]  # fmt: skip
    return [text for text in said if text]


def of_methods(reference: Reference) -> list[str]:
    """How near each method comes to patching, which comes nearest, and what a gradient sees of the
    strongest edge."""
    edges = reference.table("method_edges").query("kind == @KIND")
    if edges.empty:
        return []
    first = agreement.scores_by_edge(edges).iloc[0]
    seen = sentence(
        "Of the strongest edge, `{edge}`, a gradient at one point (EAP) sees **{point:.0%}** and "
        "a path (EAP-IG) **{path:.0%}**.",
        edge="->".join(first.name),
        point=first["EAP"] / first["effect"],
        path=first["EAP-IG, k = 1..m"] / first["effect"],
    )
    of_kind = reference.table("method_agreement").query("kind == @KIND")
    return [f"{in_short(of_kind)} {nearest(of_kind)}", seen]


def _over_people(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over types of knowledge, a row for each profile, seed and checkpoint."""
    whole = table[table["band"] == "all"]
    return whole.groupby(["profile", "seed", "epoch"], as_index=False, sort=False)["value"].mean()


def _last(table: pd.DataFrame) -> float:
    ends = table.loc[table.groupby("seed")["epoch"].idxmax(), "value"]
    return float(ends.mean())


def _at(table: pd.DataFrame, share: float) -> float:
    """The mean over seeds at the last checkpoint up to this share of the epochs."""
    return _last(table[table["epoch"] <= share * table["epoch"].max()])
