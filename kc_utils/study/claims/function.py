"""What circuits do: restore the answer, for other people, in other bands, with older edges."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from kc_utils.analysis.stats.resample import (
    NotMeasured,
    contrast,
    per_person,
    require_right,
    swapped,
)
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.acquisition import LEARNED
from kc_utils.study.claims.claim import BOOK, ELSEWHERE, PAPER, Claim, Finding, point, resampling
from kc_utils.study.claims.knees import decided_knees
from kc_utils.study.claims.restoring import (
    BETTER,
    FREE,
    GREEDY,
    QUERY,
    another_way,
    faithful,
    last_queries,
    over_people,
    sufficient,
)

_SAME = point(0.0)


def in_sample(run: Run) -> Finding:
    """Hit@k of circuit minus whole model, on discover minus on evaluate people."""
    pairs, k = (
        last_queries(run, "corrupted").query("wording == 'trained'"),
        run.config.circuit.hit_k,
    )
    own = pairs["circuit"] == "own"
    better = (pairs[own]["rank"] <= k).mean() - (pairs[~own]["rank"] <= k).mean()
    require_right(better, BETTER, "Hit@k above that of random circuits")
    pairs = pairs[own]
    gap = (pairs["rank"] <= k).astype(float) - (pairs["clean_rank"] <= k).astype(float)
    people = per_person(pairs.assign(gap=gap), "gap", ["kind", "band", "split"])
    if people["split"].nunique() < 2:
        raise NotMeasured("circuits were evaluated on one split only")
    first = people["split"] == "discover"
    # A p-value cannot support equality: the interval decides.
    effect, _, _ = contrast(people, first, ["kind", "band"], **resampling(run))
    return Finding(effect, _SAME, len(people), "people")


def as_published(run: Run) -> Finding:
    """Hit@k as the paper measures it, beside Hit@k on other people with corrupted values.

    The paper asks about the discovery people and sets what is outside the circuit to zero.
    """
    wanted = {"zero": "discover", "corrupted": "evaluate"}
    sides = []
    for ablation, split in wanted.items():
        pairs = _with_hits(run, last_queries(run, ablation).query("circuit == 'own'"))
        chosen = pairs[(pairs["split"] == split) & (pairs["wording"] == "trained")]
        if chosen.empty:
            raise NotMeasured(f"no {split} people were asked under {ablation} ablation")
        sides.append((chosen["hit"], chosen["person_id"]))
    n = sum(people.nunique() for _, people in sides)
    return Finding(*(over_people(run, *side) for side in sides), n, "people")


def transfer(run: Run, against: str, ablation: str) -> Finding:
    """Hit@k of other bands' circuits beside the native or a random one, on the same queries."""
    pairs = run.table("transfer_pairs").query("ablation == @ablation")
    if pairs.empty:
        raise NotMeasured(f"no circuit was taken to another band under {ablation} ablation")
    pairs = _with_hits(run, pairs.rename(columns={"target_band": "band"}))
    own = pairs["circuit"] == "own"
    native = pairs["source_band"] == pairs["band"]
    hits = pd.DataFrame(
        {
            "other": pairs[own & ~native].groupby(QUERY)["hit"].mean(),
            "native": pairs[own & native].groupby(QUERY)["hit"].mean(),
            "random": pairs[~own].groupby(QUERY)["hit"].mean(),
        }
    ).dropna()
    if hits.empty:
        raise NotMeasured("the run has only one band")
    people = hits.index.get_level_values("person_id")
    if against == "random":
        sides = (over_people(run, hits[name], people) for name in ("other", "random"))
        return Finding(*sides, people.nunique(), "people")
    better = hits["native"] - hits["random"]
    require_right(better, BETTER, "the native circuits' Hit@k above random ones")
    gap = over_people(run, hits["other"] - hits["native"], people)
    return Finding(gap, _SAME, people.nunique(), "people")


def aligned(run: Run, ablation: str, first: str, second: str) -> Finding:
    """Hit@k at the last checkpoint with ``first``'s edges minus ``second``'s, same queries.

    Before and After lie on either side of the knee of the kept edges' entropy; cells without a
    decided one are left out. The p-value swaps the two circuits of whole cells.

    Raises:
        NotMeasured: fewer than half of the cells have a knee, or circuits answer nothing.
    """
    pairs = run.table("aligned_pairs").query("ablation == @ablation and step == step.max()")
    if pairs.empty:
        raise NotMeasured("no aligned circuits were run")
    hits = _with_hits(run, pairs).pivot(index=QUERY, columns="aligned", values="hit")
    cells = hits.index.droplevel(["pair_id", "person_id"])
    knees, note = decided_knees(run, among=cells)
    hits = hits[cells.isin(pd.MultiIndex.from_frame(knees[CELL]))]
    require_right(hits[[first, second]], LEARNED, "Hit@k of these circuits")
    gaps = hits[first] - hits[second]
    people = gaps.index.get_level_values("person_id")
    cells = gaps.groupby(CELL).agg(["mean", "size"])
    _, p_value = swapped(cells["mean"], cells["size"], **resampling(run))
    effect = over_people(run, gaps, people)
    return Finding(effect, _SAME, people.nunique(), "people", p_value, note)


def _with_hits(run: Run, pairs: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` with a column hit: 1 where the right token is among the k best, else 0."""
    return pairs.assign(hit=(pairs["rank"] <= run.config.circuit.hit_k).astype(float))


_FUNCTION = {"topic": "function", "notebook": "04_circuit_evaluation"}
_FAITHFULNESS = "faithfulness (1 = whole model)"
_RANDOM = "random circuits, equal size"
_VALUES = {"zero": "zero ablation", "corrupted": "corrupted values"}
_RATIO = "last checkpoint, other people; ratio of means, bootstrap over people"


def _claim(name: str, claim: str, measure: Callable[..., Finding], *chosen: str, **rest) -> Claim:
    """``chosen`` are the arguments of ``measure`` after the run."""

    def measured(run: Run) -> Finding:
        return measure(run, *chosen)

    return Claim(id=name, claim=claim, measure=measured, **_FUNCTION, **rest)


_SUFFICIENT = {
    "claimed_by": BOOK, "quantity": "restored, from the empty circuit (share)", "control": _RANDOM,
    "test": f"{_RATIO}; first task", "direction": "above",
    "paper": "faithfulness with corrupted values only; Hit@10 with zeros",
}  # fmt: skip
_TRANSFER = {
    "test": "last checkpoint, same queries; bootstrap over people",
    "paper": "0.53, 0.57, 0.48 on the high set for the high, medium, low circuit, zero ablation",
}
_ALIGNED = {
    "control": "no difference",
    "test": "last checkpoint, first task, cells with a decided knee; bootstrap over people, swaps "
    "of whole cells",
    "paper": "Hit@10 at the last epoch: Before 0.33, After 0.59, Last 0.54 (high, zero ablation)",
}
_WAY = {
    "quantity": "faithfulness, other minus usual way", "control": "no difference",
    "test": "last checkpoint, first task, equal number of edges; bootstrap over cells",
}  # fmt: skip

CLAIMS = (
    _claim(
        "faithful",
        "Circuits restore the logit difference for people they were not found on",
        faithful,
        claimed_by=PAPER,
        paper="faithfulness 0.85 to 0.95 from epoch 5 on, on the discovery people",
        quantity=_FAITHFULNESS,
        control=_RANDOM,
        test=f"{_RATIO}; corrupted values outside",
        direction="above",
        main=True,
    ),
    _claim("sufficient-zero", "Circuits suffice when everything outside them is set to zero",
           sufficient, "zero", **_SUFFICIENT),
    _claim("sufficient-mean", "Circuits suffice when everything outside them is set to its mean",
           sufficient, "mean", **_SUFFICIENT),
    _claim("greedy", "A circuit that is grown greedily is more faithful than top-n edges",
           another_way, GREEDY, claimed_by=ELSEWHERE, direction="above",
           paper="greedy construction in Hanna et al.'s library; the paper keeps top n", **_WAY),
    _claim("partners", "It hardly matters whose prompts serve as corrupted ones",
           another_way, FREE, claimed_by=BOOK, direction="equal",
           paper="anybody whose name has as many tokens; here the own type and band", **_WAY),
    _claim(
        "in-sample",
        "Circuits do as well on people they were not found on",
        in_sample,
        claimed_by=BOOK,
        paper="circuits judged on the very people they were found on",
        quantity="Hit@10 gap, discover minus evaluate",
        control="no difference",
        test="gap = circuit minus whole model, corrupted values; bootstrap over people",
        direction="equal",
    ),
    _claim(
        "in-sample-published",
        "Hit@10 as it was published flatters the circuits",
        as_published,
        claimed_by=BOOK,
        paper="Hit@10 with zeros outside, on the discovery people",
        quantity="Hit@10, discovery people, zeros",
        control="other people, corrupted values",
        test="last checkpoint, trained wording; bootstrap over people",
        direction="above",
        main=True,
    ),
    *(
        _claim(f"transfer-native-{ablation}",
               f"Another band's circuit does as well as the band's own ({_VALUES[ablation]})",
               transfer, "native", ablation, claimed_by=claimed_by, direction="equal",
               quantity="Hit@10, other minus native (share)", control="no difference",
               **_TRANSFER)
        for ablation, claimed_by in (("zero", PAPER), ("corrupted", BOOK))
    ),
    _claim("transfer-random-corrupted",
           "Another band's circuit does better than a random one (corrupted values)",
           transfer, "random", "corrupted", claimed_by=BOOK, direction="above",
           quantity="Hit@10 of other bands' circuits (share)", control="random circuit, equal size",
           **_TRANSFER | {"paper": "no random circuits were tried"}),
    *(
        _claim(f"aligned-{ablation}",
               f"Edges from after the shift beat those from before ({_VALUES[ablation]})",
               aligned, ablation, "After", "Before", claimed_by=claimed_by, direction="above",
               quantity="Hit@10, After minus Before (share)", main=claimed_by == PAPER,
               **_ALIGNED)
        for ablation, claimed_by in (("zero", PAPER), ("corrupted", BOOK))
    ),
    _claim("after-enough", "Edges from just after the shift do as well as the final ones",
           aligned, "zero", "After", "Last", claimed_by=PAPER, direction="equal",
           quantity="Hit@10, After minus Last (share)", **_ALIGNED),
)  # fmt: skip
